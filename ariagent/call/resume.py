"""Calls whose service died while they went on: what a new process knows of them. CORE.

Asterisk keeps the callers in the application; who they are and what was said is in the records (``schema``).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ariagent.ari.events import Channel
from ariagent.dialogue.history import PRESSED, Entry, History
from ariagent.dialogue.memory import Memory, Owed
from ariagent.records.model import CallRow, EventRow

LEFT = "call.left"
"""The event of a call that its process left to the next one."""
WARM_PREFIX = "ariagent-warm-"
"""Of the id of a leg that looks for somebody; see ``colleague``."""
SHORT_S = 4.0
"""A silence that nobody asks about: callers take it for the agent's thinking, or their own turn."""
_LEG_EVENTS = {"call.started": "leg", "call.resumed": "leg", "call.leg_replaced": "now"}


@dataclass(frozen=True, slots=True)
class BrokenOff:
    """A call that goes on in Asterisk, or did, without the process that served it. Times: seconds since the epoch."""

    call_id: str
    """"" when there is no record of it."""
    began: float
    answered: float | None
    last_at: float
    """When something was last heard of it."""
    row: int | None = None
    """In the records."""
    dead: bool = True
    """Its process is gone for sure; in another container that shows after a while only."""
    leg: str = ""
    agent: str = ""
    caller: str = ""
    """Number of who is on the line: after a transfer into the call not the channel's."""
    owed: Owed | None = None
    """What the caller waits for, where the process did not die but left them to the next one."""
    entries: tuple[Entry, ...] = field(default=(), repr=False)

    @classmethod
    def of(
        cls, call: CallRow, events: Sequence[EventRow], before: Sequence[EventRow] = (), *, words: bool = True
    ) -> "BrokenOff":
        """From a call's records; ``before``: the events of its former visits; ``words``: what was said is in them."""
        legs = [str(e.fields.get(_LEG_EVENTS[e.name], "")) for e in events if e.name in _LEG_EVENTS]
        return cls(
            call_id=call.call,
            began=call.began,
            answered=call.answered,
            last_at=max((e.at for e in events), default=call.began),
            row=call.row,
            dead=call.state == "lost",
            leg=legs[-1] if legs else "",
            agent=call.agent,
            caller=call.caller,
            owed=_owed(events),
            entries=history_of([*before, *events]) if words else (),
        )

    def memory(self, now: float) -> Memory | None:
        """For the agent who goes on ``now`` (seconds since the epoch); None: nobody has spoken with the caller yet."""
        if self.answered is None:
            return None
        unnoticed = bool(self.entries) and now - self.last_at <= SHORT_S
        return Memory(self.entries, "", interrupted=True, owed=self.owed if unnoticed else None)


def _owed(events: Sequence[EventRow]) -> Owed | None:
    """What the last process that served the call left; None where it died."""
    last = next((e for e in reversed(events) if e.name in (*_LEG_EVENTS, LEFT)), None)
    if last is None or last.name != LEFT:
        return None
    try:
        return Owed(_text(last, "owed"))
    except ValueError:
        return Owed.ANSWER


def history_of(events: Iterable[EventRow]) -> tuple[Entry, ...]:
    """What was said and done in a call, for a model that is to go on with it: of the agent what was heard."""
    history = History()
    for event in events:
        text, item = _text(event, "said"), _text(event, "item")
        match event.name:
            case "turn.caller" if text:
                history.said("caller", text, item)
            case "turn.agent" if text:
                history.said("agent", text, item)
            case "turn.interrupted":
                heard, dropped = (event.fields.get(key) for key in ("heard_ms", "dropped_ms"))
                if isinstance(heard, int | float) and isinstance(dropped, int | float) and heard + dropped > 0:
                    history.cut(item, heard / (heard + dropped))
            case "call.digits" if digits := _text(event, "text"):
                history.said("caller", PRESSED.format(digits=digits))
            case "tool.called" if call_id := _text(event, "id"):
                history.used(call_id, _text(event, "tool"), _text(event, "arguments") or "{}")
            case "tool.done" if output := _text(event, "output"):
                history.answered(_text(event, "id"), output)
    return history.entries


def _text(event: EventRow, key: str) -> str:
    value = event.fields.get(key)
    return value if isinstance(value, str) else ""


def arguments(channel: Channel, app: str) -> tuple[str, ...] | None:
    """Of ``Stasis()``, for a channel that is in it as a caller's leg; None for any other."""
    if channel.id.startswith(WARM_PREFIX) or channel.name.startswith("AudioSocket/"):
        return None
    name, *args = channel.app_data.split(",")
    return tuple(args) if channel.app_name == "Stasis" and name == app else None

"""Calls whose service died while they went on: what a new process knows of them, and tells the model. CORE.

Asterisk keeps the callers in the application; who they are and what was said is in the records (``schema``).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ariagent.ari.events import Channel
from ariagent.call.history import PRESSED, Entry, History
from ariagent.call.memory import Memory
from ariagent.records.model import CallRow, EventRow

WARM_PREFIX = "ariagent-warm-"
"""Of the id of a leg that looks for somebody; see ``colleague``."""
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
            entries=history_of([*before, *events]) if words else (),
        )

    @property
    def memory(self) -> Memory | None:
        """For the agent; None: nobody has spoken with the caller yet."""
        return None if self.answered is None else Memory(self.entries, "", interrupted=True)


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


def resumed_note(*, known: bool) -> str:
    """What the model is told when it goes on with a caller whom it lost; ``known``: what was said before is known."""
    lost = (
        "They may not have heard your last sentence to its end, and you have not heard what they said meanwhile."
        if known
        else "What was said before is not known to you any more."
    )
    ask = "and go on where you were" if known else "and ask what you can do for them"
    return (
        "[system] The line to the caller was interrupted for a few seconds; they hear you again now. "
        f"{lost} Do not greet again. In the language that you and the caller have been speaking, say in one short "
        f"sentence that you are sorry, you lost them for a moment, {ask}."
    )

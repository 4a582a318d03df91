"""The takeover of a call that another process served: what this process knows of it, from the call's record. CORE.

Asterisk keeps the callers in the application; who they are and what was said is in the records. ``recorded_calls``
reads them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ariagent.ari.events import Channel, Place
from ariagent.dialogue.history import PRESSED, Entry, History
from ariagent.dialogue.memory import KEPT_S, Memory, Unfinished
from ariagent.records import events as rec
from ariagent.records.model import CallRow, EventRow
from ariagent.records.open_turn import closed

SERVICE_DIED = "service_died"
"""The reason of a call that ended after its process had died."""
LEFT_MEANWHILE = "left_meanwhile"
"""The reason of a call that ended after its process had left it to the next one."""
WARM_PREFIX, WARM_QUEUE_PREFIX = "ariagent-warm-", "warm-"
"""The beginning of the channel ids of a consult leg's halves: ours, and that in the human queue; see
``warm_transfer``."""
SHORT_S = 4.0
"""A silence that callers do not notice: they take it for the agent's thinking, or for their own turn."""


@dataclass(frozen=True, slots=True)
class InterruptedCall:
    """A call that continues in Asterisk, or did, without the process that served it. Times: seconds since the epoch."""

    call_id: str
    """Empty: there is no record of the call."""
    began: float
    answered: float | None
    last_at: float
    """The time of the record's last event."""
    row: int | None = None
    """The call's row in the records."""
    dead: bool = True
    """The process is certainly gone. For a process in another container that shows only after a while."""
    leg: str = ""
    """Id of the caller's channel."""
    place: Place | None = None
    """Place in the dialplan where the channel continues after Stasis; None: where it came from."""
    agent: str = ""
    caller: str = ""
    """The caller's number; after a transfer into the call not the channel's."""
    unfinished: Unfinished | None = None
    """The unfinished part of the conversation; None: the process died without recording it."""
    consulting: bool = False
    """A human agent was being called for a warm transfer."""
    entries: tuple[Entry, ...] = field(default=(), repr=False)
    """The conversation: words and actions, in order."""

    @classmethod
    def from_record(
        cls, call: CallRow, events: Sequence[EventRow], before: Sequence[EventRow] = (), *, words: bool = True
    ) -> "InterruptedCall":
        """The call as its record tells. ``before``: the events of its former visits; ``words``: the record has what was
        said."""
        leg, place, unfinished, consulting = "", None, None, False
        for row in events:
            match row.event:
                case rec.CallStarted(leg=leg) | rec.CallTakenOver(leg=leg):
                    unfinished, consulting = None, False  # a process served the call since it was left
                case rec.LegReplaced(now=leg, place=continues):
                    place, unfinished = Place.read(continues), None
                case rec.CallLeft(unfinished=left):
                    unfinished = _unfinished(left)
                    consulting = unfinished is Unfinished.WARM_TRANSFER
                case rec.ConsultStarted():
                    consulting = True
                case rec.ConsultEnded() | rec.CallTransferred():
                    consulting = False
        return cls(
            call_id=call.call,
            began=call.began,
            answered=call.answered,
            last_at=max((row.at for row in events), default=call.began),
            row=call.row,
            dead=call.state == "lost",
            leg=leg,
            place=place,
            agent=call.agent,
            caller=call.caller,
            unfinished=unfinished,
            consulting=consulting,
            entries=history_of([*before, *events]) if words else (),
        )

    def memory(self, now: float) -> Memory | None:
        """The memory of an agent that continues ``now`` (seconds since the epoch); None: no agent has spoken with the
        caller yet."""
        if self.answered is None:
            return None
        unnoticed = bool(self.entries) and now - self.last_at <= SHORT_S
        unfinished = self.unfinished if unnoticed else None
        return Memory(self.entries, "", interrupted=True, consulting=self.consulting, unfinished=unfinished)


def _unfinished(left: str) -> Unfinished:
    try:
        return Unfinished(left)
    except ValueError:
        return Unfinished.ANSWER  # another version's word: the caller waits for something


def history_of(events: Iterable[EventRow]) -> tuple[Entry, ...]:
    """The conversation of a call, for a model that continues it; of the agent's words only those that were heard."""
    history = History()
    for row in closed(events):
        match row.event:
            case rec.CallerTurn(item=item, said=str(said)) if said:
                history.said("caller", said, item)
            case rec.AgentTurn(item=item, said=said) if said:
                history.said("agent", said, item)
            case rec.AgentInterrupted(item=item, part=float(part)):
                history.cut(item, part)
            case rec.DigitsGiven(text=digits) if digits:
                history.said("caller", PRESSED.format(digits=digits))
            case rec.ToolCalled(server="") as called:  # of an MCP server's tools the model's server knows the result
                history.used(called.id, called.tool, called.arguments or "{}")
            case rec.ToolEnded(id=call_id, output=output) if output:
                history.answered(call_id, output)
    return history.entries


def returned(last: CallRow, events: Sequence[EventRow], now: float) -> Memory | None:
    """The memory of a caller who comes back ``now`` (seconds since the epoch) from human agents.

    ``last``: the caller's last visit; ``events``: those of all visits. None: the caller was not transferred, or too
    long ago.
    """
    if last.ended is None or last.ended < now - KEPT_S:
        return None
    if last.result != "transferred" and last.reason not in (SERVICE_DIED, LEFT_MEANWHILE):
        return None
    destination, number = "a human agent", ""
    for row in events:
        match row.event:
            case rec.CallTransferred(destination=destination):
                pass
            case rec.CallStarted(caller=caller) | rec.CallerChanged(caller=caller) if caller != "-":
                number = caller
    return Memory(history_of(events), destination, number, agent=last.agent)


def handed_over(channel: Channel) -> bool:
    """Whether it is a half of a consult leg that is not ours to hang up: a caller is with the human agent.

    Asterisk counts both halves among our application's for as long as they exist, wherever they are.
    """
    if channel.id.startswith(WARM_QUEUE_PREFIX):
        return True  # it ends with the other half
    return channel.id.startswith(WARM_PREFIX) and channel.state == "Up" and channel.app_name != "Stasis"


def arguments(channel: Channel, app: str) -> tuple[str, ...] | None:
    """The arguments of ``Stasis()`` of a channel that is in it as a caller's leg; None for any other channel."""
    if channel.id.startswith(WARM_PREFIX) or channel.name.startswith("AudioSocket/"):
        return None
    name, *args = channel.app_data.split(",")
    return tuple(args) if channel.app_name == "Stasis" and name == app else None

"""The life of one call as a table: state and event give the next state and what to do.

No I/O and no clock: ``handle(event, now)`` returns commands, ``tick(now)`` an event that is to be handled, and
``next_deadline()`` says when ``tick`` wants to be called. Times are monotonic seconds.

The diagram in ``docs/call-states.md`` is made from ``TRANSITIONS`` (``make docs``).
"""

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING

from ariagent.call import commands as cmd
from ariagent.call import events as ev
from ariagent.call.commands import Command
from ariagent.dialogue.handoff import Handoff
from ariagent.errors import InternalError
from ariagent.termination import Result, Termination

if TYPE_CHECKING:
    from collections.abc import Iterable

PREPARE_TIMEOUT_S = 12.0
"""Seconds from the channel's arrival until media and model are both ready; a queue's ring timeout should be longer."""
ANSWER_TIMEOUT_S = 15.0
"""Time limit for Asterisk to answer the caller's channel, in seconds; its request has a shorter bound of its own."""
GOODBYE_TIMEOUT_S = 20.0
"""How long a goodbye, or the sentence before a transfer, may last when nothing of it waits to be heard any more."""
UNHEARD_ROOM_S = 5.0
"""Beyond what waits to be heard: the caller may pause it by a sound."""
LONGEST_GOODBYE_S = 180.0
"""However much waits to be heard."""
MOVE_TIMEOUT_S = 5.0
"""Longest wait of a supervisor's transfer for the end of the agent's sentence."""
TRANSFER_TIMEOUT_S = 12.0
"""Time limit for Asterisk to carry out a transfer, all requests together, in seconds; the call itself keeps to it."""
RELEASE_TIMEOUT_S = 90.0
"""Time limit for giving everything back to Asterisk, the caller first, in seconds; each request has a shorter limit of
its own."""
OVERTIME_S = 60.0
"""Beyond the longest call, at which the agent says goodbye, until it is ended without one."""


HUNG_UP = Termination(Result.DONE, "caller_hung_up")
MEDIA_FAILED = "media_failed"
"""The reason of calls whose audio could not be had, or was lost."""


class State(Enum):
    PREPARING = "preparing"
    """Neither the model nor the media are ready; the caller hears ringing."""
    MODEL_READY = "model_ready"
    """Waiting for the media."""
    MEDIA_READY = "media_ready"
    """Waiting for the model."""
    ANSWERING = "answering"
    TALKING = "talking"
    SAYING_GOODBYE = "saying_goodbye"
    """The call ends as soon as what is being said has been heard."""
    BEFORE_TRANSFER = "before_transfer"
    """The caller is transferred as soon as what is being said has been heard."""
    TRANSFERRING = "transferring"
    """Asterisk was asked to take the caller."""
    ENDING = "ending"
    """Everything is being given back; nothing else matters any more."""
    ENDED = "ended"


AUDIBLE = (State.TALKING, State.SAYING_GOODBYE, State.BEFORE_TRANSFER)
"""The caller and the agent hear each other."""


class IllegalEventError(InternalError):
    """An event that cannot happen in this state. Nothing was changed."""

    def __init__(self, state: State, event: ev.Event) -> None:
        super().__init__(f"{type(event).__name__} in state {state.value}")


Action = Callable[["CallMachine", ev.Event, float], "Iterable[Command]"]


class CallMachine:
    """One call's state, and the commands that follow from what happens to it."""

    def __init__(self, now: float) -> None:
        self.state = State.PREPARING
        self.termination: Termination | None = None
        self._deadline: float | None = now + PREPARE_TIMEOUT_S
        self._handoff: Handoff | None = None
        self._final = False
        """The agent's present words end the call or precede a transfer, whatever the caller says meanwhile."""
        self._lost: Termination | None = None
        """Why a caller who cannot be handed over cannot stay with us either."""
        self._loss: ev.ModelFailed | ev.AgentFailed | None = None
        """The loss of the model during a goodbye, which is heard to its end all the same."""
        self._finish_by = now
        """When what is being said is cut, however much of it is still unheard."""
        self.talks_until: float | None = None
        """When a conversation is over at the latest, whatever happens in it; None: not known yet."""

    def handle(self, event: ev.Event, now: float) -> list[Command]:
        """Take one event; the commands are to be done in order. Raises IllegalEventError."""
        over = self.state in (State.ENDING, State.ENDED) and not isinstance(event, ev.Released)
        if over and (self.state, type(event)) not in TRANSITIONS:
            return []  # late news of a call that is over
        if self._lost is not None and self.state is State.TRANSFERRING and isinstance(event, ev.TransferFailed):
            event = ev.Stranded()
        if isinstance(event, ev.PartyChanged) and self.moving is not None:
            return []  # whoever it is goes where a supervisor wants them
        if isinstance(event, ev.CallerSpoke) and self._final:
            return []
        try:
            following, action = TRANSITIONS[self.state, type(event)]
        except KeyError:
            raise IllegalEventError(self.state, event) from None
        if following is State.TALKING and self._loss is not None:
            # The goodbye is off, and there is no model for the conversation to continue with.
            event = self._loss
            following, action = TRANSITIONS[State.TALKING, type(event)]
        commands = list(action(self, event, now))
        if following is not self.state:
            if following is State.TRANSFERRING:
                if self._handoff is None:
                    raise InternalError("a call is to be handed over to nobody")
                commands.append(cmd.Transfer(self._handoff))
            self.state = following
            self._finish_by = now + LONGEST_GOODBYE_S
            if self.finishing:
                self._deadline = now + GOODBYE_TIMEOUT_S
            elif following is State.ANSWERING:
                self._deadline = now + ANSWER_TIMEOUT_S
            elif following is State.ENDING:
                self._deadline = now + RELEASE_TIMEOUT_S
            elif following not in _PREPARING:
                self._deadline = None
        if self.moving is not None and self._deadline is not None:
            # A person may order it while the caller already hears the sentence before another transfer.
            self._deadline = min(self._deadline, now + MOVE_TIMEOUT_S)
        return commands

    @property
    def finishing(self) -> bool:
        """The agent is saying its last words to this caller."""
        return self.state in _FINISHING

    @property
    def moving(self) -> Handoff | None:
        """The transfer that is about to be made and that nobody can talk away, if there is one."""
        final = self.state is State.BEFORE_TRANSFER and self._handoff is not None and self._handoff.final
        return self._handoff if final else None

    def next_deadline(self) -> float | None:
        """The time of the next ``tick``; None: nothing is due."""
        return self.talks_until if self.state is State.TALKING else self._deadline

    def tick(self, now: float, unheard_s: float = 0.0) -> ev.Event | None:
        """Return the event of a time limit that has passed, which is then to be handled. ``unheard_s``: how much of the
        agent's speech waits to be heard."""
        deadline = self.next_deadline()
        if deadline is None or now < deadline:
            return None
        if self.finishing and self.moving is None and unheard_s > 0 and now < self._finish_by:
            # Models generate several times faster than speech: the sentence is whole, and is heard to its end.
            self._deadline = min(now + unheard_s + UNHEARD_ROOM_S, self._finish_by)
            return None
        self._deadline = None
        if self.finishing:
            return ev.SpeechFinished()
        if self.state in (State.MODEL_READY, State.ANSWERING):
            return ev.MediaFailed("not ready in time")
        if self.state in _PREPARING:
            return ev.ModelFailed("not ready in time")
        if self.state is State.TALKING:
            return ev.FallbackRequested("too_long")
        return ev.Released()

    # -- actions ----------------------------------------------------------------------------------

    def _nothing(self, event: ev.Event, now: float) -> "Iterable[Command]":
        return ()

    def _answer(self, event: ev.Event, now: float) -> "Iterable[Command]":
        yield cmd.Answer()

    def _talk(self, event: ev.Event, now: float) -> "Iterable[Command]":
        yield cmd.StartTalking()

    def _caller_left(self, event: ev.Event, now: float) -> "Iterable[Command]":
        return self._end(HUNG_UP)

    def _no_model(self, event: ev.Event, now: float) -> "Iterable[Command]":
        assert isinstance(event, ev.ModelFailed)
        if event.no_seat_helps:
            yield cmd.LeaveQueue()
        yield from self._give_back(Termination(Result.NO_MODEL, "model_unreachable", event.cause))

    def _model_lost(self, event: ev.Event, now: float) -> "Iterable[Command]":
        assert isinstance(event, ev.ModelFailed)
        return self._give_back(Termination(Result.ERROR, event.reason, event.cause))

    def _take_fallback(self, event: ev.Event, now: float) -> "Iterable[Command]":
        assert isinstance(event, ev.AgentFailed)
        self._handoff = event.fallback
        self._lost = Termination(Result.ERROR, event.reason, event.cause)
        yield cmd.PrepareAnnouncement(event.fallback)

    def _keep_loss(self, event: ev.Event, now: float) -> "Iterable[Command]":
        assert isinstance(event, ev.ModelFailed | ev.AgentFailed)
        self._loss = event
        return self._note_loss(event, now)

    def _media_failed(self, event: ev.Event, now: float) -> "Iterable[Command]":
        assert isinstance(event, ev.MediaFailed)
        if event.for_all:
            yield cmd.LeaveQueue()
        yield from self._give_back(Termination(Result.ERROR, MEDIA_FAILED, event.cause))

    def _follow(self, event: ev.Event, now: float) -> "Iterable[Command]":
        assert isinstance(event, ev.LegReplaced)
        yield cmd.FollowLeg(event.channel_id)

    def _meet(self, event: ev.Event, now: float) -> "Iterable[Command]":
        """Cancel what was about to be done for the former party, and greet the caller."""
        assert isinstance(event, ev.PartyChanged)
        self.termination = self._handoff = None
        self._final = False
        yield cmd.GreetCaller(event.before, event.caller)

    def _press(self, event: ev.Event, now: float) -> "Iterable[Command]":
        assert isinstance(event, ev.DigitPressed)
        yield cmd.PressKey(event.digit)

    def _nobody(self, event: ev.Event, now: float) -> "Iterable[Command]":
        assert isinstance(event, ev.NobodyThere)
        return (cmd.HangUp(), *self._end(Termination(Result.DONE, event.what)))

    def _to_human_queue(self, event: ev.Event, now: float) -> "Iterable[Command]":
        assert isinstance(event, ev.FallbackRequested)
        return self._give_back(Termination(Result.PERSON, event.reason))

    def _say_goodbye(self, event: ev.Event, now: float) -> "Iterable[Command]":
        """The first reason counts; the last one decides whether the caller can still prevent it."""
        assert isinstance(event, ev.EndRequested)
        self.termination = self.termination or Termination(Result.DONE, event.reason)
        self._final |= event.final
        return ()

    def _resume(self, event: ev.Event, now: float) -> "Iterable[Command]":
        called_off = self._handoff if self.state is State.BEFORE_TRANSFER else None
        self.termination = self._handoff = None
        yield cmd.TellNotDone(called_off)

    def _part(self, event: ev.Event, now: float) -> "Iterable[Command]":
        assert isinstance(event, ev.TransferRequested)
        if self.moving is not None:
            return  # the caller is on the way to where a person wants them
        self._handoff = event.handoff
        self._final |= event.handoff.final
        if not event.handoff.joins:
            yield cmd.PrepareAnnouncement(event.handoff)
        elif event.handoff.kind != "warm":
            # A supervisor takes the call: no human agent is to wait for it any more.
            yield cmd.CancelWarmTransfer()

    def _begin_warm_transfer(self, event: ev.Event, now: float) -> "Iterable[Command]":
        assert isinstance(event, ev.WarmTransferRequested)
        self.termination, self._final = None, False  # a goodbye that was on its way is off
        yield cmd.StartWarmTransfer(event.handoff)

    def _cancel_warm_transfer(self, event: ev.Event, now: float) -> "Iterable[Command]":
        yield cmd.CancelWarmTransfer()

    def _note_loss(self, event: ev.Event, now: float) -> "Iterable[Command]":
        match event:
            case ev.ModelFailed(cause=cause, reason=reason) | ev.AgentFailed(cause=cause, reason=reason):
                self._lost = Termination(Result.ERROR, reason, cause)
            case ev.MediaFailed(cause=cause):
                self._lost = Termination(Result.ERROR, MEDIA_FAILED, cause)
            case _:
                self._lost = Termination(Result.ERROR, "stopped")
        return ()

    def _strand(self, event: ev.Event, now: float) -> "Iterable[Command]":
        return self._give_back(self._lost or Termination(Result.ERROR, "stranded"))

    def _handed_over(self, event: ev.Event, now: float) -> "Iterable[Command]":
        return self._end(Termination(Result.TRANSFERRED, "handed_over"))

    def _left_meanwhile(self, event: ev.Event, now: float) -> "Iterable[Command]":
        """A caller who leaves while Asterisk is asked was transferred, unless they hung up."""
        assert isinstance(event, ev.CallerLeft)
        return self._caller_left(event, now) if event.hung_up else self._handed_over(event, now)

    def _not_taken(self, event: ev.Event, now: float) -> "Iterable[Command]":
        """The caller left while Asterisk was asked, and it has not taken them."""
        if self.termination is not None and self.termination.result is Result.TRANSFERRED:
            self.termination = HUNG_UP
        return ()

    def _explain(self, event: ev.Event, now: float) -> "Iterable[Command]":
        handoff, self._handoff, self._final = self._handoff, None, False
        self.termination = None  # the reason of a goodbye before the transfer
        return () if handoff is None else (cmd.TellTransferFailed(handoff),)

    def _hang_up(self, event: ev.Event, now: float) -> "Iterable[Command]":
        termination = self.termination or Termination(Result.DONE, "stopped")
        return (cmd.HangUp(), *self._end(termination))

    def _stop(self, event: ev.Event, now: float) -> "Iterable[Command]":
        """Send a caller who already talks with the agent to the human queue rather than leave them in silence."""
        return self._give_back(Termination(Result.ERROR, "stopped"))

    def _leave(self, event: ev.Event, now: float) -> "Iterable[Command]":
        """Leave the call as it is: the next process continues it."""
        self.termination = Termination(Result.LEFT, "next_process")
        yield cmd.Leave()

    def _finish(self, event: ev.Event, now: float) -> "Iterable[Command]":
        if self.termination is None:
            raise InternalError("a call was released before it ended")
        yield cmd.Finish(self.termination)

    def _give_back(self, termination: Termination) -> "Iterable[Command]":
        return (cmd.ReturnToDialplan(termination.result), *self._end(termination))

    def _end(self, termination: Termination) -> "Iterable[Command]":
        self.termination = termination
        return (cmd.Release(),)


_PREPARING = (State.PREPARING, State.MODEL_READY, State.MEDIA_READY)
_FINISHING = (State.SAYING_GOODBYE, State.BEFORE_TRANSFER)

TRANSITIONS: dict[tuple[State, type[ev.Event]], tuple[State, Action]] = {
    (State.PREPARING, ev.ModelReady): (State.MODEL_READY, CallMachine._nothing),
    (State.PREPARING, ev.MediaReady): (State.MEDIA_READY, CallMachine._nothing),
    (State.MODEL_READY, ev.MediaReady): (State.ANSWERING, CallMachine._answer),
    (State.MEDIA_READY, ev.ModelReady): (State.ANSWERING, CallMachine._answer),
    (State.ANSWERING, ev.Answered): (State.TALKING, CallMachine._talk),
    (State.TALKING, ev.DigitPressed): (State.TALKING, CallMachine._press),
    (State.TALKING, ev.NobodyThere): (State.ENDING, CallMachine._nobody),
    (State.TALKING, ev.FallbackRequested): (State.ENDING, CallMachine._to_human_queue),
    (State.SAYING_GOODBYE, ev.NobodyThere): (State.ENDING, CallMachine._nobody),
    (State.BEFORE_TRANSFER, ev.NobodyThere): (State.ENDING, CallMachine._nobody),
    (State.SAYING_GOODBYE, ev.FallbackRequested): (State.ENDING, CallMachine._to_human_queue),
    (State.TALKING, ev.EndRequested): (State.SAYING_GOODBYE, CallMachine._say_goodbye),
    (State.SAYING_GOODBYE, ev.SpeechFinished): (State.ENDING, CallMachine._hang_up),
    (State.SAYING_GOODBYE, ev.CallerSpoke): (State.TALKING, CallMachine._resume),
    (State.SAYING_GOODBYE, ev.DigitPressed): (State.SAYING_GOODBYE, CallMachine._press),
    (State.SAYING_GOODBYE, ev.EndRequested): (State.SAYING_GOODBYE, CallMachine._say_goodbye),
    (State.SAYING_GOODBYE, ev.ModelFailed): (State.SAYING_GOODBYE, CallMachine._keep_loss),
    (State.SAYING_GOODBYE, ev.MediaFailed): (State.ENDING, CallMachine._hang_up),
    (State.SAYING_GOODBYE, ev.StopRequested): (State.ENDING, CallMachine._hang_up),
    (State.TALKING, ev.ModelFailed): (State.ENDING, CallMachine._model_lost),
    (State.TALKING, ev.AgentFailed): (State.TRANSFERRING, CallMachine._take_fallback),
    (State.SAYING_GOODBYE, ev.AgentFailed): (State.SAYING_GOODBYE, CallMachine._keep_loss),
    (State.BEFORE_TRANSFER, ev.AgentFailed): (State.TRANSFERRING, CallMachine._note_loss),
    (State.TRANSFERRING, ev.AgentFailed): (State.TRANSFERRING, CallMachine._note_loss),
    (State.TALKING, ev.TransferRequested): (State.BEFORE_TRANSFER, CallMachine._part),
    (State.SAYING_GOODBYE, ev.TransferRequested): (State.BEFORE_TRANSFER, CallMachine._part),
    (State.TALKING, ev.WarmTransferRequested): (State.TALKING, CallMachine._begin_warm_transfer),
    (State.SAYING_GOODBYE, ev.WarmTransferRequested): (State.TALKING, CallMachine._begin_warm_transfer),
    (State.TALKING, ev.WarmTransferCancelled): (State.TALKING, CallMachine._cancel_warm_transfer),
    (State.SAYING_GOODBYE, ev.WarmTransferCancelled): (State.SAYING_GOODBYE, CallMachine._cancel_warm_transfer),
    (State.BEFORE_TRANSFER, ev.SpeechFinished): (State.TRANSFERRING, CallMachine._nothing),
    (State.BEFORE_TRANSFER, ev.CallerSpoke): (State.TALKING, CallMachine._resume),
    (State.BEFORE_TRANSFER, ev.TransferRequested): (State.BEFORE_TRANSFER, CallMachine._part),
    (State.BEFORE_TRANSFER, ev.ModelFailed): (State.TRANSFERRING, CallMachine._note_loss),
    (State.BEFORE_TRANSFER, ev.MediaFailed): (State.TRANSFERRING, CallMachine._note_loss),
    (State.BEFORE_TRANSFER, ev.StopRequested): (State.TRANSFERRING, CallMachine._note_loss),
    (State.BEFORE_TRANSFER, ev.LeaveRequested): (State.TRANSFERRING, CallMachine._note_loss),
    (State.TRANSFERRING, ev.Transferred): (State.ENDING, CallMachine._handed_over),
    (State.TRANSFERRING, ev.TransferFailed): (State.TALKING, CallMachine._explain),
    (State.TRANSFERRING, ev.CallerLeft): (State.ENDING, CallMachine._left_meanwhile),
    (State.TRANSFERRING, ev.Stranded): (State.ENDING, CallMachine._strand),
    (State.TRANSFERRING, ev.ModelFailed): (State.TRANSFERRING, CallMachine._note_loss),
    (State.TRANSFERRING, ev.MediaFailed): (State.TRANSFERRING, CallMachine._note_loss),
    (State.TRANSFERRING, ev.StopRequested): (State.TRANSFERRING, CallMachine._note_loss),
    (State.TRANSFERRING, ev.LeaveRequested): (State.TRANSFERRING, CallMachine._note_loss),
    (State.TRANSFERRING, ev.TransferRequested): (State.TRANSFERRING, CallMachine._nothing),
    (State.ENDING, ev.TransferFailed): (State.ENDING, CallMachine._not_taken),
    (State.ENDING, ev.Released): (State.ENDED, CallMachine._finish),
}
for _state in (State.BEFORE_TRANSFER, State.TRANSFERRING):
    TRANSITIONS[_state, ev.DigitPressed] = (_state, CallMachine._nothing)
    TRANSITIONS[_state, ev.EndRequested] = (_state, CallMachine._nothing)
    TRANSITIONS[_state, ev.FallbackRequested] = (_state, CallMachine._nothing)
    TRANSITIONS[_state, ev.LegReplaced] = (_state, CallMachine._follow)
    TRANSITIONS[_state, ev.WarmTransferRequested] = (_state, CallMachine._nothing)
    TRANSITIONS[_state, ev.WarmTransferCancelled] = (_state, CallMachine._nothing)
TRANSITIONS[State.TRANSFERRING, ev.NobodyThere] = (State.TRANSFERRING, CallMachine._nothing)
for _state in (*_PREPARING, State.ANSWERING):
    TRANSITIONS[_state, ev.DigitPressed] = (_state, CallMachine._nothing)
    TRANSITIONS[_state, ev.EndRequested] = (State.ENDING, CallMachine._stop)
    TRANSITIONS[_state, ev.ModelFailed] = (State.ENDING, CallMachine._no_model)
for _state in (*_PREPARING, State.ANSWERING, State.TALKING):
    TRANSITIONS[_state, ev.MediaFailed] = (State.ENDING, CallMachine._media_failed)
    TRANSITIONS[_state, ev.StopRequested] = (State.ENDING, CallMachine._stop)
for _state in (*_PREPARING, State.ANSWERING, State.TALKING, State.SAYING_GOODBYE):
    TRANSITIONS[_state, ev.LeaveRequested] = (State.ENDING, CallMachine._leave)
for _state in (*_PREPARING, State.ANSWERING, State.TALKING, State.SAYING_GOODBYE, State.BEFORE_TRANSFER):
    TRANSITIONS[_state, ev.CallerLeft] = (State.ENDING, CallMachine._caller_left)
    TRANSITIONS[_state, ev.LegReplaced] = (_state, CallMachine._follow)
for _state in AUDIBLE:
    # Asterisk carries out a transfer that it did not answer in time.
    TRANSITIONS[_state, ev.Transferred] = (State.ENDING, CallMachine._handed_over)
    TRANSITIONS[_state, ev.PartyChanged] = (State.TALKING, CallMachine._meet)
for _state in (*_PREPARING, State.ANSWERING, State.TRANSFERRING):
    TRANSITIONS[_state, ev.PartyChanged] = (_state, CallMachine._nothing)


def diagram() -> str:
    """The table as a Mermaid state diagram."""
    arrows: dict[tuple[State, State], list[str]] = {}
    for (state, event), (following, _) in TRANSITIONS.items():
        if state is not following:
            arrows.setdefault((state, following), []).append(event.__name__)
    lines = [f"    {a.value} --> {b.value}: {', '.join(names)}" for (a, b), names in arrows.items()]
    return "\n".join(["stateDiagram-v2", "    [*] --> preparing", *lines, "    ended --> [*]"])


_PAGE = """# The states of a call

Made from the table in `ariagent/call/machine.py` by `make docs`; do not edit.

A new call is `preparing`. While the phone rings, ariagent makes the session with the model and the media leg at the
same time. It answers the call when both are ready. Every call ends through `ending`, where ariagent releases its
channels and bridges once.

```mermaid
{diagram}
```

Some events do not change the state:

* `DigitPressed`: the caller has pressed a key. In `talking` and `saying_goodbye` ariagent follows the agent's `keypad`
  settings. In other states it ignores the key.
* `LegReplaced`: another channel replaces the caller's channel.
* `TransferFailed`: in `ending`, the caller has left while Asterisk was asked for a transfer. It has not taken them, so
  they have hung up.
* `PartyChanged`: a human agent has transferred a caller to the AI during the call. The agent greets the caller.
* `ModelFailed`, `AgentFailed`: in `saying_goodbye` the caller still hears the goodbye to its end. If something
  cancels the goodbye, for example words of the caller, the call does not return to `talking`. ariagent transfers the
  caller to the agent's first destination. Without a destination it sends the caller to the human queue.

Every state has a time limit. "Human queue" means that the caller is sent there, with this result and reason:

| state | longest time | after that |
|---|---|---|
| `preparing`, `media_ready` | {prepare} s after the call's arrival | human queue (`no_model`, `model_unreachable`) |
| `model_ready` | {prepare} s after the call's arrival | human queue (`error`, `media_failed`) |
| `answering` | {answer} s | human queue (`error`, `media_failed`) |
| `talking` | `agents.NAME.length.longest_s`, then {overtime} s for the goodbye | human queue (`too_long`) |
| `saying_goodbye` | {drain} s; longer if speech is still in the playout (at most {longest} s) | ariagent hangs up |
| `before_transfer` | as `saying_goodbye`; {move} s if a supervisor transfers the call | `transferring` |
| `transferring` | {transfer} s | `talking`; if the agent has failed, human queue |
| `ending` | {release} s | `ended`; ariagent keeps trying to release channels and bridges (`call.release_failed`) |

During a warm transfer the state is `talking`. ariagent waits for a human agent for at most the destination's
`timeout_s` plus 10 s. The human agent then hears the summary, for up to 60 s.
"""


if __name__ == "__main__":
    limits = {
        "prepare": PREPARE_TIMEOUT_S,
        "answer": ANSWER_TIMEOUT_S,
        "overtime": OVERTIME_S,
        "drain": GOODBYE_TIMEOUT_S,
        "longest": LONGEST_GOODBYE_S,
        "move": MOVE_TIMEOUT_S,
        "transfer": TRANSFER_TIMEOUT_S,
        "release": RELEASE_TIMEOUT_S,
    }
    shown = {name: f"{seconds:g}" for name, seconds in limits.items()}
    print(_PAGE.format(diagram=diagram(), **shown), end="")  # noqa: T201

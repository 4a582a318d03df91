"""The model's responses in one session: which is wanted, asked for, running, muted, and what came of each. CORE.

A response begins because it was asked for, or because the server answers the caller's turn by itself; which of both it
is the server does not say. The session tells here what the call wants and what the server reports. From here go
``response.create`` and ``response.cancel``, and whatever happens to the items of a response that nobody wants.

Times are monotonic seconds, passed in.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ariagent.realtime.events import ToolCall
from ariagent.realtime.fields import MalformedError, forget_oldest
from ariagent.realtime.gate import ResponseGate
from ariagent.realtime.items import Items, Outbox
from ariagent.realtime.profile import SessionProfile
from ariagent.realtime.response_timeout import ResponseTimeout, TimeoutStep

KEPT = 8
"""Responses that are known, beside the one that runs."""
TURNS_KEPT = 16
MOST_ITEMS = 64
"""The most items of one response that are known."""
MOST_CALLS = 32
"""Function calls of one response."""
LONGEST_TURN_S = 30.0
"""A server that does not say that the caller fell silent is not waited for any longer."""
MOST_FAILURES = 1
"""The model is given up after more than this many responses in a row have failed or sent nothing."""
MOST_INCOMPLETE = 2
"""The limit for responses that end incomplete before they have sent anything."""
UNPAID = "insufficient_quota"
"""Asking again cannot help."""
INTERRUPTED = '{"error": "the caller interrupted; this was not done"}'
INCOMPLETE = '{"error": "the response broke off before it was complete; this was not done"}'
"""Results of function calls that are not run."""


@dataclass(slots=True)
class _Response:
    items: dict[str, None] = field(default_factory=dict)
    calls: list[ToolCall] = field(default_factory=list)
    """Until the response is over: only then is it known whether they are run."""
    runs: tuple[ToolCall, ...] = ()
    """Those that were handed on to be run."""
    brought: bool = False
    """Something that is heard, or done, came of it."""
    muted: bool = False
    """The caller is to hear no more of it."""
    discarded: bool = False
    """Nobody wants the response: it is muted, and its items are forgotten."""
    superseded: bool = False
    """It is discarded because the caller continued."""
    cancelled: bool = False
    """The server was told to end it, because the caller continued."""
    fulfils: bool = False
    """A request was dropped because of it."""


@dataclass(slots=True)
class _Turn:
    """The caller's turn, by the id of its item."""

    committed: bool = False
    """The server has the item."""
    answer: str | None = None
    """The response that answers it."""
    dismissed: bool = False
    """The turn was none."""
    continued: bool = False
    """The caller continued: the turn stays, and nobody wants the answer to this part of it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a response that is over."""

    calls: tuple[ToolCall, ...] = ()
    """Function calls to run."""
    muted: bool = False
    """The caller interrupted it, or it was discarded."""
    superseded: bool = False
    """It was discarded because the caller continued."""
    nothing: bool = False
    """The response completed, and had nothing in it to be heard or done."""
    given_up: bool = False
    """The model does not respond, however often it is asked: the session is of no use."""


class Responses:
    """Those of one session. The session calls ``ask`` after everything that it tells."""

    def __init__(self, profile: SessionProfile, outbox: Outbox, items: Items) -> None:
        self._profile = profile
        self._outbox = outbox
        self._items = items
        self._gate = ResponseGate()
        self.proved = False
        """A response was completed: the session does what it is for."""
        self._timeout = ResponseTimeout(profile.stall_timeout_s)
        self._known: dict[str, _Response] = {}
        self._turns: dict[str, _Turn] = {}
        self._unanswered: str | None = None  # the caller's last turn, until a response answers it
        self._caller_until = 0.0  # the caller speaks, until then at most; 0: they do not
        self._unwanted = False  # the caller interrupted what was asked for, before it began
        self._ours_answers = False  # the server could not answer the caller's turn: what we ask for does
        self._expects_refusal = False  # the server will refuse its own answer to a dismissed turn
        self._failures = 0  # one after another
        self._gave_up = False

    # -- what is known -----------------------------------------------------------------------------

    @property
    def active(self) -> str | None:
        """The id of the response that is writing to the conversation."""
        return self._gate.active

    @property
    def idle(self) -> bool:
        """No response runs, is on its way or is wanted."""
        return self._gate.idle

    @property
    def pending(self) -> bool:
        """Something is being said, is to be said, or answers what the caller is saying."""
        return not self._gate.idle or self._timeout.answer_pending or self._caller_until > 0 or self._gave_up

    @property
    def begins(self) -> bool:
        """A response is about to begin: it was asked for, or an answer to the caller is pending."""
        return self._gate.in_flight or self._timeout.answer_pending

    def quiet_from(self) -> float | None:
        """When the caller and the server's own response will be out of the way; None: a response runs, is wanted or
        pending."""
        if not self._gate.idle or self._timeout.answer_pending:
            return None
        return max(self._caller_until, self._gate.closed_until)

    def awaits_answer(self, item_id: str) -> bool:
        """The caller's turn with this item has ended, and no response to it has begun."""
        return self._unanswered == item_id

    def muted(self, response_id: str) -> bool:
        """The caller is to hear nothing more of it."""
        response = self._known.get(response_id)
        return response is not None and response.muted

    def discarded(self, response_id: str) -> bool:
        """Nobody wants the response: neither its sound nor its words are of interest."""
        response = self._known.get(response_id)
        return response is not None and response.discarded

    # -- asking ------------------------------------------------------------------------------------

    def want(self, response: dict[str, Any]) -> None:
        """Want a response, as soon as nothing else runs. The newest request replaces one that still waits."""
        self._gate.request(response)

    def ask(self, now: float) -> None:
        """Ask for what is wanted, if this is the moment."""
        # A request made while the caller speaks waits for the end of their turn; the answer to it may serve instead.
        if now < self._caller_until or (response := self._gate.take(now)) is None:
            return
        self._items.before_response()
        self._gate.asked(self._outbox.send({"type": "response.create", "response": response}))
        self._unwanted = False
        self._timeout.response_asked(now)

    def active_response_conflict(self, event_id: str | None, now: float) -> None:
        """A request was refused because another response runs: ariagent's, or the server's own."""
        if event_id is None and self._expects_refusal:
            self._expects_refusal = False  # nobody wants that answer
            return
        self._ours_answers = event_id is None and self._timeout.answer_pending
        self._gate.active_response_conflict(now, event_id, answer_pending=self._timeout.answer_pending)

    def asked_in(self, event_id: str | None) -> bool:
        """Whether this event asked for a response whose fate is open."""
        return self._gate.asked_in(event_id)

    def refused(self, code: str) -> bool:
        """The request for a response is refused, but not for such a conflict. True: the model is given up."""
        if not self._unwanted:
            return self._failed(code)
        self._unwanted = False
        self._gate.dropped()
        return False

    def not_made(self, code: str) -> None:
        """The server made no response, which may be for a function call without an output; it has one now."""
        if self._items.answers_open_calls(code):
            self._gate.failed()

    # -- the caller --------------------------------------------------------------------------------

    def caller_began(self, now: float) -> None:
        """The caller speaks."""
        self._timeout.answer_waived(now)
        self._items.before_response()
        self._caller_until = now + LONGEST_TURN_S

    def caller_ceased(self, now: float) -> None:
        """The server heard the end of the caller's turn."""
        self._caller_until = 0.0
        if self._profile.server_answers:
            # Already here: asked for between this and the commit, a response would come beside the server's own.
            self._gate.turn_ended(now)

    def caller_silent(self, now: float) -> None:
        """The caller has been silent for so long that the server should have ended their turn: an answer is pending."""
        self._caller_until = 0.0
        self._timeout.answer_awaited(now)

    def turn_committed(self, item_id: str, now: float) -> None:
        """The caller's turn became an item of the conversation."""
        self._unwanted = self._ours_answers = False  # what begins from now on answers this turn
        self._unanswered = item_id
        turn = self._turn(item_id)
        turn.committed, turn.answer = True, None
        if turn.dismissed:
            self._items.forget(item_id)
        if self._profile.server_answers:
            self._gate.turn_ended(now)
            if turn.dismissed:
                self._expects_refusal = self._gate.active is not None and not self._gate.in_flight
            else:
                self._timeout.answer_awaited(now)
        elif not turn.dismissed:
            self._gate.request({})

    def dismiss(self, item_id: str, now: float) -> None:
        """The caller's turn, which may not have ended yet, was none: the model forgets it, and its answer to it."""
        self._caller_until = 0.0
        turn = self._turn(item_id)
        turn.dismissed = True
        if turn.committed:
            self._items.forget(item_id)
        if self._unanswered == item_id:
            self._timeout.answer_waived(now)
            if self._ours_answers:
                self._ours_answers = False
                self._gate.withdraw()
        if turn.answer is not None:
            self._discard(turn.answer)

    def supersede(self, item_id: str, response_ids: Iterable[str]) -> None:
        """The caller continues after the part of their turn with this item. The model keeps that part, and forgets its
        answer, which may not have begun yet, and these responses."""
        self._turn(item_id).continued = True
        for response_id in response_ids:
            self._response(response_id).superseded = True
            self._discard(response_id)

    def interrupted(self, now: float, *, turn_over: bool, answers: tuple[str, ...]) -> None:
        """The caller wants to hear no more. With ``turn_over`` their turn has ended already: what is wanted, or runs as
        one of ``answers``, answers it and stays."""
        if not turn_over:
            self._unwanted = self._gate.withdraw()
            if self._unwanted:
                self._timeout.settled(now)
        active = self._gate.active
        if active is not None and active not in answers and not self._response(active).muted:
            self._response(active).muted = True
            # A server that cancels by itself would refuse a second cancel.
            if not self._profile.server_interrupts:
                self.cancel(active)

    def cancel(self, response_id: str) -> None:
        """Have the server end a response that runs."""
        self._outbox.send({"type": "response.cancel", "response_id": response_id})

    def _discard(self, response_id: str) -> None:
        response = self._response(response_id)
        if response.fulfils:
            response.fulfils = False
            self._gate.request({})
        response.muted = response.discarded = True
        if self._gate.active == response_id:  # its items go when it is over
            # A server that cancels by itself when the caller speaks would refuse a second cancel.
            if not (response.superseded and (self._profile.server_interrupts or response.cancelled)):
                response.cancelled = response.superseded
                self.cancel(response_id)
        else:
            self._forget_items(response)

    # -- what the server makes ---------------------------------------------------------------------

    def progress(self, now: float) -> None:
        """The server works at a response."""
        self._timeout.progress(now)

    def started(self, response_id: str, now: float) -> str | None:
        """A response began. Returns the caller's turn that it answers; None: it was asked for otherwise."""
        # A server that answers turns by itself tells in the same way of what we asked for.
        ours = self._gate.in_flight and self._profile.server_answers and not self._ours_answers
        self._ours_answers = self._expects_refusal = False
        self._gate.started(response_id)
        self._timeout.response_begun(now)
        response = self._response(response_id)
        response.items.clear()
        answers = None if ours else self._unanswered
        if answers is not None:
            self._unanswered = None
            turn = self._turn(answers)
            turn.answer = response_id
            response.superseded = turn.continued
            response.discarded |= turn.dismissed or turn.continued
        if response.discarded:
            self._discard(response_id)
        elif answers is not None and self._gate.fulfilled() is not None:
            response.fulfils = True
        elif self._unwanted:
            self._unwanted = False
            response.muted = True
            self.cancel(response_id)
        return answers

    def item_added(self, response_id: str, item_id: str) -> None:
        """A response has this item."""
        items = self._response(response_id).items
        if len(items) < MOST_ITEMS:
            items[item_id] = None

    def called(self, response_id: str, call: ToolCall) -> None:
        """A response calls a function. Raises MalformedError for more than a response can have."""
        calls = self._response(response_id).calls
        if len(calls) >= MOST_CALLS:
            raise MalformedError
        calls.append(call)

    def brings(self, response_id: str, now: float) -> None:
        """A response has something that is heard, or done."""
        self._response(response_id).brought = True
        self._timeout.heard(now)

    def ended(self, response_id: str, status: str, reason: str, now: float) -> Outcome:
        """A response is over, for this ``reason`` where it is not completed."""
        response = self._known.get(response_id) or _Response()
        calls, completed = self._calls_to_run(response, status), status == "completed"
        response.runs = calls
        self._items.called(calls)
        silent = response_id == self._gate.active and not (response.muted or response.brought or calls)
        # Muted: the caller is speaking, and what they say is answered, not what they interrupted.
        if silent and completed:
            given_up = self._fruitless()
        elif status == "failed":
            given_up = not response.muted and self._failed(reason)
        elif silent and status == "incomplete":
            # Not wanted again: the dialogue hears of it, and has the model continue.
            self._failures += 1
            given_up = self._gave_up = self._failures > MOST_INCOMPLETE
        else:
            self._failures, given_up = 0, False
        response.fulfils = False
        self._gate.ended(response_id)
        self._items.response_ended(response_id, completed=completed)
        self.proved |= completed and not (silent or reason)
        if self._gate.active is None:
            self._timeout.settled(now)
        return Outcome(calls, response.muted, response.superseded, silent and completed, given_up)

    def _calls_to_run(self, response: _Response, status: str) -> tuple[ToolCall, ...]:
        """Calls of a response that did not complete, or that the caller interrupted, are never run, least of all a
        hang-up; but each wants exactly one output."""
        calls, response.calls = tuple(response.calls), []
        if response.discarded:
            self._forget_items(response)
            return ()
        if status == "completed" and not response.muted:
            return calls
        why = INCOMPLETE if status in ("incomplete", "failed") and not response.muted else INTERRUPTED
        for call in calls:
            self._items.answer_call(call.call_id, why)
        return ()

    def _failed(self, reason: str) -> bool:
        """A response failed; returns whether the model is given up."""
        if reason != UNPAID and self._items.answers_open_calls(reason):
            self._gate.failed()
            return False
        return self._fruitless(again=reason != UNPAID)

    def _fruitless(self, *, again: bool = True) -> bool:
        """A response was silence to the caller: ask once more, then give the model up; returns whether it is."""
        self._failures += 1
        self._gave_up = not again or self._failures > MOST_FAILURES
        if not self._gave_up:
            self._gate.failed()
        return self._gave_up

    # -- time --------------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """The time of the next ``ask`` or ``tick``, should nothing happen before."""
        pending, wanted = self._timeout.next_deadline(), self._gate.next_deadline()
        if wanted is None:
            return pending
        wanted = max(wanted, self._caller_until)
        return wanted if pending is None else min(pending, wanted)

    def tick(self, now: float, *, tool_runs: bool) -> bool:
        """Do what is due. ``tool_runs``: a tool of the provider's is at work, and the server may be silent.
        True: a response is pending, and the server has said nothing of it for too long."""
        match self._timeout.judge(now):
            case TimeoutStep.GIVE_UP if tool_runs:
                self._timeout.progress(now)
            case TimeoutStep.GIVE_UP:
                return True
            case TimeoutStep.ASK:
                self._timeout.response_asked(now)
                self._gate.request({})
        return False

    # -- the books ---------------------------------------------------------------------------------

    def _response(self, response_id: str) -> _Response:
        """Servers may name a response before they say that it began."""
        response = self._known.get(response_id)
        if response is None:
            response = self._known[response_id] = _Response()
            if len(self._known) > KEPT:
                del self._known[next(each for each in self._known if each != self._gate.active)]
        return response

    def _turn(self, item_id: str) -> _Turn:
        turn = self._turns.setdefault(item_id, _Turn())
        forget_oldest(self._turns, TURNS_KEPT)
        return turn

    def _forget_items(self, response: _Response) -> None:
        for item_id in response.items:
            self._items.forget(item_id)
        self._items.not_called(response.runs)

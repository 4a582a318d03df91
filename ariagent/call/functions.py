"""The function calls of one call's model: ariagent's own are carried out here, the site's by the belt.

Each is answered exactly once; after the last one of a response the model goes on.
"""

import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from ariagent.dialogue import conversation as convo
from ariagent.call import events as ev
from ariagent.dialogue import handoff, destinations as people, builtin_tools as tools
from ariagent.call.tool_runner import Answer, Belt, Pending, described
from ariagent.dialogue.policy import Conduct, Deed
from ariagent.call.context import Context, Role
from ariagent.dialogue.handoff import Handoff
from ariagent.dialogue.history import History
from ariagent.dialogue.destinations import People
from ariagent.dialogue.tool_rounds import Rounds, Share
from ariagent.config.handoff import DestinationSettings
from ariagent.logs import CallLog
from ariagent.realtime.events import ToolCall

_DONE = json.dumps({"ok": True})


class Speaker(Protocol):
    """The side of the call that talks with the model."""

    def do(self, what: Iterable[Deed]) -> None:
        """Carry out what the agent's conduct asks for."""

    def give_result(self, call_id: str, output: str, *, ask: bool, must_speak: bool = False) -> None:
        """Give the model a function's result, and with ``ask`` the word; ``must_speak``: not to functions."""

    def give_sign(self, sign: str) -> None:
        """Let the caller know that it takes a moment."""


class _Nobody:
    """After the end."""

    def do(self, what: Iterable[Deed]) -> None:
        pass

    def give_result(self, call_id: str, output: str, *, ask: bool, must_speak: bool = False) -> None:
        pass

    def give_sign(self, sign: str) -> None:
        pass


class Functions:
    """Of one call. ``conduct`` is set once the agent has begun."""

    def __init__(
        self,
        context: Context,
        role: Role,
        log: CallLog,
        history: History,
        speaker: Speaker,
        feed: Callable[[ev.Event], None],
    ) -> None:
        settings = context.settings
        self.conduct: Conduct | None = None
        self.destinations: Mapping[str, DestinationSettings] = {
            name: settings.destinations[name] for name in role.agent.handoff
        }
        self._metrics = context.metrics
        self._toolbox = context.toolbox
        self._role = role
        self._log = log
        self._history = history
        self._speaker: Speaker = speaker
        self._feed = feed
        self._people = People(
            role.agent,
            self.destinations,
            settings.hours,
            context.queue_view,
            role.facts.caller_number,
            has_queue=context.has_queue,
        )
        self._belt = Belt(context.toolbox, role, self._tool_answered, speaker.give_sign)
        self._pending = Pending()
        self._rounds = Rounds()

    @property
    def declarations(self) -> tuple[dict[str, Any], ...]:
        """All of the agent's functions, in the form that ``session.update`` takes."""
        role = self._role
        return (*tools.declarations(role.agent, self.destinations), *self._toolbox.declarations(role.name))

    @property
    def busy(self) -> bool:
        """Something is not answered yet."""
        return bool(self._pending)

    def serve(self, role: Role) -> None:
        """Another caller is on the line."""
        self._role = role
        self._belt.serve(role)
        self._rounds.caller_heard()
        self._people.caller_number = role.facts.caller_number

    async def close(self) -> None:
        """Give up what still runs."""
        await self._belt.close()
        # Lets go of who holds it: a call and its audio should not have to wait for the collector of cycles.
        self._speaker = _Nobody()

    def called(self, calls: tuple[ToolCall, ...]) -> None:
        """The model called these in one response."""
        share = self._rounds.called(calls, len(self._pending))
        self._pending.add(calls)
        self._refuse(share)
        for call in share.run:
            self._log.note("tool.called", **described(call))
            self._history.used(call.call_id, call.name, call.arguments)
            own = tools.own(self._role.agent, call.name, self.destinations)
            if own is None:
                if self.conduct is not None:
                    self.conduct.busy(True, time.monotonic())
                self._belt.start(call)
                continue
            self._log.event("tool.used", tool=own)
            self._run_own(own, call)

    def answer(self, call_id: str, output: str, *, goes_on: bool = True) -> None:
        """A function's result is there, JSON text; ``goes_on``: there is something to say about it."""
        ask = self._pending.answered(call_id, goes_on=goes_on)
        if ask is not None:
            self._history.answered(call_id, output)
            self._speaker.give_result(call_id, output, ask=ask, must_speak=self._rounds.must_speak)

    def happened(self, what: convo.Happening) -> None:
        """The conversation went on."""
        match what:
            case convo.CallerBegan():
                self._rounds.caller_heard()
            case convo.AgentBegan(item_id=item_id) if not item_id.startswith(convo.PHRASE):
                self._rounds.agent_heard()

    def key_pressed(self) -> None:
        """The caller pressed a key: as good as a word."""
        self._rounds.caller_heard()

    def to_person(self) -> None:
        """The caller wants a person: the first of the agent's destinations; without any, whom the dialplan names."""
        first = next(iter(self.destinations.items()), None)
        if first is None:
            self._feed(ev.PersonRequested("caller_pressed_person"))
        else:
            self._hand_off(Handoff(*first, by="caller", reason="the caller pressed a key for a person"))

    def way_out(self, cause: str) -> Handoff | None:
        """Where the caller goes when the agent is gone: to the first of its destinations, if it has any."""
        first = next(iter(self.destinations.items()), None)
        if first is None:
            return None
        name, destination = first
        blind = destination.model_copy(update={"kind": "blind"})
        summary = handoff.clean(self._history.digest())
        return Handoff(name, blind, "ariagent", handoff.clean(f"the agent failed: {cause}"), summary)

    def _refuse(self, share: Share) -> None:
        """Answer the calls that are too many, without running them."""
        if not share.refused:
            return
        count, rounds = len(share.refused), self._rounds.count
        self._log.event("tool.refused", logging.WARNING, count=count, tool=share.refused[0].name[:64], rounds=rounds)
        for call in share.refused:
            self.answer(call.call_id, share.why, goes_on=share.reminds)
        if self._rounds.hopeless:
            cause = "the model calls functions again and again instead of speaking to the caller"
            way_out = self.way_out(cause)
            gone = ev.ModelFailed(cause, ev.MODEL_SILENT)
            self._feed(gone if way_out is None else ev.AgentGone(cause, way_out, ev.MODEL_SILENT))

    # -- ariagent's own ---------------------------------------------------------------------------

    def _run_own(self, name: str, call: ToolCall) -> None:
        if name == "collect_digits" and self.conduct is not None:
            self._speaker.do(self.conduct.collect(call.call_id, call.arguments, time.monotonic()))
        elif name in people.OWN:
            output, message = self._people.answer(name, call.arguments, time.time())
            if message is not None:
                self._log.event("message.taken", kind=message.kind, private=message.private)
            self.answer(call.call_id, output)
        elif name == handoff.TRANSFER_CALL:
            self._transfer(call)
        else:
            self.answer(call.call_id, _DONE, goes_on=False)
            if name == "end_call":
                self._feed(ev.EndRequested("agent_ended"))
            elif name == handoff.CANCEL_TRANSFER:
                self._feed(ev.ColleagueUnwanted())
            elif self.conduct is not None:
                self.conduct.hold_on(time.monotonic())

    def _transfer(self, call: ToolCall) -> None:
        wanted = handoff.parse(call.arguments, self.destinations)
        if isinstance(wanted, str):
            self.answer(call.call_id, json.dumps({"error": wanted}))
        elif (refusal := self._people.refusal(wanted, now := time.time())) is not None:
            self._not_now(wanted, wrong=self._people.standing(wanted.name, now).wrong, state=refusal["state"])
            self.answer(call.call_id, json.dumps(refusal, ensure_ascii=False))
        else:
            self.answer(call.call_id, _DONE, goes_on=False)
            self._hand_off(wanted)

    def _not_now(self, wanted: Handoff, *, wrong: bool, state: object) -> None:
        """Closed, nobody there or a long wait is no error; a destination that there never is, is one."""
        if wrong:
            self._log.event("call.not_transferred", logging.WARNING, destination=wanted.name, state=state)
        else:
            self._log.event("call.transfer_declined", destination=wanted.name, state=state)
        self._metrics.transfers.labels(wanted.kind, "failed" if wrong else "declined").inc()

    def _hand_off(self, wanted: Handoff) -> None:
        warm = wanted.kind == "warm"
        self._feed(ev.ColleagueRequested(wanted) if warm else ev.HandoffRequested(wanted))

    def _tool_answered(self, answer: Answer) -> None:
        outcome = answer.outcome
        self._log.note(
            "tool.done",
            tool=answer.call.name[:64],
            id=answer.call.call_id,
            ms=round(1000 * answer.seconds, 1),
            ok=outcome.ok,
            kind=outcome.kind,
            output=outcome.output,
        )
        self.answer(answer.call.call_id, outcome.output)
        if self.conduct is not None and not self._pending:
            self.conduct.busy(False, time.monotonic())

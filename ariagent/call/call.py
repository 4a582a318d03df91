"""One call, running: owns its state machine, its legs, its conversation and its tasks.

    channel --ARI--> CallRunner.on_ari --> CallMachine --> commands, done in order by ``run``

What is said and heard is in ``talk``.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from typing import Any

from ariagent.ami.events import AttendedTransferred, BlindTransferred
from ariagent.ari import events as ari
from ariagent.ari.client import ConflictError, NotFoundError
from ariagent.call import commands as cmd
from ariagent.call import events as ev
from ariagent.call.caller_leg import CallerLeg
from ariagent.call.casting import Arrival
from ariagent.call.far_end_watch import Chaperone
from ariagent.call.commands import Command, Result, Termination
from ariagent.call.far_end import twin
from ariagent.call.context import Context, Role
from ariagent.dialogue.handoff import Handoff
from ariagent.dialogue.introduction import Party, newcomer
from ariagent.call.media_leg import REMEDY, MediaLeg, NoAudioError
from ariagent.call.live import LiveCall
from ariagent.call.machine import AUDIBLE, MEDIA_FAILED, OVERTIME_S, RELEASE_TIMEOUT_S, CallMachine, State
from ariagent.dialogue.memory import Owed
from ariagent.call.attended_transfer import Newcomers, shown_newcomer
from ariagent.call.reception import OWN_CALL, Reception
from ariagent.call.resume import LEFT
from ariagent.call.warm_transfer import Search
from ariagent.call.talk import Talk
from ariagent.call.blind_transfer import hand_over, to_people
from ariagent.call.bridge_watchdog import keep_joined, nothing_heard
from ariagent.errors import AriError, AsteriskError, CallStateError, TurnedAwayError, UnknownAgentError
from ariagent.logs import CallLog

MEDIA_TIMEOUT_S = 8.0
AUDIO_HERE_S = 3.0
"""For the audio connection to be here once Asterisk has made it; that takes milliseconds."""
HANGUP_TOLD_S = 0.3
TRANSFERRED_AWAY = "transferred_away"
"""The reason of calls whose agent was transferred to where nobody is."""


class CallRunner:
    """Serves one call from its arrival to its one Termination."""

    def __init__(
        self,
        context: Context,
        arrival: Arrival,
        changed: Callable[["CallRunner"], None] = lambda _: None,
        answered: Callable[[str, str], bool] = lambda linked_id, name: False,
    ) -> None:
        """``changed`` is called when ``live`` has something new to tell; it must not block. ``answered``: whether a
        call of this process is in conversation that has this linked id, or the other half of this channel name."""
        self.context = context
        self._changed = changed
        self.arrival = arrival
        self.log = CallLog(logging.getLogger(__name__), arrival.channel.id)
        self._reception = Reception(context, arrival, self.log, answered)
        self._leg = CallerLeg(context.ari, arrival, self.log, self._not_given_back)
        now, wall = time.monotonic(), time.time()
        resumes = arrival.resumes
        self._made = now
        self._machine = CallMachine(now)
        self._began = now - (wall - self._reception.arrived)
        self._answered_at: float | None = None
        if resumes is not None and resumes.answered is not None:
            self._answered_at = now - (wall - resumes.answered)
        self._commands: asyncio.Queue[Command] = asyncio.Queue()
        self._timer: asyncio.TimerHandle | None = None
        self.media = MediaLeg(context.ari)
        self._media_task: asyncio.Task[None] | None = None
        self._talk: Talk | None = None
        channel = arrival.channel
        # Nobody, until it is known whether the caller shows their number.
        self._newcomers = Newcomers(Party(), self._put_through)
        self._identifying: asyncio.Task[None] | None = None
        self._chaperone = Chaperone(
            context.ari, channel.name, alone=self._left_alone, polls=context.ami is None, moved=resumes is not None
        )
        self._deserted = False
        self.handed: Handoff | None = None
        """Where the caller went to."""
        self._owed = Owed.NOTHING
        """What the caller waits for when we leave."""
        self.stuck = False
        """Asterisk did not let something of the call go."""
        self._released = False
        self._over: asyncio.Future[Termination] = asyncio.get_running_loop().create_future()
        self._search = Search(context, self.log, self.feed, lambda: self._changed(self))

    @property
    def call_id(self) -> str:
        """The call's, in Asterisk and in its record."""
        return self._reception.call_id

    @property
    def agent(self) -> str:
        """The label of the agent that the call is for."""
        return self._reception.agent

    @property
    def leg(self) -> str:
        """The caller's channel; another one after a transfer."""
        return self._leg.id

    @property
    def state(self) -> State:
        return self._machine.state

    @property
    def over(self) -> bool:
        """The caller is served no longer; what is left is giving things back."""
        return self.state in (State.ENDING, State.ENDED)

    def owns(self, channel_id: str) -> bool:
        """Whether the channel is the caller's, or one of those that we made for the call."""
        return channel_id in (self.leg, self.media.channel) or self._search.owns(channel_id)

    def converses(self, linked_id: str, name: str) -> bool:
        """Whether this call is in conversation, and has this linked id or the other half of the channel ``name``."""
        known = linked_id in (self.call_id, *self._chaperone.linked) or twin(name) == self._chaperone.name
        return known and self.state in AUDIBLE

    @property
    def termination(self) -> Termination | None:
        """How the call ended; None while it goes on."""
        return self._machine.termination if self.over else None

    # -- for supervisors --------------------------------------------------------------------------

    def live(self) -> LiveCall:
        """The call as it is now."""
        channel, role, talk, since = self.arrival.channel, self._reception.role, self._talk, self._answered_at
        caller = self._newcomers.current
        return LiveCall(
            call_id=self.call_id,
            state="consulting" if self._search.goes_on else self.state.value,
            arrived=self._reception.arrived,
            answered_s=None if since is None else time.monotonic() - since,
            agent=role.name if role is not None else "",
            seat=self.arrival.seat or "",
            queue=self._reception.queue,
            language=role.language if role is not None else "",
            caller_number=caller.number,
            caller_name=caller.name,
            channel=channel.name,
            last_said=talk.last_said if talk is not None else None,
        )

    def hand_off(self, handoff: Handoff) -> None:
        """Put the caller through to people, after the sentence in progress. Raises CallStateError.

        Returns at once; what came of it is in the call's record, and the model is told if it fails.
        """
        if self.state not in AUDIBLE:
            raise CallStateError(f"the call is {self.state.value}: it cannot be transferred now")
        if (under_way := self._machine.moving) is not None:
            raise CallStateError(f"{under_way.by} is putting the caller through to {under_way.name} already")
        warm = handoff.kind == "warm"
        if warm and self._search.goes_on:
            raise CallStateError("a colleague is being looked for already")
        self.log.event("call.moved", by=handoff.by, destination=handoff.name)
        self.feed(ev.ColleagueRequested(handoff) if warm else ev.HandoffRequested(handoff))

    def whisper(self, text: str, by: str, *, now: bool = False) -> None:
        """Give the model a note that the caller does not hear; ``now``: it is to act on it at once, else from its next
        words on. Raises CallStateError."""
        if self._talk is None or self.state not in AUDIBLE:
            raise CallStateError(f"the call is {self.state.value}: nobody can be told anything now")
        self.log.event("call.whispered", by=by, private={"text": text})
        self._talk.whisper(text, now=now)

    # -- life -------------------------------------------------------------------------------------

    async def run(self) -> Termination:
        """Serve the call to its end. Returns how it ended; gives everything back whatever happens."""
        try:
            role = await self._reception.receive(self.media.uuid)
            self.arrival = self._reception.arrival
            if not self._newcomers.changed:
                self._newcomers.current = Party(role.facts.caller_number, role.facts.caller_name)
            if (ended := self._machine.termination) is not None:  # hung up or stopped meanwhile
                return self._ended(ended) if ended.result is Result.LEFT else await self._turn_away(ended)
            return self._ended(await self._serve(role))
        except UnknownAgentError as error:
            return await self._decline(Termination(Result.ERROR, "unknown_agent", error.line))
        except TurnedAwayError as error:
            return await self._decline(Termination(Result.BUSY, error.reason), hang_up=error.reason == OWN_CALL)
        except AriError as error:
            if isinstance(error, NotFoundError | ConflictError):
                return self._ended(Termination(Result.DONE, "caller_hung_up"))
            return await self._turn_away(Termination(Result.ERROR, "asterisk_failed", error.line))
        except Exception as error:
            # A fault of ours, at this call's edge: the caller goes to people, the other calls go on.
            self.log.exception("call.fault")
            with suppress(TimeoutError):
                async with asyncio.timeout(RELEASE_TIMEOUT_S):
                    await self._release()
            return await self._turn_away(Termination(Result.ERROR, "fault", repr(error)))
        finally:
            self._forget()

    async def _serve(self, role: Role) -> Termination:
        context = self.context
        self._talk = talk = Talk(
            context, role, feed=self.feed, log=self.log, began=self._began, said=lambda: self._changed(self)
        )
        context.router.register(self.media.channel, self.on_ari)
        context.media.expect(self.media.uuid, talk, context.format, self.call_id)
        self._arm()
        async with asyncio.TaskGroup() as tasks:
            model = tasks.create_task(talk.run(), name=f"model {self.call_id}")
            self._media_task = tasks.create_task(self._make_media(talk), name=f"media {self.call_id}")
            watching = [
                tasks.create_task(watch, name=f"{name} {self.call_id}") for name, watch in self._vigils(talk).items()
            ]
            doing = tasks.create_task(self._do_commands(talk), name=f"commands {self.call_id}")
            termination = await self._over
            for task in (model, self._media_task, *watching, doing):
                task.cancel()
        return termination

    def _ended(self, termination: Termination) -> Termination:
        fields: dict[str, Any] = {"result": termination.result.value, "reason": termination.reason}
        if termination.cause:
            fields["cause"] = termination.cause
        if self._talk is not None:
            fields |= self._talk.account()
        fields |= self._newcomers.talk_s(time.monotonic())
        if termination.result is Result.LEFT:
            self.log.event(LEFT, owed=self._owed.value, **fields)
            return termination
        if termination.result is Result.NO_MODEL:
            self.context.model_doubted(False)
        elif termination.reason == MEDIA_FAILED:
            self.context.audio_doubted(termination.cause, False)
        failed = termination.result in (Result.ERROR, Result.NO_MODEL)
        self.log.event("call.ended", logging.WARNING if failed else logging.INFO, **fields)
        return termination

    def _forget(self) -> None:
        self._reception.leave()
        # A caller whom nobody took may be back by now, and served by another runner: the channel is the same.
        self.context.router.unregister(self.leg, self.on_ari)
        self.context.router.unregister(self.media.channel)
        self.context.media.forget(self.media.uuid)
        if self._timer is not None:
            self._timer.cancel()
        self._newcomers.close()
        if self._identifying is not None:
            self._identifying.cancel()
        # It holds us and we hold it, with all the audio that was not heard: nothing should wait for the collector.
        self._talk = None

    # -- what happens -----------------------------------------------------------------------------

    def feed(self, event: ev.Event) -> None:
        """Something happened to the call. Called from the event loop; never blocks."""
        before = self.state
        self._carry_out(self._machine.handle(event, time.monotonic()))
        self._tell_state(before)

    def _tell_state(self, before: State) -> None:
        if self.state is not before:
            self.log.note("call.state", state=self.state.value)
            self._changed(self)

    def on_ari(self, event: ari.Event) -> None:
        """An event of one of this call's channels."""
        match event:
            case ari.StasisStarted(channel=channel) if channel.id == self.media.channel:
                self.media.entered()
            case ari.StasisStarted(replaces=replaced) if replaced == self.leg:
                self.feed(ev.LegReplaced(event.channel.id))
                self._newcomers.replaced(event.channel)
                if self._chaperone.follow(event.channel.name):
                    self._reception.count()
            case ari.ChannelUp(channel_id=channel_id):
                self._newcomers.up(channel_id)
            case ari.ConnectedLine() if event.channel_id == self.media.channel:
                self._newcomers.shown(Party.of(event.number, event.name))
            case ari.StasisEnded() | ari.ChannelDestroyed() if event.channel_id == self.leg:
                self.feed(ev.CallerLeft())
            case ari.ChannelDestroyed() if event.channel_id == self.media.channel:
                self._media_gone()
            case ari.LeftBridge() if event.channel_id == self.media.channel:
                # The caller may be in no bridge either; in Stasis nothing would end their silence.
                self.feed(ev.MediaFailed("the media channel left the bridge"))
            case ari.DigitReceived() if event.channel_id == self.leg:
                self.feed(ev.DigitPressed(event.digit))

    def attended(self, event: AttendedTransferred) -> None:
        """Somebody joined two of their calls; maybe one of them is a seat's of ours, and this one."""
        half = twin(self._chaperone.name)
        if half and (caller := newcomer(event, half)) is not None:
            self._chaperone.moved()
            if self.arrival.seat is not None:
                self._put_through(caller, event.transferee if event.target == half else event.target)

    def sent_elsewhere(self, event: BlindTransferred) -> None:
        """Somebody was transferred; maybe it is the agent, by the party that it talks with."""
        if event.result == "Success" and event.transferee == twin(self._chaperone.name):
            self._chaperone.moved()
            self._reception.count()

    def _left_alone(self) -> bool:
        """Nobody is at the other end any more. Returns whether the call ends."""
        if self.state not in AUDIBLE:
            return self.over
        self._deserted = True
        self.log.event("call.transferred_away", logging.WARNING, channel=self._chaperone.name)
        self.feed(ev.NobodyThere(TRANSFERRED_AWAY))
        return True

    def _put_through(self, caller: Party, channel: str = "") -> None:
        """From now on this is who is on the line. ``channel``: the name of theirs, where a seat is called."""
        if self._identifying is not None:
            self._identifying.cancel()
        self._identifying = asyncio.ensure_future(self._identify(caller, channel))

    async def _identify(self, caller: Party, channel: str) -> None:
        self._joined(await shown_newcomer(self.context.ari, caller, channel, self.media.channel, self.leg))

    def _joined(self, caller: Party) -> None:
        before = self._newcomers.current
        self._newcomers.joined(caller, time.monotonic())
        self.log.event("call.caller_changed", was=before.number or "-", caller=caller.number or "-")
        self.feed(ev.PartyChanged(before, caller))
        self._changed(self)

    def _caller_channel(self) -> ari.Channel:
        """The channel that the call came in on, with who is on the line now."""
        caller = self._newcomers.current
        return replace(self.arrival.channel, caller_number=caller.number, caller_name=caller.name)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self._machine.next_deadline()
        if deadline is not None:
            self._timer = asyncio.get_running_loop().call_at(deadline, self._tick)

    def _tick(self) -> None:
        self._timer = None
        before = self.state
        self._carry_out(self._machine.tick(time.monotonic()))
        self._tell_state(before)

    # -- what is done about it --------------------------------------------------------------------

    def _carry_out(self, commands: list[Command]) -> None:
        """Do what can be done at once; what needs Asterisk waits its turn in ``_do_commands``."""
        for command in commands:
            match command:
                case cmd.FollowLeg(channel_id=channel_id):
                    self._follow(channel_id)
                case cmd.StartTalking() if self._talk is not None:
                    self._talk.begin()
                case cmd.MeetCaller(before=before, caller=caller) if self._talk is not None:
                    self._talk.meet(before, caller)
                    self._commands.put_nowait(command)
                case cmd.PressKey(digit=digit) if self._talk is not None:
                    self._talk.press(digit)
                case cmd.PrepareBrief(handoff=handoff) if self._talk is not None:
                    self._search.cancel()
                    self._talk.prepare_brief(handoff)
                case cmd.CallColleague(handoff=handoff) if self._talk is not None:
                    self._search.begin(self._talk, handoff, self.call_id, self.leg, self._caller_channel())
                case cmd.DropColleague():
                    self._search.cancel()
                case cmd.Drain(final=final) if self._talk is not None:
                    self._talk.drain(final=final)
                case cmd.Finish(termination=termination):
                    self._finish(termination)
                case _:
                    if isinstance(command, cmd.Release | cmd.Leave):
                        self.media.give_up()
                        # Nothing of the leg matters any more. One that takes its place is a newcomer: turned away.
                        self.context.router.unregister(self.leg, self.on_ari)
                    self._commands.put_nowait(command)
        self._arm()

    def _finish(self, termination: Termination) -> None:
        if not self._released:
            # Whatever hangs there must not keep the end from being told; what is left is looked for later.
            self.stuck = True
            self.log.event("call.not_released", logging.ERROR, cause="not everything was given back in time")
        self._over.set_result(termination)

    async def _do_commands(self, talk: Talk) -> None:
        """The commands that need Asterisk, one after another."""
        while True:
            match await self._commands.get():
                case cmd.Answer():
                    await self._answer(talk)
                case cmd.MeetCaller():
                    await self._search.end("CANCELLED")  # which was for somebody else
                case cmd.BreakOff():
                    await self._leg.break_off()
                case cmd.ReturnToDialplan(result=result):
                    await self._return_to_dialplan(result)
                case cmd.HandOver(handoff=handoff):
                    await self._hand_over(talk, handoff)
                case cmd.ExplainFailure(handoff=handoff):
                    talk.explain_failure(handoff)
                case cmd.HangUp():
                    await self._hang_up()
                case cmd.Release():
                    await self._release()
                    self._released = True
                    self.feed(ev.Released())
                case cmd.Leave():
                    await self._leave(talk)
                    self._released = True
                    self.feed(ev.Released())

    async def _make_media(self, talk: Talk) -> None:
        """Bridge, audio channel, both ends in the bridge; reported as MediaReady or MediaFailed."""
        try:
            async with asyncio.timeout(MEDIA_TIMEOUT_S):
                context = self.context
                if not await self.media.make(address=context.media_address, rate_hz=context.format.rate_hz):
                    return
                await self._audio_here(talk)
                await self.media.join(self.leg)
        except NoAudioError as error:
            self._no_audio(error.line)
        except AriError as error:
            await self._refused(error)
        except TimeoutError:
            self.feed(ev.MediaFailed("Asterisk did not connect the audio in time; can it reach audiosocket.advertise?"))
        else:
            self.feed(ev.MediaReady())

    def _media_gone(self) -> None:
        if self._talk is not None and not self._talk.joined.is_set():
            self._no_audio(f"Asterisk's audio connection to {self.context.media_address} did not come about. {REMEDY}")
        else:
            self.feed(ev.MediaFailed("Asterisk hung the media channel up"))

    def _no_audio(self, cause: str) -> None:
        """No call gets any audio now."""
        if not self.over:
            self.context.audio_doubted(cause, True)
            self.feed(ev.MediaFailed(cause, for_all=True))

    async def _audio_here(self, talk: Talk) -> None:
        """Asterisk has connected to somebody: wait until it is us. Raises NoAudioError."""
        try:
            async with asyncio.timeout(AUDIO_HERE_S):
                await talk.joined.wait()
        except TimeoutError:
            address = self.context.media_address
            raise NoAudioError(f"Asterisk connects to {address}, but not to ariagent", remedy=REMEDY) from None

    def _vigils(self, talk: Talk) -> dict[str, Coroutine[None, None, None]]:
        """What goes on beside the conversation, by name."""

        def heard_at() -> float:
            return talk.heard_at

        watched = {"heard": self._watch_audio(heard_at), "company": self._chaperone.run()}
        if self.arrival.seat is not None:
            watched["joined"] = keep_joined(heard_at, self._rejoin)
        return watched

    def _talking(self) -> bool:
        return self.state in (State.TALKING, State.DRAINING)

    async def _rejoin(self) -> None:
        if not self._talking():
            return
        try:
            await self.media.rejoin(self.leg)
        except AriError as error:
            # Whatever is wrong with the leg or the bridge is told by events of their own.
            self.log.event("call.not_rejoined", logging.DEBUG, cause=error.line)

    async def _watch_audio(self, heard_at: Callable[[], float]) -> None:
        await nothing_heard(heard_at, self.context.settings.watchdog.no_audio_s, self._talking)
        self.feed(ev.PersonRequested("no_audio"))

    async def _answer(self, talk: Talk) -> None:
        # The caller's first words may be on their way before the answer to our request is.
        talk.hear()
        try:
            await self.context.ari.answer(self.leg)
        except AriError as error:
            await self._refused(error)
            return
        if self.state is State.ANSWERING:
            self._talk_begins()
            self.feed(ev.Answered())

    def _talk_begins(self) -> None:
        now = time.monotonic()
        if (role := self._reception.role) is not None:
            self._machine.talks_until = now + role.agent.length.longest_s + OVERTIME_S
        resumed, self._answered_at = self._answered_at is not None, self._answered_at or now
        self._newcomers.answered(self._answered_at)
        self._reception.answered(time.time() - (now - self._answered_at))
        after_s = now - self._began
        if resumed:
            self.log.event("call.goes_on", after_ms=round(1000 * (now - self._made), 1))
            self.context.metrics.resumed.inc()
            return
        self.log.event("call.answered", after_ms=round(1000 * after_s, 1))
        self.context.metrics.answered(after_s)

    async def _hand_over(self, talk: Talk, handoff: Handoff) -> None:
        context, name = self.context, handoff.name
        context.memories.keep(self.call_id, talk.remember(name), time.monotonic())
        brief = talk.summary.path if talk.summary is not None and not handoff.joins else ""
        # Asterisk plays nothing that it cannot read: then it is a blind one, whatever was wanted.
        unheard = bool(brief) and not context.briefs.playable
        kind = "blind" if unheard else handoff.kind
        variables = handoff.screen_pop(self.call_id, talk.language, brief)
        if self._newcomers.changed:
            # The channel that stands for them may show another number, or none.
            variables |= self._newcomers.current.caller_id()
        counted = context.metrics.transfers
        more: dict[str, Any] = {"brief": talk.summary.outlook} if brief and talk.summary is not None else {}
        # A supervisor who takes over waits on a line of their own.
        found = bool(handoff.joins) and handoff.kind == "warm"
        failed: dict[str, Any] = {"brief": "failed"} if unheard or (found and self._search.brief_failed) else {}
        try:
            if found:
                more = {"queue_call": self._search.join()}
            await hand_over(context, self.arrival, self.leg, handoff, variables)
        except AsteriskError as error:
            if found:
                await self._search.end("FAILED")
            context.memories.take(self.call_id, time.monotonic())
            self.log.event("call.not_handed_over", logging.WARNING, destination=name, cause=error.line)
            counted.labels(kind, "failed").inc()
            self.feed(ev.HandoffFailed(error.line))
            return
        self.log.event(
            "call.handed_over",
            destination=name,
            by=handoff.by,
            kind=kind,
            private={"text": handoff.summary},
            **(more | failed),
        )
        if unheard:
            context.briefs.failed(self.log)
        elif brief:
            context.briefs.handed(self.log)
        counted.labels(kind, "done").inc()
        self.handed = handoff
        self.feed(ev.HandedOver())

    async def _refused(self, error: AriError) -> None:
        """Asterisk would not do what the call needs: because the caller is gone, or for a reason of its own.

        What is asked for a channel that is just being hung up is refused in many ways (400, 404, 422, 500); that it
        is gone is told in a moment.
        """
        await asyncio.sleep(HANGUP_TOLD_S)
        if self.over:
            return
        gone = isinstance(error, NotFoundError | ConflictError) and not await self._leg.exists()
        self.feed(ev.CallerLeft() if gone else ev.MediaFailed(error.line))

    def _follow(self, channel_id: str) -> None:
        self.context.router.unregister(self.leg, self.on_ari)
        self._leg.follow(channel_id)
        self.context.router.register(channel_id, self.on_ari)

    async def _turn_away(self, termination: Termination) -> Termination:
        """End a call for which nothing was made, or nothing is left."""
        await self._return_to_dialplan(termination.result)
        return self._ended(termination)

    async def _decline(self, termination: Termination, *, hang_up: bool = False) -> Termination:
        """Do not serve this caller, whom no other seat would serve either. ``hang_up``: nor any human agent."""
        await self._leg.break_off()
        if hang_up:
            await self._leg.hang_up()
            return self._ended(termination)
        return await self._turn_away(termination)

    async def _return_to_dialplan(self, result: Result) -> None:
        """Leave Stasis with ARIAGENT_RESULT set, so that the dialplan can go on to people."""
        put_through = self.arrival.seat is not None and self._newcomers.changed
        if put_through and result is not Result.DONE and await to_people(self.context, self.arrival):
            return
        await self._leg.give_back(result)

    async def _hang_up(self) -> None:
        """End the caller's channel: a direct caller's dialplan goes on (and hangs up), a seat's is over."""
        if self.arrival.seat is None and not self._deserted:
            await self._return_to_dialplan(Result.DONE)
        else:
            await self._leg.hang_up()

    async def _release(self) -> None:
        """Give back model, media channel and bridge, in whatever state of being made they are."""
        self.context.media.forget(self.media.uuid)
        self.media.give_up()
        # A request in flight cannot be taken back: wait for it (it is bounded), then undo it by its preset id.
        if self._media_task is not None:
            await asyncio.wait([self._media_task])
        failures, *_ = await asyncio.gather(
            self.media.release(), self._close_talk(), self._search.end("ENDED"), self._leg.release()
        )
        for failure in failures:
            if not isinstance(failure, NotFoundError):
                self._not_given_back("call.not_released", failure)

    async def _leave(self, talk: Talk) -> None:
        """Let go of what is ours; Asterisk keeps the caller, in a bridge that the next process does away with."""
        searched = self._search.goes_on
        self._owed, _ = await asyncio.gather(talk.leave(), self._search.end("CANCELLED"))
        if searched and self._owed is not Owed.TURN:
            self._owed = Owed.COLLEAGUE
        self.context.media.forget(self.media.uuid)
        await asyncio.gather(self._close_talk(), self._leg.release())

    def _not_given_back(self, event: str, error: AriError) -> None:
        self.stuck = True
        self.log.event(event, logging.ERROR, cause=error.line)

    async def _close_talk(self) -> None:
        if self._talk is not None:
            ended = self._machine.termination
            await self._talk.close(handed_over=ended is not None and ended.result is Result.TRANSFERRED)

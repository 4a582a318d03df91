"""One call, from its arrival to its one end: the driver between Asterisk, the model and the dialogue.

    Asterisk --TCP--> audio_received --> Dialogue.hear  --> RealtimeClient.append_audio --> model
    Asterisk <--TCP-- frame_due      <-- Dialogue.frame <-- playout <-- Dialogue.handle <-- model
    Asterisk --ARI--> on_ari, finished commands, supervisors, time --> CallMachine --> commands

Every way in is an ``@entry``: it tells the dialogue or the state machine what happened, and ``_settle`` carries out
what follows, sends what the model is to be sent, and sets the one timer. Audio never passes a queue or a task of
ours.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial, wraps
from typing import Concatenate, ParamSpec, TypeVar, assert_never

from ariagent.ami.events import AttendedTransferred, BlindTransferred
from ariagent.ari import events as ari
from ariagent.ari.client import ConflictError, NotFoundError
from ariagent.audio.format import FRAME_MS
from ariagent.audio.rates import ModelCodec, ModelEncoding
from ariagent.audiosocket.server import MediaConnection, Reason
from ariagent.call import commands as cmd
from ariagent.call import events as ev
from ariagent.call.arrival import OWN_CALL, Arrival, ArrivingCall
from ariagent.call.attended_transfer import AttendedTransfer, party_after_transfer, remote_party
from ariagent.call.blind_transfer import to_human_queue
from ariagent.call.bridge_watchdog import BridgeWatchdog, Finding
from ariagent.call.caller_leg import CallerLeg
from ariagent.call.context import Context
from ariagent.call.far_end import twin
from ariagent.call.far_end_watch import FarEndWatch
from ariagent.call.live import LiveCall
from ariagent.call.machine import AUDIBLE, MEDIA_FAILED, OVERTIME_S, RELEASE_TIMEOUT_S, CallMachine, State
from ariagent.call.media_leg import REMEDY, MediaLeg, NoAudioError
from ariagent.call.observer import Observer
from ariagent.call.transfers import TransferOutcome, Transfers
from ariagent.dialogue import effects as fx
from ariagent.dialogue import events as said
from ariagent.dialogue import notes
from ariagent.dialogue.builtin_tools import BuiltinTools
from ariagent.dialogue.destinations import Destinations
from ariagent.dialogue.dialogue import Dialogue
from ariagent.dialogue.handoff import Handoff
from ariagent.dialogue.introduction import Party
from ariagent.dialogue.memory import Unfinished
from ariagent.dialogue.role import Role
from ariagent.errors import AriError, CallStateError, TurnedAwayError, UnknownAgentError
from ariagent.logs import CallLog
from ariagent.realtime import events as rt
from ariagent.realtime.line import ModelLine
from ariagent.realtime.profile import SessionProfile
from ariagent.records import events as rec
from ariagent.termination import Result, Termination

LISTEN_FRAMES = 50
"""A second of the caller's frames is collected, then looked at: frame by frame would cost much more."""
JUDGED_S = 8
"""Seconds of the caller's newest audio that are kept for the end-of-turn judge."""
CUT_LIMIT_S = 0.3
"""How long the end waits for the words of a sentence that was cut off."""
HANGUP_TOLD_S = 0.3
TRANSFERRED_AWAY = "transferred_away"
"""The reason of calls whose agent was transferred to where nobody is."""

P = ParamSpec("P")
R = TypeVar("R")


def entry(work: Callable[Concatenate["Call", P], None]) -> Callable[Concatenate["Call", P], None]:
    """A way into the call. What follows from it is carried out; whatever it raises ends this call, and no other."""
    return _way_in(work, always=True)


def audio_entry(work: Callable[Concatenate["Call", P], R]) -> Callable[Concatenate["Call", P], R | None]:
    """A way in for audio, dozens of times a second: as ``entry``, but most often nothing follows from it."""
    return _way_in(work, always=False)


def _way_in(work: Callable[Concatenate["Call", P], R], *, always: bool) -> Callable[Concatenate["Call", P], R | None]:
    @wraps(work)
    def entered(call: "Call", /, *args: P.args, **kwargs: P.kwargs) -> R | None:
        if call.faulty:
            return None
        try:
            result = work(call, *args, **kwargs)
            if always or call._dialogue.effects:
                call._settle()
        except Exception as error:  # noqa: BLE001  # ends this call, is logged, and harms no other
            call._fault(error)
            return None
        return result

    return entered


class Call:
    """One call. Also the MediaEndpoint of its audio connection."""

    # While it is served.
    _dialogue: Dialogue
    _model: ModelLine
    _observer: Observer
    _codec: ModelCodec
    _watchdog: BridgeWatchdog

    def __init__(
        self,
        context: Context,
        arrival: Arrival,
        changed: Callable[["Call"], None] = lambda _: None,
        answered: Callable[[str, str], bool] = lambda linked_id, name: False,
    ) -> None:
        """``changed`` is called when ``live`` has something new to tell; it must not block. ``answered``: whether a
        call of this process is in conversation that has this linked id, or the other half of this channel name."""
        self.context = context
        self._changed = changed
        self.arrival = arrival
        self.log = CallLog(logging.getLogger(__name__), arrival.channel.id)
        self._arriving = ArrivingCall(context, arrival, self.log, answered)
        self._leg = CallerLeg(context.ari, arrival, self.log, self._not_given_back)
        now, wall = time.monotonic(), time.time()
        resumes = arrival.resumes
        self._made = now
        self._machine = CallMachine(now)
        self._began = now - (wall - self._arriving.arrived)
        self._answered_at: float | None = None
        if resumes is not None and resumes.answered is not None:
            self._answered_at = now - (wall - resumes.answered)
        self._serving = False
        self._connection: MediaConnection | None = None
        self._hears = False
        """The caller's audio goes to the model."""
        self._heard: list[bytes] = []  # of the caller, since the last look at it
        self._heard_since = 0.0
        self._recent: deque[bytes] | None = None
        """The caller's newest audio, if the end-of-turn judge is asked."""
        self._judging: asyncio.Task[None] | None = None
        self._heard_at = now
        """When the caller's last frame came; before the first one when the call began."""
        self._commands: asyncio.Queue[cmd.AsteriskCommand] = asyncio.Queue()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")
        self._tasks: set[asyncio.Task[None]] = set()
        self._media_task: asyncio.Task[None] | None = None
        self.media = MediaLeg(context.ari)
        self._parties = AttendedTransfer()
        self._identifying: asyncio.Task[None] | None = None
        self._far_end = FarEndWatch(
            context.ari,
            arrival.channel.name,
            alone=self._left_alone,
            polls=context.ami is None,
            moved=resumes is not None,
        )
        self._transfers = Transfers(
            context,
            self.log,
            changed=lambda: self._changed(self),
            answered=self._human_answered,
            ended=self._warm_transfer_ended,
            fault=self._fault,
            not_given_back=self._not_given_back,
        )
        self._unfinished = Unfinished.NOTHING
        """The unfinished part of the conversation when the process leaves the call."""
        self.stuck = False
        """Asterisk did not let something of the call go."""
        self._deserted = False
        self._released = False
        self.faulty = False
        """An internal error has ended the call."""
        self._over: asyncio.Future[Termination] = asyncio.get_running_loop().create_future()

    # -- for the calls of the process ---------------------------------------------------------------

    @property
    def call_id(self) -> str:
        """The call's id, in Asterisk and in its record."""
        return self._arriving.call_id

    @property
    def agent(self) -> str:
        """The label of the agent that the call is for."""
        return self._arriving.agent

    @property
    def leg(self) -> str:
        """The caller's channel; another one after a transfer."""
        return self._leg.id

    @property
    def state(self) -> State:
        return State.ENDING if self.faulty else self._machine.state

    @property
    def over(self) -> bool:
        """The caller is served no longer; what is left is giving things back."""
        return self.state in (State.ENDING, State.ENDED)

    @property
    def termination(self) -> Termination | None:
        """How the call ended; None while it is in progress."""
        if not self.over:
            return None
        return self._machine.termination or Termination(Result.ERROR, "fault")

    def owns(self, channel_id: str) -> bool:
        """Whether the channel is the caller's, or one of those that we made for the call. A call that has let the
        caller's channel go does not own it any more: the caller may come back on it, to a new call."""
        if channel_id == self.leg:
            return not self._leg.let_go
        return channel_id == self.media.channel or self._transfers.warm.owns(channel_id)

    def converses(self, linked_id: str, name: str) -> bool:
        """Whether this call is in conversation, and has this linked id or the other half of the channel ``name``."""
        known = linked_id in (self.call_id, *self._far_end.linked) or twin(name) == self._far_end.name
        return known and self.state in AUDIBLE

    def live(self) -> LiveCall:
        """The call as it is now."""
        role, caller, since = self._arriving.role, self._parties.current, self._answered_at
        return LiveCall(
            call_id=self.call_id,
            state="warm_transfer" if self._transfers.warm.in_progress else self.state.value,
            arrived=self._arriving.arrived,
            answered_s=None if since is None else time.monotonic() - since,
            agent=role.name if role is not None else "",
            seat=self.arrival.seat or "",
            queue=self._arriving.queue,
            language=role.language if role is not None else "",
            caller_number=caller.number,
            caller_name=caller.name,
            channel=self._far_end.name,
            last_said=self._dialogue.last_said if self._serving else None,
        )

    # -- for supervisors ----------------------------------------------------------------------------

    def transfer(self, handoff: Handoff) -> "asyncio.Future[TransferOutcome]":
        """Transfer the caller after the sentence in progress; await what came of it. Raises CallStateError.

        The transfer is made whether or not somebody waits for its outcome.
        """
        if self.state not in AUDIBLE:
            raise CallStateError(f"the call is {self.state.value}: it cannot be transferred now")
        if (under_way := self._machine.moving) is not None:
            raise CallStateError(f"{under_way.by} is transferring the caller to {under_way.name} already")
        warm = handoff.kind == "warm"
        if warm and self._transfers.warm.in_progress:
            raise CallStateError("a warm transfer is under way already")
        if warm and self.state is State.BEFORE_TRANSFER:
            raise CallStateError("the agent is transferring the caller already: no human agent can be called first")
        self.log.tell(rec.TransferOrdered(handoff.by, handoff.name))
        outcome = self._transfers.outcome()
        self.feed(ev.WarmTransferRequested(handoff) if warm else ev.TransferRequested(handoff))
        return outcome

    def whisper(self, text: str, by: str, *, now: bool = False) -> None:
        """Give the model a note that the caller does not hear; ``now``: it is to act on it at once, else from its next
        words on. Raises CallStateError."""
        if not self._serving or self.state not in AUDIBLE:
            raise CallStateError(f"the call is {self.state.value}: its agent cannot take a note now")
        self.log.tell(rec.Whispered(by, text))
        self._whisper(text, at_once=now)

    @entry
    def _whisper(self, text: str, *, at_once: bool) -> None:
        self._dialogue.whisper(text, time.monotonic(), at_once=at_once)

    def _tell_transfers(self) -> None:
        """Answer those who wait for a transfer, once the caller has left or is back with the agent."""
        if not self._transfers.awaited:
            return
        stays = self.state is State.TALKING and not self._transfers.warm.in_progress
        if self.over or stays:
            self._transfers.tell(self.termination)

    # -- life ---------------------------------------------------------------------------------------

    async def run(self) -> Termination:
        """Serve the call to its end. Returns how it ended; gives everything back whatever happens."""
        try:
            role = await self._arriving.receive(self.media.uuid)
            self.arrival = self._arriving.arrival
            self._parties.arrived(Party(role.facts.caller_number, role.facts.caller_name))
            if self.faulty:
                self._over.result()
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
        except Exception as error:  # noqa: BLE001  # ends this call, is logged, and harms no other
            # An internal error of this call: its caller is sent to the human queue, the other calls continue.
            self._fault(error)
            return await self._end_after_fault(error)
        finally:
            self._forget()

    async def _end_after_fault(self, error: Exception) -> Termination:
        """Give back the caller first, then all that is left, as far as another fault allows."""
        self.stuck = True  # nobody knows what is left: it is looked for
        back = partial(self._return_to_dialplan, Result.ERROR)
        for step in (self._release,) if self._transfers.made is not None else (back, self._release):
            try:
                async with asyncio.timeout(RELEASE_TIMEOUT_S):
                    await step()
            except Exception as failure:  # noqa: BLE001  # the next step is done all the same
                self.log.tell(rec.NotReleased(repr(failure)), logging.ERROR)
        return self._ended(Termination(Result.ERROR, "fault", repr(error)))

    async def _serve(self, role: Role) -> Termination:
        context = self.context
        self._begin_dialogue(role)
        context.router.register(self.media.channel, self.on_ari)
        context.media.expect(self.media.uuid, self, context.format, self.call_id)
        self._arm()
        async with asyncio.TaskGroup() as tasks:
            media = self._media_task = tasks.create_task(self._make_media(), name=f"media {self.call_id}")
            beside = [
                tasks.create_task(self._model.run(), name=f"model {self.call_id}"),
                tasks.create_task(self._far_end.run(), name=f"far end {self.call_id}"),
                tasks.create_task(self._do_commands(), name=f"commands {self.call_id}"),
            ]
            await asyncio.wait((self._over,))
            for task in (media, *beside):
                task.cancel()
        return self._over.result()

    def _begin_dialogue(self, role: Role) -> None:
        context, settings = self.context, self.context.settings
        destinations = Destinations(
            role.agent, settings.destinations, settings.hours, context.queue_view, context.has_queue
        )
        tools = BuiltinTools(role.agent, destinations, role.facts.caller_number)
        declared = (*tools.declarations, *context.toolbox.declarations(role.name))
        profile = SessionProfile.of(role.agent, settings.realtime, declared, role.instructions)
        talked = role.memory is not None and role.memory.interrupted
        self._codec = ModelCodec(context.format, profile.encoding)
        self._model = ModelLine(
            context.model_health,
            profile,
            self._on_event,
            self._on_audio,
            self._at_rest,
            in_call=talked,
            connect=context.connect_model,
        )
        self._dialogue = Dialogue(
            role,
            tools,
            self._model.session,
            self._codec,
            context.format,
            phrase=partial(context.phrases.find, role.agent),
            waiting_prompt=context.toolbox.waiting_prompt,
            safe_to_repeat=context.toolbox.safe_to_repeat,
            unix_offset_s=time.time() - time.monotonic(),
        )
        self._observer = Observer(
            self.log,
            context.metrics,
            context.spending,
            context.format,
            agent=role.name,
            model=profile.model,
            transcripts=settings.log.transcripts,
            began=self._began,
        )
        if context.turn_judge is not None and role.agent.turns == "fast":
            self._recent = deque(maxlen=JUDGED_S * 1000 // FRAME_MS)
        self._watchdog = BridgeWatchdog(rejoins=self.arrival.seat is not None, limit_s=settings.watchdog.no_audio_s)
        self._heard_at = time.monotonic()
        self._serving = True

    def _at_rest(self) -> bool:
        return self._dialogue.at_rest

    def _ended(self, termination: Termination) -> Termination:
        result, reason, cause = termination.result.value, termination.reason, termination.cause
        figures = self._parties.talk_s(time.monotonic())
        if self._serving:
            try:
                if not self.faulty:
                    self._listen()
                    self._close_dialogue()
                figures |= self._observer.close(self._dialogue.account(), self._model.dropped_s)
            except Exception as error:  # noqa: BLE001  # the end is told all the same
                self._fault(error)
        if termination.result is Result.LEFT:
            unfinished = self._unfinished.value
            self.log.tell(rec.CallLeft(result=result, reason=reason, cause=cause, unfinished=unfinished, **figures))
            return termination
        if termination.result is Result.NO_MODEL:
            self.context.model_health.doubt()
        elif termination.reason == MEDIA_FAILED:
            self.context.audio_health.doubt()
        failed = termination.result in (Result.ERROR, Result.NO_MODEL)
        ended = rec.CallEnded(result=result, reason=reason, cause=cause, **figures)
        self.log.tell(ended, logging.WARNING if failed else logging.INFO)
        return termination

    def _close_dialogue(self) -> None:
        """Tell what is left to be told of the conversation."""
        self._dialogue.close(time.monotonic())
        for left in self._dialogue.take_effects():
            if isinstance(left, said.DialogueEvent):
                self._observer.tell(left)

    def _forget(self) -> None:
        self._arriving.leave()
        # A caller whom nobody took may be back by now, and served by another call: the channel is the same.
        self.context.router.unregister(self.leg, self.on_ari)
        self.context.router.unregister(self.media.channel)
        self.context.media.forget(self.media.uuid)
        if self._timer is not None:
            self._timer.cancel()
        if self._identifying is not None:
            self._identifying.cancel()
        self._transfers.tell(self.termination)

    def _fault(self, error: Exception) -> None:
        """Something went wrong that must not: end this call, once."""
        if not self.faulty:
            self.log.error("call.fault", exc_info=error)
        if not self._over.done():
            self.faulty = True
            self._over.set_exception(error)
            self._over.exception()  # nobody need ask for it: it is told above
            self._tell_transfers()

    # -- what happens -------------------------------------------------------------------------------

    @entry
    def feed(self, event: ev.Event) -> None:
        """Something happened to the call. Called from the event loop; never blocks."""
        self._feed(event)

    @entry
    def on_ari(self, event: ari.Event) -> None:
        """An event of one of this call's channels."""
        now = time.monotonic()
        match event:
            case ari.StasisStarted(channel=channel) if channel.id == self.media.channel:
                self.media.entered()
            case ari.StasisStarted(replaces=replaced) if replaced == self.leg:
                self._feed(ev.LegReplaced(event.channel.id))
                self._parties.replaced(event.channel, now)
                if self._far_end.follow(event.channel.name):
                    self._arriving.count()
                self._line_held(False, now)  # the phone that had it on hold is gone
            case ari.ChannelUp(channel_id=channel_id):
                self._parties.up(channel_id, now)
            case ari.ConnectedLine() if event.channel_id == self.media.channel:
                self._parties.shown(Party.of(event.number, event.name))
            case ari.HangupRequested() if event.channel_id == self.leg:
                self._leg.hangs_up()
            case ari.StasisEnded() | ari.ChannelDestroyed() if event.channel_id == self.leg:
                self._caller_left()
            case ari.ChannelDestroyed() if event.channel_id == self.media.channel:
                self._media_gone()
            case ari.LeftBridge() if event.channel_id == self.media.channel:
                # The caller may be in no bridge either; in Stasis nothing would end their silence.
                self._feed(ev.MediaFailed("the media channel left the bridge"))
            case ari.DigitReceived() if event.channel_id == self.leg:
                if self.state is State.SAYING_GOODBYE:
                    self._feed(fx.CallerSpoke())  # a key is as good as a word
                self._feed(ev.DigitPressed(event.digit))
            case ari.HoldChanged(on=on) if event.channel_id == self.leg:
                self._line_held(on, now)

    def _caller_left(self) -> None:
        hung_up = self._leg.hung_up
        late = not (hung_up or self.over) and self._transfers.made_late()
        self._feed(ev.Transferred() if late else ev.CallerLeft(hung_up))

    def _line_held(self, on: bool, now: float) -> None:
        if self._serving:
            self._dialogue.line_held(on, now)

    @entry
    def attended(self, event: AttendedTransferred) -> None:
        """A human agent joined two of their calls; one of them may be this call."""
        half = twin(self._far_end.name)
        if half and (caller := remote_party(event, half)) is not None:
            self._far_end.moved()
            if self.arrival.seat is not None:
                self._identify(caller, event.transferee if event.target == half else event.target)

    @entry
    def sent_elsewhere(self, event: BlindTransferred) -> None:
        """Somebody was transferred; maybe it is the agent, by the party that it talks with."""
        half = twin(self._far_end.name)
        if half and event.result == "Success" and event.transferee == half:
            self._far_end.moved()
            self._arriving.count()

    def _identify(self, caller: Party, channel: str = "") -> None:
        """The remote party is known: it is this one from now on. ``channel``: the name of theirs, where a seat is
        called."""
        if self._identifying is not None:
            self._identifying.cancel()
        self._identifying = self._spawn(self._identified(caller, channel))

    async def _identified(self, caller: Party, channel: str) -> None:
        self._joined(await party_after_transfer(self.context.ari, caller, channel, self.media.channel, self.leg))

    @entry
    def _joined(self, caller: Party) -> None:
        before = self._parties.current
        self._parties.joined(caller, time.monotonic())
        self.log.tell(rec.CallerChanged(before.number or "-", caller.number or "-"))
        self._feed(ev.PartyChanged(before, caller))
        self._changed(self)

    def _left_alone(self) -> bool:
        """Nobody is at the other end any more. Returns whether the call ends."""
        if self.state not in AUDIBLE:
            return self.over
        self._deserted = True
        self.log.tell(rec.AgentTransferredAway(self._far_end.name))
        self.feed(ev.NobodyThere(TRANSFERRED_AWAY))
        return True

    @entry
    def _human_answered(self) -> None:
        self._dialogue.human_answered(time.monotonic())

    @entry
    def _warm_transfer_ended(self, handoff: Handoff, why: str, channel: str) -> None:
        now = time.monotonic()
        self._dialogue.warm_transfer_ended(now)
        if why:
            self._dialogue.tell(notes.not_found_note(handoff.name, why), now)
        else:
            self._feed(ev.TransferRequested(replace(handoff, joins=channel)))

    # -- the audio connection (MediaEndpoint) -------------------------------------------------------

    def connected(self, connection: MediaConnection) -> None:
        """Asterisk's audio connection is here."""
        self._connection = connection
        self.media.connected.set()

    @audio_entry
    def audio_received(self, payload: bytes, now: float) -> None:
        """Take 20 ms of the caller's audio."""
        self._heard_at = now
        if not self._hears:
            return
        self._send_audio(self._dialogue.hear(payload, now))
        if self._recent is not None:
            self._recent.append(payload)
        if not self._heard:
            self._heard_since = now
        self._heard.append(payload)
        if len(self._heard) >= LISTEN_FRAMES:
            self._listen()

    @audio_entry
    def frame_due(self, now: float) -> bytes | None:
        """The next 20 ms for the caller; None: silence."""
        dialogue = self._dialogue
        if self._hears and (silence := dialogue.gap(now)):
            self._send_audio(dialogue.batch(silence))
            if self._recent is not None:
                self._recent.append(silence)
            self._listen()
            self._observer.caller_audio(silence, now)
        frame = dialogue.frame(now)
        if dialogue.begun:
            self._observer.agent_frame(frame)
        if frame is None and self._machine.finishing and not dialogue.effects:
            self._settle()
        return frame

    def digit_received(self, digit: str) -> None:
        """Each digit comes a second time through ARI; that one counts."""

    @entry
    def disconnected(self, reason: str) -> None:
        """The audio connection is gone."""
        self._connection = None
        if reason in (Reason.MALFORMED, Reason.UNEXPECTED_KIND, Reason.PEER_ERROR):
            self.context.metrics.malformed.labels("asterisk").inc()
        self._feed(ev.MediaFailed(f"the audio connection ended: {reason}"))

    def _send_audio(self, pcm: bytes) -> None:
        """Give the model the caller's audio, in the leg's format; empty: nothing is to be sent yet."""
        if pcm and not self._model.append_audio(pcm if self._codec.identity else self._codec.to_model(pcm)):
            self._dialogue.not_sent(pcm)

    def _listen(self) -> None:
        """Look at what the caller sent since the last time."""
        if self._heard:
            pcm = b"".join(self._heard)
            self._heard.clear()
            self._observer.caller_audio(pcm, self._heard_since)
            self._dialogue.listen(pcm, self._heard_at)

    # -- the model ----------------------------------------------------------------------------------

    @audio_entry
    def _on_audio(self, event: rt.AudioArrived) -> None:
        """Speech of the model's."""
        self._dialogue.handle(event, time.monotonic())
        if self._connection is not None:
            self._connection.speech_ready()

    @entry
    def _on_event(self, event: rt.Event) -> None:
        """Something else came from the model."""
        now = time.monotonic()
        self._observer.model(event)
        announcement = self._transfers.announcement
        if isinstance(event, rt.SessionReady | rt.SessionRenewed):
            self._observer.uses(self._model.session.profile.model)
        match event:
            case rt.SessionReady():
                self._dialogue.use(self._model.session)
                if self._model.at_first:
                    self.context.model_health.accepts(self._dialogue.role.name)
                self._feed(ev.ModelReady())
            case rt.SessionRenewed():
                self._dialogue.renew(self._model.session, now)
                # One that was asked for while there was no session, or of the session before this one.
                self._transfers.announce_again(self._dialogue)
            case rt.SessionLost() | rt.SessionFailed() if announcement is not None:
                announcement.give_up()
            case rt.OutOfBandEnded() if announcement is not None:
                announcement.spoken(event)
        if isinstance(event, rt.SessionFailed) and self._dialogue.begun:
            health = self.context.model_health
            if event.fault is rt.Fault.SILENT:
                health.fell_silent()
            else:
                health.doubt()
        self._dialogue.handle(event, now)

    async def _run_tool(self, call: rt.ToolCall) -> None:
        role = self._dialogue.role
        outcome = await self.context.toolbox.run(role.name, call, role.facts)
        self._tool_ended(call, outcome.output, ok=outcome.ok, kind=outcome.kind)

    @entry
    def _tool_ended(self, call: rt.ToolCall, output: str, *, ok: bool, kind: str) -> None:
        self._dialogue.tool_ended(call, output, ok=ok, kind=kind, now=time.monotonic())

    # -- the end-of-turn judge ----------------------------------------------------------------------

    def _judge_turn(self, wanted: fx.JudgeTurn) -> None:
        """Have the judge hear the caller's turn so far."""
        self._stop_judging()
        if self._recent is not None:
            n_bytes = self.context.format.n_bytes(min(wanted.speech_ms, 1000 * JUDGED_S))
            self._judging = self._spawn(self._judged(wanted, b"".join(self._recent)[-n_bytes:]))

    async def _judged(self, wanted: fx.JudgeTurn, pcm: bytes) -> None:
        assert self.context.turn_judge is not None
        found = await self.context.turn_judge.judge(pcm, self.context.format.rate_hz, wanted.within_s)
        if found is not None:
            self._turn_judged(wanted.pause, found)

    @entry
    def _turn_judged(self, pause: int, probability: float) -> None:
        self._dialogue.turn_judged(pause, probability, time.monotonic())

    def _stop_judging(self) -> None:
        if self._judging is not None:
            self._judging.cancel()
            self._judging = None

    # -- what follows -------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Carry out all that follows from what happened; then send, and set the timer."""
        if self._serving:
            dialogue, machine = self._dialogue, self._machine
            while dialogue.effects or (machine.finishing and dialogue.finished):
                for effect in dialogue.take_effects():
                    match effect:
                        case fx.SpeechReady():
                            if self._connection is not None:
                                self._connection.speech_ready()
                        case fx.CallerSpoke():
                            if machine.finishing:
                                self._feed(effect)
                        case (
                            fx.EndRequested()
                            | fx.NobodyThere()
                            | fx.FallbackRequested()
                            | fx.TransferRequested()
                            | fx.WarmTransferRequested()
                            | fx.WarmTransferCancelled()
                            | fx.ModelFailed()
                            | fx.AgentFailed()
                        ):
                            self._feed(effect)
                        case fx.RunTool(call=call):
                            self._spawn(self._run_tool(call))
                        case fx.JudgeTurn():
                            self._judge_turn(effect)
                        case fx.StopJudging():
                            self._stop_judging()
                        case fx.GiveUpSession(cause=cause):
                            self._model.give_up(cause)
                        case _:  # by their types, events of the dialogue are all that is left
                            self._observer.tell(effect)
                            if isinstance(effect, said.CallerSaid | said.AgentSaid | said.Interrupted):
                                self._changed(self)
                if machine.finishing and dialogue.finished:
                    self._feed(ev.SpeechFinished())
            self._model.client.flush()
        self._tell_transfers()
        self._arm()

    def _feed(self, event: ev.Event) -> None:
        """Have the machine handle what happened. Commands that need Asterisk wait their turn in ``_do_commands``; the
        others are carried out at once."""
        now, was = time.monotonic(), self._machine.state
        for command in self._machine.handle(event, now):
            match command:
                case cmd.FollowLeg(channel_id=channel_id):
                    self.context.router.unregister(self.leg, self.on_ari)
                    self._leg.follow(channel_id)
                    self.context.router.register(channel_id, self.on_ari)
                case cmd.StartTalking():
                    self._dialogue.begin(now)
                case cmd.GreetCaller(before=before, caller=caller):
                    self._dialogue.warm_transfer_ended(now)
                    self._dialogue.caller_changed(before, caller, now)
                    self._commands.put_nowait(command)
                case cmd.PressKey(digit=digit):
                    self._dialogue.press(digit, now)
                case cmd.PrepareAnnouncement(handoff=handoff):
                    self._cancel_warm_transfer()
                    self._transfers.announce(handoff, self._dialogue, self._encoding)
                case cmd.StartWarmTransfer(handoff=handoff):
                    self._start_warm_transfer(handoff)
                case cmd.CancelWarmTransfer():
                    self._cancel_warm_transfer()
                case cmd.TellTransferFailed(handoff=handoff):
                    self._dialogue.transfer_failed(handoff.name, now)
                case cmd.TellNotDone(handoff=called_off):
                    self._dialogue.called_off("" if called_off is None else called_off.name)
                case cmd.Finish(termination=termination):
                    self._finish(termination)
                case cmd.Release() | cmd.Leave():
                    self.media.give_up()
                    self._transfers.caller_gone()
                    # Nothing of the leg matters any more. One that takes its place is a newcomer: turned away.
                    self.context.router.unregister(self.leg, self.on_ari)
                    self._commands.put_nowait(command)
                case _:
                    self._commands.put_nowait(command)
        if self.state is not was:
            self.log.tell(rec.StateChanged(self.state.value))
            self._changed(self)

    def _start_warm_transfer(self, handoff: Handoff) -> None:
        caller = self._parties.current
        self._transfers.start_warm(
            handoff,
            self._dialogue,
            self._encoding,
            caller_leg=self.leg,
            shown=(caller.name, caller.number),
            variables=handoff.screen_pop(self.call_id, self._dialogue.role.language),
        )

    @property
    def _encoding(self) -> ModelEncoding:
        return self._model.session.profile.encoding

    def _cancel_warm_transfer(self) -> None:
        self._dialogue.warm_transfer_ended(time.monotonic())
        self._transfers.warm.cancel()

    def _finish(self, termination: Termination) -> None:
        if not self._released:
            # Whatever hangs there must not keep the end from being told; what is left is looked for later.
            self.stuck = True
            self.log.tell(rec.NotReleased("Asterisk did not release all channels and bridges in time"))
        self._over.set_result(termination)

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Do something beside everything else; given up when the call ends."""

        async def guarded() -> None:
            try:
                await work
            except Exception as error:  # noqa: BLE001  # ends this call, is logged, and harms no other
                self._fault(error)

        task = asyncio.ensure_future(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # -- time ---------------------------------------------------------------------------------------

    def _arm(self) -> None:
        """Set the timer to the first deadline. One that rings too soon does no harm, and is set again."""
        due = self._watchdog.next_deadline(self._heard_at) if self._serving else float("inf")
        dialogue = self._dialogue.next_deadline() if self._serving else None
        for deadline in (dialogue, self._machine.next_deadline(), self._parties.next_deadline()):
            if deadline is not None and deadline < due:
                due = deadline
        if due < self._timer_at and not self._over.done():
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = due
            self._timer = asyncio.get_running_loop().call_at(due, self._tick)

    @entry
    def _tick(self) -> None:
        self._timer, self._timer_at = None, float("inf")
        now = time.monotonic()
        due = self._machine.tick(now, self._dialogue.unheard_s if self._serving else 0.0)
        if due is not None:
            self._feed(due)
        if (party := self._parties.tick(now)) is not None:
            self._identify(party)
        if not self._serving:
            return
        self._dialogue.tick(now)
        talking = self.state in (State.TALKING, State.SAYING_GOODBYE)
        match self._watchdog.tick(now, self._heard_at, talking=talking):
            case Finding.REJOIN:
                self._spawn(self._rejoin())
            case Finding.LOST:
                self._feed(ev.FallbackRequested("no_audio"))

    async def _rejoin(self) -> None:
        try:
            await self.media.rejoin(self.leg)
        except AriError as error:
            # Whatever is wrong with the leg or the bridge is told by events of their own.
            self.log.tell(rec.NotRejoined(error.line))

    # -- what needs Asterisk ------------------------------------------------------------------------

    async def _do_commands(self) -> None:
        """The commands that need Asterisk, one after another."""
        while True:
            match command := await self._commands.get():
                case cmd.Answer():
                    await self._answer()
                case cmd.GreetCaller():
                    await self._transfers.warm.end("CANCELLED")  # which was for somebody else
                case cmd.LeaveQueue():
                    await self._leg.break_off()
                case cmd.ReturnToDialplan(result=result):
                    await self._return_to_dialplan(result)
                case cmd.Transfer(handoff=handoff):
                    arrival, leg = self.arrival, self._leg
                    made = await self._transfers.make(
                        handoff, self._dialogue, self._parties, arrival=arrival, leg=leg, call_id=self.call_id
                    )
                    self.feed(made)
                case cmd.HangUp():
                    await self._hang_up()
                case cmd.Release():
                    self._leg.let_go = True
                    await self._release()
                    self._released = True
                    self.feed(ev.Released())
                case cmd.Leave():
                    await self._leave()
                    self._released = True
                    self.feed(ev.Released())
                case _:
                    assert_never(command)

    async def _make_media(self) -> None:
        """Bridge, audio channel, both ends in the bridge; reported as MediaReady or MediaFailed."""
        context = self.context
        try:
            rate_hz = context.format.rate_hz
            if not await self.media.connect(self.leg, address=context.media_address, rate_hz=rate_hz):
                return
        except NoAudioError as error:
            self.feed(self._no_audio(error.line))
        except AriError as error:
            await self._refused(error)
        except TimeoutError:
            self.feed(ev.MediaFailed("Asterisk did not connect the audio in time; can it reach audiosocket.advertise?"))
        else:
            self.feed(ev.MediaReady())

    def _media_gone(self) -> None:
        if self._serving and not self.media.connected.is_set():
            address = self.context.media_address
            self._feed(self._no_audio(f"Asterisk's audio connection to {address} was not made. {REMEDY}"))
        else:
            self._feed(ev.MediaFailed("Asterisk hung up the media channel"))

    def _no_audio(self, cause: str) -> ev.MediaFailed:
        """Report that no call gets any audio now."""
        if not self.over:
            self.context.audio_health.fail(cause)
        return ev.MediaFailed(cause, for_all=True)

    async def _answer(self) -> None:
        # The caller's first words may be on their way before the answer to our request is.
        self._hears = True
        try:
            await self.context.ari.answer(self.leg)
        except AriError as error:
            await self._refused(error)
            return
        if self.arrival.resumes is not None and await self._leg.on_hold():
            self._line_held(True, time.monotonic())
        if self.state is State.ANSWERING:
            self._talk_begins()
            self.feed(ev.Answered())

    def _talk_begins(self) -> None:
        now = time.monotonic()
        self._machine.talks_until = now + self._dialogue.role.agent.length.longest_s + OVERTIME_S
        resumed, self._answered_at = self._answered_at is not None, self._answered_at or now
        self._parties.answered(self._answered_at)
        self._arriving.answered(time.time() - (now - self._answered_at))
        after_s = now - self._began
        if resumed:
            self.log.tell(rec.CallContinued(round(1000 * (now - self._made), 1)))
            self.context.metrics.resumed.inc()
            return
        self.log.tell(rec.CallAnswered(round(1000 * after_s, 1)))
        self.context.metrics.answered(after_s)

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
        """Leave Stasis with ARIAGENT_RESULT set, so that the dialplan can send the caller to the human queue."""
        joined = self.arrival.seat is not None and self._parties.changed
        if joined and result is not Result.DONE and await to_human_queue(self.context, self.arrival, self.leg):
            return
        await self._leg.give_back(result)

    async def _hang_up(self) -> None:
        """End the caller's channel: a direct caller's dialplan continues (and hangs up), a seat's is over."""
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
        steps = (self._release_media(), self._close(), self._transfers.warm.end("ENDED"), self._leg.release())
        for fault in await asyncio.gather(*steps, return_exceptions=True):
            if fault is not None:
                raise fault  # the other steps are done

    async def _release_media(self) -> None:
        for failure in await self.media.release():
            if not isinstance(failure, NotFoundError):
                self._not_given_back(rec.NotReleased(failure.line))

    async def _leave(self) -> None:
        """Release the call's own resources. Asterisk keeps the caller, in a bridge that the next process removes."""
        consulted = self._transfers.warm.in_progress
        self._unfinished, _ = await asyncio.gather(self._say_no_more(), self._transfers.warm.end("CANCELLED"))
        if consulted:
            self._unfinished = Unfinished.WARM_TRANSFER
        self.context.media.forget(self.media.uuid)
        await asyncio.gather(self._close(), self._leg.release())

    async def _say_no_more(self) -> Unfinished:
        """Have the agent say nothing more; returns what the caller waits for. What was cut off is in the history."""
        if not self._serving:
            return Unfinished.NOTHING
        unfinished = self._dialogue.unfinished
        self._break_off()
        until = time.monotonic() + CUT_LIMIT_S
        while not self._dialogue.quiet and time.monotonic() < until:
            await asyncio.sleep(FRAME_MS / 1000)
        return unfinished

    @entry
    def _break_off(self) -> None:
        self._dialogue.break_off(time.monotonic())

    async def _close(self) -> None:
        """Give the audio connection and the model's session back, and what still runs for the model."""
        if not self._serving:
            return
        if self._connection is not None:
            self._connection.close()
        running = tuple(self._tasks)
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)
        ended = self._machine.termination
        if ended is not None and ended.result is Result.TRANSFERRED:
            await self._transfers.announced()
        await self._model.close()

    def _not_given_back(self, event: rec.NotReleased | rec.NotReturned | rec.NotHungUp) -> None:
        self.stuck = True
        self.log.tell(event)

"""One call, running: owns its state machine, its conversation, its connections and its tasks.

    channel --ARI--> CallRunner.on_ari    --> CallMachine  --> commands done in order by ``run``
    audio   --TCP--> CallRunner (MediaEndpoint) <-> Conversation <-> RealtimeClient

Audio never passes a queue or a task of ours: a frame from Asterisk is appended to the model's socket in the
same callback, and the pacer takes the next frame from the playout.
"""

import asyncio
import logging
import time
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID, uuid4

from ariagent.ari import events as ari
from ariagent.ari.client import AriClient, ConflictError, NotFoundError
from ariagent.ari.listener import Router
from ariagent.audio.format import AudioFormat
from ariagent.audio.playout import Playout
from ariagent.audio.rates import ModelCodec
from ariagent.audio.uplink import Uplink
from ariagent.audiosocket.server import AudioSocketServer, MediaConnection
from ariagent.call import commands as cmd
from ariagent.call import conversation as talk
from ariagent.call import events as ev
from ariagent.call import tools
from ariagent.call.commands import Command, Result, Termination
from ariagent.call.machine import CallMachine, State
from ariagent.config import AgentSettings, Settings
from ariagent.errors import AriError
from ariagent.logs import CallLog
from ariagent.metrics import Metrics
from ariagent.realtime import events as rt
from ariagent.realtime.client import RealtimeClient
from ariagent.realtime.profile import SessionProfile

MEDIA_TIMEOUT_S = 8.0
AUDIOSOCKET_FORMATS = {8_000: "slin", 16_000: "slin16", 24_000: "slin24"}


@dataclass(frozen=True, slots=True)
class Context:
    """What every call of this process uses."""

    settings: Settings
    ari: AriClient
    router: Router
    media: AudioSocketServer
    media_address: str
    """``host:port`` that Asterisk is told to connect to."""
    format: AudioFormat
    """Of the audio between Asterisk and us."""
    metrics: Metrics


@dataclass(frozen=True, slots=True)
class Arrival:
    """How a call came in."""

    channel: ari.Channel
    agent: str | None
    """Named by the dialplan, or None: chosen by the channel variable ARIAGENT_AGENT, else ``default``."""
    seat: str | None
    """The queue seat, or None for a call straight into Stasis."""


class CallRunner:
    """Serves one call from its arrival to its one Termination."""

    def __init__(self, context: Context, arrival: Arrival) -> None:
        self.context = context
        self.arrival = arrival
        self.leg = arrival.channel.id
        self.call_id = arrival.channel.id
        self.log = CallLog(logging.getLogger(__name__), self.call_id)
        self._loop = asyncio.get_running_loop()
        self._began = time.monotonic()
        self._answered_at: float | None = None
        self._machine = CallMachine(self._began)
        self._commands: asyncio.Queue[Command] = asyncio.Queue()
        self._timer: asyncio.TimerHandle | None = None
        self._media_uuid: UUID = uuid4()
        self.media_channel = f"ariagent-media-{self._media_uuid}"
        self.bridge = f"ariagent-bridge-{self._media_uuid}"
        self._media_entered = asyncio.Event()
        self._over = asyncio.Event()
        self._connection: MediaConnection | None = None
        self._codec: ModelCodec
        self._uplink: Uplink
        self._playout: Playout
        self._model: RealtimeClient | None = None
        self._media_task: asyncio.Task[None] | None = None
        self._conversation: talk.Conversation
        self._uplink_open = False

    # -- life -------------------------------------------------------------------------------------

    async def run(self) -> Termination:
        """Serve the call to its end. Returns how it ended; gives everything back whatever happens."""
        self.context.router.register(self.leg, self.on_ari)
        try:
            agent = await self._identify()
        except AriError as error:
            # Nothing was made yet; a caller who is gone already is an ordinary end.
            return await self._turn_away(error)
        if agent is None:
            cause = f"there is no agent {self.arrival.agent}"
            await self._return_to_dialplan(Result.ERROR)
            return self._ended(Termination(Result.ERROR, "unknown_agent", cause))
        if self._machine.termination is not None:  # hung up or stopped meanwhile
            await self._return_to_dialplan(self._machine.termination.result)
            return self._ended(self._machine.termination)
        self._prepare(agent)
        try:
            termination = await self._serve()
        except Exception as error:
            # A fault of ours, at this call's edge: the caller goes to people, the other calls go on.
            self.log.exception("call.fault")
            await self._return_to_dialplan(Result.ERROR)
            await self._release()
            termination = Termination(Result.ERROR, "fault", repr(error))
        finally:
            self._forget()
        return self._ended(termination)

    async def _serve(self) -> Termination:
        assert self._model is not None
        async with asyncio.TaskGroup() as tasks:
            model = tasks.create_task(self._model.run(), name=f"model {self.call_id}")
            self._media_task = tasks.create_task(self._make_media(), name=f"media {self.call_id}")
            termination = await self._do_commands()
            model.cancel()
        return termination

    def feed(self, event: ev.Event) -> None:
        """Something happened to the call. Called from the event loop; never blocks."""
        now = time.monotonic()
        self._carry_out(self._machine.handle(event, now))

    def on_ari(self, event: ari.Event) -> None:
        """An event of one of this call's channels."""
        match event:
            case ari.StasisStarted(channel=channel) if channel.id == self.media_channel:
                self._media_entered.set()
            case ari.StasisStarted(replaces=replaced) if replaced == self.leg:
                self.feed(ev.LegReplaced(event.channel.id))
            case ari.StasisEnded() | ari.ChannelDestroyed() if event.channel_id == self.leg:
                self.feed(ev.CallerLeft())
            case ari.ChannelDestroyed() if event.channel_id == self.media_channel:
                self.feed(ev.MediaFailed("Asterisk hung the media channel up"))
            case ari.DigitReceived() if event.channel_id == self.leg:
                self.feed(ev.DigitPressed(event.digit))

    @property
    def state(self) -> State:
        return self._machine.state

    async def _identify(self) -> AgentSettings | None:
        """Learn the call's id and its agent."""
        wanted = self.arrival.agent
        if wanted is None:
            linked, wanted = await asyncio.gather(
                self.context.ari.get_variable(self.leg, "CHANNEL(linkedid)"),
                self.context.ari.get_variable(self.leg, "ARIAGENT_AGENT"),
            )
        else:
            linked = await self.context.ari.get_variable(self.leg, "CHANNEL(linkedid)")
        self.call_id = self.log.call_id = linked or self.leg
        name = wanted or "default"
        channel = self.arrival.channel
        self.log.event(
            "call.started",
            leg=self.leg,
            agent=name,
            seat=self.arrival.seat or "-",
            caller=channel.caller_number or "-",
        )
        return self.context.settings.agents.get(name)

    async def _turn_away(self, error: AriError) -> Termination:
        if isinstance(error, NotFoundError | ConflictError):
            return self._ended(Termination(Result.DONE, "caller_hung_up"))
        await self._return_to_dialplan(Result.ERROR)
        return self._ended(Termination(Result.ERROR, "asterisk_failed", error.line))

    def _prepare(self, agent: AgentSettings) -> None:
        context = self.context
        realtime = context.settings.realtime
        profile = SessionProfile.of(agent, realtime, tools.DECLARATIONS)
        self._agent = agent
        self._machine.digit_pause_s = agent.digit_pause_ms / 1000
        self._codec = ModelCodec(context.format, profile.encoding)
        self._uplink = Uplink(context.format)
        self._playout = Playout(context.format)
        self._model = RealtimeClient(realtime, profile, self._on_model)
        self._conversation = talk.Conversation(self._model.session, self._playout, self._uplink, self._codec)
        context.router.register(self.media_channel, self.on_ari)
        context.media.expect(self._media_uuid, self, context.format)
        self._arm()

    async def _make_media(self) -> None:
        """Bridge, audio channel, both ends in the bridge; reported as MediaReady or MediaFailed."""
        context = self.context
        try:
            async with asyncio.timeout(MEDIA_TIMEOUT_S):
                made = await asyncio.gather(
                    context.ari.create_bridge(self.bridge),
                    context.ari.external_media(
                        self.media_channel,
                        host=context.media_address,
                        connection=str(self._media_uuid),
                        format_name=AUDIOSOCKET_FORMATS[context.format.rate_hz],
                    ),
                    return_exceptions=True,
                )
                for failure in made:
                    if failure is not None:
                        raise failure
                # Adding the channel before it has entered Stasis is refused (422).
                await self._first_of(self._media_entered, self._over)
                if self._over.is_set():
                    return
                await context.ari.add_to_bridge(self.bridge, self.leg, self.media_channel)
        except AriError as error:
            self.feed(ev.MediaFailed(error.line))
        except TimeoutError:
            self.feed(ev.MediaFailed("Asterisk did not connect the audio in time; can it reach audiosocket.advertise?"))
        else:
            self.feed(ev.MediaReady())

    @staticmethod
    async def _first_of(*happened: asyncio.Event) -> None:
        waits = [asyncio.ensure_future(event.wait()) for event in happened]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    # -- commands ---------------------------------------------------------------------------------

    def _carry_out(self, commands: list[Command]) -> None:
        now = time.monotonic()
        for command in commands:
            match command:
                case cmd.StartTalking():
                    self._start_talking(now)
                case cmd.FollowLeg():
                    self._follow(command.channel_id)
                case cmd.GiveDigits():
                    self.log.event("call.digits", count=len(command.digits))
                    self._report(self._conversation.give_digits(command.digits, now))
                    self._flush()
                case _:
                    if isinstance(command, cmd.Release):
                        self._over.set()
                    self._commands.put_nowait(command)
        self._arm()

    async def _do_commands(self) -> Termination:
        """The commands that need Asterisk, one after another, until the call is over."""
        while True:
            match await self._commands.get():
                case cmd.Answer():
                    await self._answer()
                case cmd.ReturnToDialplan(result=result):
                    await self._return_to_dialplan(result)
                case cmd.HangUp():
                    await self._hang_up()
                case cmd.Release():
                    await self._release()
                    self.feed(ev.Released())
                case cmd.Finish(termination=termination):
                    return termination

    async def _answer(self) -> None:
        # The caller's first words may be on their way before the answer to our request is.
        self._uplink_open = True
        try:
            await self.context.ari.answer(self.leg)
        except AriError as error:
            if not isinstance(error, NotFoundError | ConflictError):
                self.feed(ev.MediaFailed(error.line))
            return  # gone: Asterisk's event says so too
        if self.state is State.ANSWERING:
            self._answered_at = time.monotonic()
            self.log.event("call.answered", after_ms=round(1000 * (self._answered_at - self._began), 1))
            self.context.metrics.answered(self._answered_at - self._began)
            self.feed(ev.Answered())

    def _start_talking(self, now: float) -> None:
        self._conversation.open(self._agent.opening, now)
        self._flush()

    def _follow(self, channel_id: str) -> None:
        self.log.event("call.leg_replaced", was=self.leg, now=channel_id)
        self.context.router.unregister(self.leg)
        self.leg = channel_id
        self.context.router.register(channel_id, self.on_ari)

    async def _return_to_dialplan(self, result: Result) -> None:
        """Leave Stasis with ARIAGENT_RESULT set, so that the dialplan can go on to people."""
        with suppress(NotFoundError, ConflictError):
            try:
                await self.context.ari.set_variable(self.leg, "ARIAGENT_RESULT", result.value)
                await self.context.ari.continue_in_dialplan(self.leg)
            except AriError as error:
                if isinstance(error, NotFoundError | ConflictError):
                    raise
                self.log.event("call.not_returned", logging.ERROR, cause=error.line)

    async def _hang_up(self) -> None:
        with suppress(NotFoundError):
            try:
                if self.arrival.seat is None:
                    await self._return_to_dialplan(Result.DONE)
                else:
                    await self.context.ari.hang_up(self.leg)
            except NotFoundError:
                raise
            except AriError as error:
                self.log.event("call.not_hung_up", logging.ERROR, cause=error.line)

    async def _release(self) -> None:
        """Give back model, media channel and bridge, in whatever state of being made they are."""
        context = self.context
        context.media.forget(self._media_uuid)
        # A request in flight cannot be taken back: wait for it (it is bounded), then undo it by its preset id.
        if self._media_task is not None:
            await asyncio.wait([self._media_task])
        if self._connection is not None:
            self._connection.close()
        assert self._model is not None
        results = await asyncio.gather(
            self._model.close(),
            context.ari.hang_up(self.media_channel),
            context.ari.destroy_bridge(self.bridge),
            return_exceptions=True,
        )
        for failure in results:
            if isinstance(failure, AriError) and not isinstance(failure, NotFoundError):
                self.log.event("call.not_released", logging.ERROR, cause=failure.line)
            elif isinstance(failure, Exception) and not isinstance(failure, AriError):
                self.log.event("call.not_released", logging.ERROR, cause=repr(failure))

    def _forget(self) -> None:
        self.context.router.unregister(self.leg)
        self.context.router.unregister(self.media_channel)
        self.context.media.forget(self._media_uuid)
        if self._timer is not None:
            self._timer.cancel()

    def _ended(self, termination: Termination) -> Termination:
        self.context.router.unregister(self.leg)
        fields: dict[str, object] = {"result": termination.result.value, "reason": termination.reason}
        if termination.cause:
            fields["cause"] = termination.cause
        if self._model is not None:
            metrics, usage = self.context.metrics, self._model.session.usage
            metrics.uplink_dropped.inc(self._model.dropped_s)
            metrics.uplink_silence.inc(self._uplink.silence_ms / 1000)
            metrics.underruns.inc(self._playout.underruns)
            metrics.used(usage)
            fields["underruns"] = self._playout.underruns
            fields["uplink_dropped_s"] = round(self._model.dropped_s, 3)
        since = self._answered_at
        fields["talk_s"] = round(time.monotonic() - since, 3) if since is not None else 0
        failed = termination.result in (Result.ERROR, Result.NO_MODEL)
        self.log.event("call.ended", logging.WARNING if failed else logging.INFO, **fields)
        return termination

    # -- time -------------------------------------------------------------------------------------

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self._machine.next_deadline()
        if deadline is not None and not self._over.is_set():
            self._timer = self._loop.call_at(deadline, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._carry_out(self._machine.tick(time.monotonic()))

    # -- the model --------------------------------------------------------------------------------

    def _on_model(self, event: rt.Event) -> None:
        now = time.monotonic()
        match event:
            case rt.AudioArrived():
                self._report(self._conversation.handle(event, now))
                if self._connection is not None:
                    self._connection.speech_ready()
                return
            case rt.SessionReady():
                self.feed(ev.ModelReady())
            case rt.SessionFailed():
                self.context.metrics.model_failures.labels(event.fault.value).inc()
                self.feed(ev.ModelFailed(f"{event.cause}. {event.remedy}" if event.remedy else event.cause))
            case rt.RequestRefused():
                self.log.event("model.refused", logging.WARNING, code=event.code, message=event.message)
            case rt.InputMalformed():
                self.context.metrics.malformed.labels("model").inc()
                self.log.event("model.malformed", logging.WARNING, what=event.what, length=event.length)
        self._report(self._conversation.handle(event, now))
        if self.state is State.DRAINING:
            self._check_drained()

    def _flush(self) -> None:
        if self._model is not None:
            self._model.flush()

    def _report(self, happened: list[talk.Happening]) -> None:
        """Log, count and act on what the conversation says."""
        for what in happened:
            match what:
                case talk.AnswerBegan(latency=latency):
                    self.context.metrics.turn(latency)
                    self.log.event(
                        "turn.answered",
                        response_ms=round(1000 * latency.response_s, 1),
                        detection_ms=round(1000 * latency.detection_s, 1),
                        model_ms=round(1000 * latency.model_s, 1),
                        ours_ms=round(1000 * latency.ours_s, 1),
                    )
                case talk.Interrupted():
                    self.context.metrics.interruptions.inc()
                    heard, dropped = round(what.heard_ms), round(what.dropped_ms)
                    self.log.event("turn.interrupted", item=what.item_id, heard_ms=heard, dropped_ms=dropped)
                case talk.CallerSaid():
                    self.log.event("turn.caller", item=what.item_id, said=what.text or "(not transcribed)")
                case talk.AgentSaid():
                    self.log.event("turn.agent", item=what.item_id, said=what.text)
                case talk.ResponseFailed():
                    self.context.metrics.failed_responses.labels(what.reason).inc()
                    self.log.event(
                        "turn.failed", logging.WARNING, status=what.status, reason=what.reason, message=what.message
                    )
                case talk.ToolsCalled(calls=calls):
                    self._run_tools(calls)

    def _run_tools(self, calls: tuple[rt.ToolCall, ...]) -> None:
        assert self._model is not None
        outcomes = [(call, tools.run(call)) for call in calls]
        for call, outcome in outcomes:
            self.log.event("tool.called", tool=call.name[:64])
            self._model.session.answer_tool(call.call_id, outcome.output)
        if any(outcome.ends_call for _, outcome in outcomes):
            self.feed(ev.EndRequested("agent_ended"))
        else:
            self._model.session.request_response(time.monotonic())

    def _check_drained(self) -> None:
        if self.state is State.DRAINING and self._conversation.quiet:
            self.feed(ev.PlayoutDrained())

    # -- the audio connection (MediaEndpoint) -----------------------------------------------------

    def connected(self, connection: MediaConnection) -> None:
        self._connection = connection

    def audio_received(self, payload: bytes, now: float) -> None:
        if self._uplink_open:
            self._append(self._uplink.received(payload, now))

    def frame_due(self, now: float) -> bytes | None:
        if self._uplink_open and (silence := self._uplink.tick(now)):
            self._append(silence)
        frame, happened = self._conversation.frame_due(now)
        if happened:
            self._report(happened)
        if frame is None and self.state is State.DRAINING:
            self._check_drained()
        return frame

    def digit_received(self, digit: str) -> None:
        """Each digit comes a second time through ARI; that one counts."""

    def disconnected(self, reason: str) -> None:
        self._connection = None
        self.feed(ev.MediaFailed(f"the audio connection ended: {reason}"))

    def _append(self, pcm: bytes) -> None:
        assert self._model is not None
        self._model.append_audio(pcm if self._codec.identity else self._codec.to_model(pcm))

"""The talking side of one call: the model's session, the audio connection, and the conversation between them.

    Asterisk --TCP--> Talk.audio_received --> RealtimeClient.append_audio --> model
    Asterisk <--TCP-- Talk.frame_due      <-- Playout <-- Talk._on_model  <-- model

Audio never passes a queue or a task of ours: a frame from Asterisk is appended to the model's socket in the
same callback, and the pacer takes the next frame from the playout.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from ariagent.audio.batcher import Batcher
from ariagent.audio.format import FRAME_MS
from ariagent.audio.playout import Playout
from ariagent.audio.rates import ModelCodec
from ariagent.audio.sign import tone_sign
from ariagent.audio.uplink import Uplink
from ariagent.audiosocket.server import MediaConnection, Reason
from ariagent.dialogue import policy as deeds
from ariagent.dialogue import conversation as convo
from ariagent.call import events as ev
from ariagent.dialogue import handoff
from ariagent.dialogue.policy import Conduct, Deed
from ariagent.call.context import Context, Role
from ariagent.call.functions import Functions
from ariagent.dialogue.opening import Greeting
from ariagent.dialogue.history import PRESSED, History, Who
from ariagent.dialogue.interruption import Judge
from ariagent.dialogue.introduction import Party
from ariagent.dialogue.memory import Memory, Owed
from ariagent.call.meter import Meter
from ariagent.dialogue.provider_tools import ProviderTools
from ariagent.call.observer import Reporter
from ariagent.dialogue.tool_rounds import SPEAK
from ariagent.dialogue.spoken_time import SpokenTime
from ariagent.call.summary import Summary
from ariagent.call.waves import Waves
from ariagent.errors import told
from ariagent.logs import CallLog
from ariagent.realtime import events as rt
from ariagent.realtime.budget import most_unheard_s
from ariagent.realtime.line import ModelLine
from ariagent.realtime.profile import SessionProfile

LISTEN_FRAMES = 50
"""A second of the caller's frames is collected, then looked at."""
NOTED_GAP_MS = 200
LOST_SIGN_AFTER_S, LOST_SIGN_EVERY_S = 0.7, 3.0
"""How soon a caller hears a tone while the session with the model is made anew."""
CUT_LIMIT_S = 0.3
"""How long the end waits for the words of a sentence that was cut off."""
SUMMARY_LIMIT_S = 8.0
"""How long after the caller is gone a summary may take that somebody is about to hear."""


class Talk:
    """A MediaEndpoint that holds a conversation. What it means for the call's life goes to ``feed``."""

    def __init__(
        self,
        context: Context,
        role: Role,
        *,
        feed: Callable[[ev.Event], None],
        log: CallLog,
        began: float,
        said: Callable[[], None] = lambda: None,
    ) -> None:
        """``began``: when the call arrived, in monotonic seconds. ``said`` is called after each new line."""
        settings, fmt = context.settings, context.format
        self._context = context
        self._role = role
        self._feed = feed
        self._said = said
        self._log = log
        self._metrics = context.metrics
        self._report = Reporter(log, context.metrics, role.name, transcripts=settings.log.transcripts)
        self._history = History()
        self._functions = Functions(context, role, log, self._history, self, feed)
        profile = SessionProfile.of(role.agent, settings.realtime, self._functions.declarations, role.instructions)
        self._codec = ModelCodec(fmt, profile.encoding)
        self._uplink = Uplink(fmt)
        self._batcher = Batcher(fmt)
        self._playout = Playout(fmt, 1000 * most_unheard_s(role.agent.max_output_tokens))
        self._waves = Waves(fmt, log, began)
        talked = role.memory is not None and role.memory.interrupted
        self._model = ModelLine(context.endpoints, profile, self._on_model, self._at_rest, in_call=talked)
        self._conversation = convo.Conversation(
            self._model.session, self._playout, self._uplink, self._codec, self._judge()
        )
        self._meter = Meter(context, role, profile.model, log)
        self._spoken = SpokenTime()
        self._provider_tools = ProviderTools(role.agent.mcp)
        self._conduct: Conduct | None = None  # from the first word on
        self._connection: MediaConnection | None = None
        self._uplink_open = False
        self._unheard: list[bytes] = []  # of the caller, since the last look at it
        self._unheard_since = 0.0
        self._draining = False
        self._talked = False  # somebody said something to the agent
        self._greeting = Greeting(context.prompts, role, self._conversation, self._history)
        self._ends_for_good = False
        self.joined = asyncio.Event()
        """Set once Asterisk's audio connection is here."""
        self.summary: Summary | None = None
        """For who takes the call over, once that is about to happen."""
        self._caller_speaks = False
        self._turn_start_ms = 0.0
        self._sign_due = float("inf")  # while there is no session
        self.heard_at = time.monotonic()
        """When the caller's last frame came, in monotonic seconds; before the first one when we began."""

    def _judge(self) -> Judge | None:
        agent = self._role.agent
        if not agent.interruptions.confirm or agent.turn_detection.interrupt_response:
            return None
        return Judge(
            agent.interruptions, self._uplink, self._role.language, transcribes=agent.transcription is not None
        )

    @property
    def language(self) -> str:
        return self._role.language

    @property
    def last_said(self) -> tuple[Who, str] | None:
        return self._history.last_said

    # -- for the call -----------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the model's session for as long as it lasts."""
        await self._model.run()

    def hear(self) -> None:
        """From now on the caller's audio goes to the model."""
        self._uplink_open = True

    def begin(self) -> None:
        """Have the agent say its first words."""
        now = time.monotonic()
        agent, language = self._role.agent, self._role.language
        self._conduct = self._functions.conduct = Conduct(agent, language, self._context.format, now)
        self._greet(self._greeting.begin(now))

    def meet(self, before: Party, caller: Party) -> None:
        """Begin anew with the caller, whom ``before``, who spoke with the agent so far, has put through."""
        self._draining = self._ends_for_good = False
        role = self._role
        self._role = replace(role, facts=role.facts.put_through(caller.number, caller.name))
        self._functions.serve(self._role)
        self._greet(self._greeting.meet(before, caller, time.monotonic(), talked=self._talked))

    def _greet(self, happened: Sequence[convo.Happening]) -> None:
        self._happened(happened)
        if self._connection is not None:
            self._connection.speech_ready()
        self._model.flush()

    def press(self, digit: str) -> None:
        """A key of the caller's; as good as a word, also in a goodbye."""
        self._functions.key_pressed()
        if self._draining:
            self._keep_talking()
        if self._conduct is not None:
            self.do(self._conduct.pressed(digit, time.monotonic()))

    def remember(self, destination: str) -> Memory:
        """The conversation so far, for a caller who may come back."""
        facts = self._role.facts
        return Memory(self._history.entries, destination, facts.caller_number, facts.caller_name)

    def explain_failure(self, wanted: handoff.Handoff) -> None:
        """Have the model tell the caller that they could not be put through."""
        self._draining = self._ends_for_good = False
        self.tell(handoff.failed_note(wanted.name))

    def prepare_brief(self, wanted: handoff.Handoff) -> None:
        """Have the model speak a summary beside the conversation, unless it is not wanted."""
        self.summary = None
        if wanted.kind == "blind":
            return
        codec = ModelCodec(self._context.format, self._model.session.profile.encoding)
        self._context.briefs.look()
        self.summary = Summary(self._context.briefs, self._model.session, codec, wanted, self._role.agent.language)
        self._model.flush()

    def wait_for_colleague(self) -> None:
        """Somebody is being looked for, and the caller waits with us: silence is no reason to ask, nor to leave."""
        self._draining = False
        if self._conduct is not None:
            self._conduct.hold_on(time.monotonic())

    def tell(self, note: str) -> None:
        """Have the model act on a note of the system's."""
        self._conversation.tell(note, time.monotonic())
        self._model.flush()

    def whisper(self, text: str, *, now: bool) -> None:
        """Give the model a note that the caller does not hear; ``now``: it is to act on it at once."""
        note = handoff.whisper_note(text)
        if now:
            self.tell(note)
        else:
            self._conversation.note(note)
            self._model.flush()

    def drain(self, *, final: bool = False) -> None:
        """Report PlayoutDrained as soon as the agent has been heard to the end.

        ``final``: the caller has no say in it, talking does not keep the call here.
        """
        self._ends_for_good |= final
        self._draining = True

    async def leave(self) -> Owed:
        """Have the agent say nothing more; returns what the caller waits for. What was cut off is in the history."""
        if self._caller_speaks:
            owed = Owed.TURN
        elif self._playout.idle:
            owed = Owed.NOTHING if self._at_rest() else Owed.ANSWER
        else:
            owed = Owed.WORDS
        now = time.monotonic()
        self._happened(self._conversation.break_off(now))
        self._model.flush()
        until = now + CUT_LIMIT_S
        while not self._conversation.quiet and time.monotonic() < until:
            await asyncio.sleep(FRAME_MS / 1000)
        return owed

    async def close(self, *, handed_over: bool = False) -> None:
        """Give the audio connection and the model's session back, and what still runs for the model.

        ``handed_over``: the summary is still wanted; that waits for it, a few seconds at most.
        """
        if self._connection is not None:
            self._connection.close()
        await self._functions.close()
        if self.summary is not None and handed_over and not await self.summary.written(SUMMARY_LIMIT_S):
            self._log.event("brief.not_spoken", logging.WARNING, cause="the model did not speak it in time")
        await self._model.close()

    def account(self) -> dict[str, object]:
        """Count what the call used, once, at its end; returns what belongs into its log."""
        if self._unheard:
            self._waves.caller_sent(b"".join(self._unheard), self._unheard_since)
            self._unheard.clear()
        self._waves.close()
        self._meter.tell()
        self._metrics.uplink_dropped.inc(self._model.dropped_s)
        self._metrics.uplink_silence.inc(self._uplink.silence_ms / 1000)
        self._metrics.underruns.inc(self._playout.underruns)
        return {
            "underruns": self._playout.underruns,
            "caller_audio_dropped_s": round(self._model.dropped_s, 3),
            "caller_audio_gap_s": round(self._uplink.silence_ms / 1000, 3),
            "caller_audio_gaps": self._uplink.gaps,
        }

    # -- the audio connection (MediaEndpoint) -----------------------------------------------------

    def connected(self, connection: MediaConnection) -> None:
        self._connection = connection
        self.joined.set()

    def audio_received(self, payload: bytes, now: float) -> None:
        self.heard_at = now
        if self._uplink_open:
            if self._uplink.in_gap and (gap_ms := self._uplink.gap_ms) >= NOTED_GAP_MS:
                self._log.note("uplink.gap", ms=gap_ms)
            self._append(self._uplink.received(payload, now))
            if not self._unheard:
                self._unheard_since = now
            self._unheard.append(payload)
            if len(self._unheard) >= LISTEN_FRAMES:
                self._listen(now)

    def frame_due(self, now: float) -> bytes | None:
        if self._uplink_open and (silence := self._uplink.tick(now)):
            self._append(silence)
            self._listen(now)
            self._waves.caller_sent(silence, now)
        frame, happened = self._conversation.frame_due(now)
        if happened:
            self._happened(happened)
            # An interruption or a dismissed noise may have been decided. The model has to know before it answers; the
            # next message of the server may be that answer.
            self._model.flush()
        if self._conduct is not None:
            self._waves.agent_sent(frame)
            if found := self._conduct.tick(now):
                self.do(found)
        if frame is None and self._draining:
            self._check_drained()
        if now >= self._sign_due:
            self._sign_due = now + LOST_SIGN_EVERY_S
            self.give_sign("tone")
        if self._provider_tools.sign_due(now):
            self.give_sign("tone")
        return frame

    def _listen(self, now: float) -> None:
        """Look at what the caller sent since the last time: together, for frame by frame it would cost much more."""
        if not self._unheard:
            return
        pcm = b"".join(self._unheard)
        self._unheard.clear()
        self._waves.caller_sent(pcm, self._unheard_since)
        if self._conduct is not None and (found := self._conduct.hears(pcm, now)):
            self.do(found)

    def digit_received(self, digit: str) -> None:
        """Each digit comes a second time through ARI; that one counts."""

    def disconnected(self, reason: str) -> None:
        self._connection = None
        if reason in (Reason.MALFORMED, Reason.UNEXPECTED_KIND, Reason.PEER_ERROR):
            self._metrics.malformed.labels("asterisk").inc()
        self._feed(ev.MediaFailed(f"the audio connection ended: {reason}"))

    def _append(self, pcm: bytes) -> None:
        if not (pcm := self._batcher.add(pcm)):
            return
        if not self._model.append_audio(pcm if self._codec.identity else self._codec.to_model(pcm)):
            self._uplink.dropped(len(pcm))
            self._conversation.missed(pcm, self._context.format.ms(len(pcm)))

    # -- the model --------------------------------------------------------------------------------

    def _on_model(self, event: rt.Event) -> None:
        now = time.monotonic()
        match event:
            case rt.AudioArrived():
                self._happened(self._conversation.handle(event, now))
                if self._conversation.overfull:
                    self._happened(self._conversation.break_off(now))
                    self._model.give_up("the model's server sent more speech than may wait to be heard")
                if self._connection is not None:
                    self._connection.speech_ready()
                return
            case rt.SpeechStarted():
                self._batcher.in_turn = True
                self._turn_start_ms = event.audio_start_ms
            case rt.SpeechStopped():
                self._batcher.in_turn = False
                seconds = self._spoken.turn_s(self._turn_start_ms, event.audio_end_ms, self._uplink.appended_ms)
                self._log.note("turn.ended", item=event.item_id, seconds=seconds)
                if not self._spoken.believed:
                    self._on_model(rt.InputMalformed("position in the caller's audio", 0))
                if self._role.agent.transcription is not None:
                    self._meter.used(rt.Usage(), seconds)
            case rt.ResponseEnded():
                self._meter.used(event.usage)
            case rt.AsideEnded():
                self._meter.used(event.usage)
                if self.summary is not None:
                    self.summary.spoken(event)
            case rt.SessionReady():
                self._conversation.begin_in(self._model.session)
                self._feed(ev.ModelReady())
            case rt.SessionFailed():
                if self.summary is not None:
                    self.summary.give_up()
                self._metrics.model_failures.labels(event.fault.value).inc()
                cause = told(event.cause, event.remedy)
                if self._conduct is None:
                    here = event.full or event.fault is rt.Fault.REQUEST
                    self._feed(ev.ModelFailed(cause, no_seat_helps=here))
                else:
                    self._context.model_doubted(event.fault is rt.Fault.SILENT)
                    self._feed(self._without_model(event.fault, cause))
            case rt.SessionLost():
                self._model_lost(event, now)
                return
            case rt.SessionRenewed():
                self._model_renewed(event, now)
                return
            case rt.ProviderToolStarted() | rt.ProviderToolEnded() | rt.ToolsNotListed():
                self._on_provider_tool(event, now)
            case rt.RequestRefused():
                self._log.event("model.refused", logging.WARNING, code=event.code, message=event.message)
            case rt.InputMalformed():
                self._metrics.malformed.labels("model").inc()
                self._log.event("model.malformed", logging.WARNING, what=event.what, length=event.length)
        self._happened(self._conversation.handle(event, now))
        if self._draining:
            self._check_drained()

    def _on_provider_tool(
        self, event: rt.ProviderToolStarted | rt.ProviderToolEnded | rt.ToolsNotListed, now: float
    ) -> None:
        tools = self._provider_tools
        match event:
            case rt.ProviderToolStarted():
                tools.started(event, now)
                self._log.note("tool.called", tool=event.name, id=event.item_id, server=tools.server(event.server))
            case rt.ProviderToolEnded():
                ran, kind = tools.ended(event, now), "ok" if event.ok else "failed"
                self._metrics.tool_called(ran.server, ran.seconds, kind)
                ms = round(1000 * ran.seconds, 1)
                self._log.note("tool.done", tool=ran.name, id=event.item_id, ms=ms, ok=event.ok, kind=kind)
                if not event.ok:
                    self._log.event(
                        "mcp.call_failed", logging.WARNING, tool=ran.name, server=ran.server, cause=event.error
                    )
            case rt.ToolsNotListed():
                self._metrics.tool_called(tools.server(event.server), 0.0, "not_listed")
                self._log.event("mcp.not_listed", logging.WARNING, server=tools.server(event.server))
        if self._conduct is not None:
            self._conduct.busy(tools.running or self._functions.busy, now)

    def _without_model(self, fault: rt.Fault, cause: str) -> ev.Event:
        """What it means for the call that there is no model any more."""
        reason = ev.MODEL_SILENT if fault is rt.Fault.SILENT else ev.MODEL_LOST
        way_out = self._functions.way_out(cause)
        return ev.ModelFailed(cause, reason) if way_out is None else ev.AgentGone(cause, way_out, reason)

    def _model_lost(self, event: rt.SessionLost, now: float) -> None:
        """Another session is being made; the caller hears a sign when it takes long."""
        if self.summary is not None:
            self.summary.give_up()
        self._batcher.in_turn = False
        self._provider_tools.lost()
        self._sign_due = now + LOST_SIGN_AFTER_S
        self._log.event("model.lost", logging.WARNING, fault=event.fault.value, cause=event.cause)
        self._happened(self._conversation.lost(now))

    def _model_renewed(self, event: rt.SessionRenewed, now: float) -> None:
        self._sign_due = float("inf")
        self._metrics.reconnects.inc()
        self._log.event("model.renewed", lost_ms=round(1000 * event.lost_s))
        self._conversation.renew(self._model.session, self._history.entries, now)

    def _at_rest(self) -> bool:
        """Nobody would notice that the session is changed."""
        busy = self._functions.busy or self._provider_tools.running
        return not (self._caller_speaks or busy) and self._conversation.at_rest

    def _check_drained(self) -> None:
        if self._conversation.quiet and not (self._functions.busy or self._provider_tools.running):
            self._draining = False
            self._feed(ev.PlayoutDrained())

    def _keep_talking(self) -> None:
        """The caller is not done, whatever the agent thought."""
        if not self._ends_for_good:
            self._draining = False
            self._feed(ev.CallerSpoke())

    # -- what follows -----------------------------------------------------------------------------

    def _happened(self, happened: Sequence[convo.Happening]) -> None:
        """Log, count and act on what the conversation says."""
        for what in happened:
            self._report.happened(what)
            self._remember(what)
            self._functions.happened(what)
            if self._conduct is not None:
                self._conduct.happened(what, time.monotonic())
            match what:
                case convo.CallerBegan():
                    self._caller_speaks = self._talked = True
                    if self._draining:
                        self._keep_talking()
                case convo.CallerEnded():
                    self._caller_speaks = False
                case convo.ToolsCalled(calls=calls):
                    self._functions.called(calls)

    def _remember(self, what: convo.Happening) -> None:
        match what:
            case convo.CallerSaid(text=str(text), item_id=item_id):
                self._history.said("caller", text, item_id)
            case convo.AgentSaid(text=text, item_id=item_id):
                self._history.said("agent", text, item_id)
            case convo.Interrupted(item_id=item_id, heard_ms=heard_ms, dropped_ms=dropped_ms):
                self._history.cut(item_id, heard_ms / max(heard_ms + dropped_ms, 1.0))
            case _:
                return
        self._said()

    def do(self, what: Iterable[Deed]) -> None:
        """Carry out what the agent's conduct asks for."""
        now = time.monotonic()
        for deed in what:
            match deed:
                case deeds.Tell(note=note):
                    self._conversation.tell(note, now)
                case deeds.GiveDigits(digits=digits):
                    # The digits themselves may be a card's: they are not for logs.
                    self._log.event("call.digits", count=len(digits), private={"text": digits})
                    self._happened(self._conversation.give_digits(digits, now))
                    self._history.said("caller", PRESSED.format(digits=digits))
                case deeds.ToolDone(call_id=call_id, output=output):
                    self._log.note("tool.done", tool="collect_digits", id=call_id, output=output)
                    self._functions.answer(call_id, output)
                case deeds.End(reason=reason, at_once=at_once, final=final):
                    self._ends_for_good |= final
                    self._feed(ev.NobodyThere(reason) if at_once else ev.EndRequested(reason))
                case deeds.ToPerson():
                    self._functions.to_person()
        self._model.flush()

    def give_result(self, call_id: str, output: str, *, ask: bool, must_speak: bool = False) -> None:
        """Give the model a function's result, and with ``ask`` the word; ``must_speak``: not to functions."""
        self._model.session.answer_tool(call_id, output)
        if ask and must_speak:
            self._conversation.note(SPEAK)
        if ask:
            self._model.session.request_response(time.monotonic(), tools=not must_speak)
        self._model.flush()

    def give_sign(self, sign: str) -> None:
        """A tool takes its time: let the caller know, unless somebody is talking."""
        waits = self._conversation.quiet or (self._provider_tools.running and self._playout.idle)
        if self._caller_speaks or not waits:
            return
        role = self._role
        said = None if sign == "tone" else self._context.prompts.find(role.agent, sign, role.language)
        self._log.note("tool.sign", sign="tone" if said is None else sign)
        self._conversation.play(tone_sign(self._context.format) if said is None else said)
        if self._connection is not None:
            self._connection.speech_ready()

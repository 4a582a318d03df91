"""The talking side of one call: the model's session, the audio connection, and the conversation between them.

    Asterisk --TCP--> Talk.audio_received --> RealtimeClient.append_audio --> model
    Asterisk <--TCP-- Talk.frame_due      <-- Playout <-- Talk._on_model  <-- model

Audio never passes a queue or a task of ours: a frame from Asterisk is appended to the model's socket in the
same callback, and the pacer takes the next frame from the playout.
"""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from ariagent.audio.batcher import Batcher
from ariagent.audio.format import AudioFormat
from ariagent.audio.playout import Playout
from ariagent.audio.rates import ModelCodec
from ariagent.audio.uplink import Uplink
from ariagent.audiosocket.server import MediaConnection, Reason
from ariagent.call import conversation as convo
from ariagent.call import events as ev
from ariagent.call import tools
from ariagent.config import AgentSettings, RealtimeSettings
from ariagent.logs import CallLog
from ariagent.metrics import Metrics
from ariagent.realtime import events as rt
from ariagent.realtime.client import RealtimeClient
from ariagent.realtime.profile import SessionProfile


class Talk:
    """A MediaEndpoint that holds a conversation. What it means for the call's life goes to ``feed``."""

    def __init__(
        self,
        agent: AgentSettings,
        realtime: RealtimeSettings,
        fmt: AudioFormat,
        *,
        feed: Callable[[ev.Event], None],
        log: CallLog,
        metrics: Metrics,
        transcripts: bool,
    ) -> None:
        self._agent = agent
        self._feed = feed
        self._log = log
        self._metrics = metrics
        self._transcripts = transcripts
        profile = SessionProfile.of(agent, realtime, tools.DECLARATIONS)
        self._codec = ModelCodec(fmt, profile.encoding)
        self._uplink = Uplink(fmt)
        self._batcher = Batcher(fmt)
        self._playout = Playout(fmt)
        self._model = RealtimeClient(realtime, profile, self._on_model)
        self._conversation = convo.Conversation(self._model.session, self._playout, self._uplink, self._codec)
        self._connection: MediaConnection | None = None
        self._uplink_open = False
        self._draining = False
        self.heard_at = time.monotonic()
        """When the caller's last frame came, in monotonic seconds; before the first one when we began."""

    # -- for the call -----------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the model's session for as long as it lasts."""
        await self._model.run()

    def hear(self) -> None:
        """From now on the caller's audio goes to the model."""
        self._uplink_open = True

    def begin(self) -> None:
        """Have the agent say its first words."""
        self._conversation.open(self._agent.opening_in(self._agent.language), time.monotonic())
        self._model.flush()

    def give_digits(self, digits: str) -> None:
        """Tell the model what the caller pressed."""
        # The digits themselves may be a card's: they are not for logs.
        self._log.event("call.digits", count=len(digits))
        self._report(self._conversation.give_digits(digits, time.monotonic()))
        self._model.flush()

    def drain(self) -> None:
        """Report PlayoutDrained as soon as the agent has been heard to the end."""
        self._draining = True

    async def close(self) -> None:
        """Give the audio connection and the model's session back."""
        if self._connection is not None:
            self._connection.close()
        await self._model.close()

    def account(self) -> dict[str, object]:
        """Count what the call used, once, at its end; returns what belongs into its log."""
        self._metrics.uplink_dropped.inc(self._model.dropped_s)
        self._metrics.uplink_silence.inc(self._uplink.silence_ms / 1000)
        self._metrics.underruns.inc(self._playout.underruns)
        self._metrics.used(self._model.session.usage)
        return {
            "underruns": self._playout.underruns,
            "uplink_dropped_s": round(self._model.dropped_s, 3),
            "uplink_silence_s": round(self._uplink.silence_ms / 1000, 3),
            "uplink_gaps": self._uplink.gaps,
        }

    # -- the audio connection (MediaEndpoint) -----------------------------------------------------

    def connected(self, connection: MediaConnection) -> None:
        self._connection = connection

    def audio_received(self, payload: bytes, now: float) -> None:
        self.heard_at = now
        if self._uplink_open:
            self._append(self._uplink.received(payload, now))

    def frame_due(self, now: float) -> bytes | None:
        if self._uplink_open and (silence := self._uplink.tick(now)):
            self._append(silence)
        frame, happened = self._conversation.frame_due(now)
        if happened:
            self._report(happened)
        if frame is None and self._draining:
            self._check_drained()
        return frame

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

    # -- the model --------------------------------------------------------------------------------

    def _on_model(self, event: rt.Event) -> None:
        now = time.monotonic()
        match event:
            case rt.AudioArrived():
                self._report(self._conversation.handle(event, now))
                if self._connection is not None:
                    self._connection.speech_ready()
                return
            case rt.SpeechStarted():
                self._batcher.in_turn = True
                if self._draining:
                    self._draining = False
                    self._feed(ev.CallerSpoke())
            case rt.SpeechStopped():
                self._batcher.in_turn = False
            case rt.SessionReady():
                self._feed(ev.ModelReady())
            case rt.SessionFailed():
                self._metrics.model_failures.labels(event.fault.value).inc()
                self._feed(ev.ModelFailed(f"{event.cause}. {event.remedy}" if event.remedy else event.cause))
            case rt.RequestRefused():
                self._log.event("model.refused", logging.WARNING, code=event.code, message=event.message)
            case rt.InputMalformed():
                self._metrics.malformed.labels("model").inc()
                self._log.event("model.malformed", logging.WARNING, what=event.what, length=event.length)
        self._report(self._conversation.handle(event, now))
        if self._draining:
            self._check_drained()

    def _check_drained(self) -> None:
        if self._conversation.quiet:
            self._draining = False
            self._feed(ev.PlayoutDrained())

    def _run_tools(self, calls: tuple[rt.ToolCall, ...]) -> None:
        outcomes = [(call, tools.run(call)) for call in calls]
        for call, outcome in outcomes:
            self._log.event("tool.called", tool=call.name[:64])
            self._model.session.answer_tool(call.call_id, outcome.output)
        if any(outcome.ends_call for _, outcome in outcomes):
            self._feed(ev.EndRequested("agent_ended"))
        else:
            self._model.session.request_response(time.monotonic())

    def _words(self, text: str | None) -> dict[str, Any]:
        """What was said, for the log: a caller's card number is nothing for it, so only where the site wants it."""
        if text is None:
            return {"said": "(not transcribed)"}
        return {"said": text} if self._transcripts else {"characters": len(text)}

    def _report(self, happened: Sequence[convo.Happening]) -> None:
        """Log, count and act on what the conversation says."""
        for what in happened:
            match what:
                case convo.AnswerBegan(latency=latency):
                    self._metrics.turn(latency)
                    self._log.event(
                        "turn.answered",
                        response_ms=round(1000 * latency.response_s, 1),
                        detection_ms=round(1000 * latency.detection_s, 1),
                        model_ms=round(1000 * latency.model_s, 1),
                        ours_ms=round(1000 * latency.ours_s, 1),
                    )
                case convo.Interrupted():
                    self._metrics.interruptions.inc()
                    heard, dropped = round(what.heard_ms), round(what.dropped_ms)
                    self._log.event("turn.interrupted", item=what.item_id, heard_ms=heard, dropped_ms=dropped)
                case convo.CallerSaid():
                    self._log.event("turn.caller", item=what.item_id, **self._words(what.text))
                case convo.AgentSaid():
                    self._log.event("turn.agent", item=what.item_id, **self._words(what.text))
                case convo.ResponseFailed():
                    self._metrics.response_failed(what.reason)
                    self._log.event(
                        "turn.failed", logging.WARNING, status=what.status, reason=what.reason, message=what.message
                    )
                case convo.ToolsCalled(calls=calls):
                    self._run_tools(calls)

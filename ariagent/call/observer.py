"""Tells what happens in a call: to the log, to the metrics and to the call's record.

The one way of a call's facts to the outside: nothing that a call decides depends on what is told here.
"""

import time
from dataclasses import replace
from typing import assert_never

from ariagent.audio.format import FRAME_MS, AudioFormat
from ariagent.audio.peaks import Peaks
from ariagent.dialogue import events
from ariagent.logs import CallLog, Side
from ariagent.metrics import Metrics
from ariagent.realtime import events as rt
from ariagent.records import events as rec
from ariagent.records.spending import Spending

TOLD_EVERY_S = 15.0
"""Interval in which a call's use of the model is recorded."""
LOOK_FRAMES = 50
"""A second of frames is collected, then looked at."""
KEEP_EVERY_LOOKS = 10


class Observer:
    """One call's. ``agent`` and ``model``: their names; ``began``: when the call arrived, in monotonic seconds."""

    def __init__(
        self,
        log: CallLog,
        metrics: Metrics,
        spending: Spending,
        fmt: AudioFormat,
        *,
        agent: str,
        model: str,
        transcripts: bool,
        began: float,
    ) -> None:
        self._log = log
        self._metrics = metrics
        self._agent = agent
        self._transcripts = transcripts
        self._waves = _Waves(fmt, log, began)
        self.agent_frame = self._waves.agent_sent
        """Takes 20 ms of audio that was sent to Asterisk; None: silence."""
        self._meter = _Meter(spending, agent, model, log)

    # -- audio --------------------------------------------------------------------------------------

    def caller_audio(self, pcm: bytes, at: float) -> None:
        """Take audio that the model was given; its beginning came ``at`` (monotonic seconds). Best a second at a
        time."""
        self._waves.caller_sent(pcm, at)

    # -- the model ----------------------------------------------------------------------------------

    def uses(self, model: str) -> None:
        """The call's session is with this model from now on: a fallback may have another one."""
        self._meter.uses(model)

    def model(self, event: rt.Event) -> None:
        """The model's server said something."""
        log, metrics = self._log, self._metrics
        match event:
            case rt.ResponseEnded() | rt.OutOfBandEnded():
                self._meter.used(event.usage)
            case rt.SessionFailed():
                metrics.model_failures.labels(event.fault.value).inc()
            case rt.SessionLost():
                log.tell(rec.ModelLost(event.fault.value, event.cause))
            case rt.SessionRenewed():
                metrics.reconnects.inc()
                log.tell(rec.ModelReconnected(round(1000 * event.lost_s)))
            case rt.RequestRefused():
                log.tell(rec.ModelRefused(event.code, event.message))
            case rt.InputMalformed():
                self._malformed(event.what, event.length)

    def _malformed(self, what: str, length: int) -> None:
        self._metrics.malformed.labels("model").inc()
        self._log.tell(rec.ModelMalformed(what, length))

    # -- the conversation ---------------------------------------------------------------------------

    def tell(self, event: events.DialogueEvent) -> None:
        """Something happened in the conversation."""
        log, metrics = self._log, self._metrics
        match event:
            case events.AgentBegan(item_id=item_id):
                log.tell(rec.AgentTurnBegan(item_id))
            case events.AnswerBegan(latency=latency):
                metrics.turn(latency, self._agent)
                parts = latency.response_s, latency.detection_s, latency.model_s, latency.service_s, latency.held_s
                log.tell(rec.AnswerBegan(event.item_id, *(round(1000 * part, 1) for part in parts)))
            case events.AnswerReleased():
                metrics.used_speculation.inc()
            case events.AnswerDiscarded(response_id=response_id, usage=usage):
                metrics.discarded_speculation.inc()
                log.tell(rec.AnswerDiscarded(response_id, self._meter.money(usage), **usage.tokens))
            case events.CutIn(after_s=after_s):
                metrics.cut_ins.inc()
                log.tell(rec.CutIn(round(1000 * after_s)))
            case events.Interrupted():
                metrics.interruptions.inc()
                log.tell(rec.AgentInterrupted(event.item_id, round(event.heard_ms), round(event.dropped_ms)))
            case events.SoundDismissed():
                metrics.dismissed.labels(event.what).inc()
                log.tell(rec.SoundDismissed(event.item_id, event.what, round(event.silent_ms)))
            case events.CallerSaid():
                log.tell(rec.CallerTurn(event.item_id, event.text), words=self._transcripts)
            case events.CallerSaidSoFar():
                log.tell(rec.CallerTurnSoFar(event.item_id, event.text))
            case events.AgentSaid():
                log.tell(rec.AgentTurn(event.item_id, event.text), words=self._transcripts)
            case events.TurnTranscribed():
                self._turn_transcribed(event)
            case events.ResponseFailed():
                metrics.response_failed(event.reason)
                log.tell(rec.ResponseFailed(event.status, event.reason, event.message))
            case events.DigitsGiven(digits=digits):
                log.tell(rec.DigitsGiven(len(digits), digits))
            case events.GapEnded(ms=ms):
                log.tell(rec.AudioGap(ms))
            case events.MessageTaken():
                log.tell(rec.MessageTaken(event.kind, event.number, event.when, event.text))
            case events.TransferDeclined():
                self._declined(event)
            case events.WaitingPromptPlayed(prompt=prompt):
                log.tell(rec.WaitingPromptPlayed(prompt))
            case events.AgentEnded() | events.CallerBegan() | events.CallerEnded():
                pass
            case _:
                self._tool(event)

    def _tool(
        self,
        event: events.ToolStarted
        | events.BuiltinToolUsed
        | events.ToolEnded
        | events.ProviderToolEnded
        | events.ProviderToolsMissing
        | events.ToolsRefused,
    ) -> None:
        log, metrics = self._log, self._metrics
        match event:
            case events.ToolStarted():
                arguments = "" if event.server else event.arguments
                log.tell(rec.ToolCalled(event.name[:64], event.call_id, event.server, arguments))
            case events.BuiltinToolUsed(name=name):
                log.tell(rec.BuiltinToolUsed(name))
            case events.ToolEnded() if event.seconds is None:
                log.tell(rec.ToolEnded(event.name, event.call_id, output=event.output))
            case events.ToolEnded():
                ms = round(1000 * (event.seconds or 0.0), 1)
                log.tell(rec.ToolEnded(event.name[:64], event.call_id, ms, event.ok, event.kind, event.output))
            case events.ProviderToolEnded():
                kind = "ok" if event.ok else "failed"
                metrics.tool_called(event.server, event.seconds, kind)
                ms = round(1000 * event.seconds, 1)
                log.tell(rec.ToolEnded(event.name, event.call_id, ms, event.ok, kind))
                if not event.ok:
                    log.tell(rec.McpCallFailed(event.name, event.server, event.error))
            case events.ProviderToolsMissing(server=server):
                metrics.tool_called(server, 0.0, "not_listed")
                log.tell(rec.McpToolsNotListed(server))
            case events.ToolsRefused():
                log.tell(rec.ToolsRefused(event.count, event.name[:64], event.rounds))
            case _:
                assert_never(event)

    def _turn_transcribed(self, event: events.TurnTranscribed) -> None:
        self._log.tell(rec.CallerTurnEnded(event.item_id, event.seconds, round(1000 * event.ago_s)))
        if not event.believed:
            self._malformed("position in the caller's audio", 0)
        if event.billed:
            self._meter.used(rt.Usage(), event.seconds)

    def _declined(self, event: events.TransferDeclined) -> None:
        """Closed, nobody there or a long wait is no error; a destination that there never is, is one."""
        declined = rec.DestinationUnusable if event.wrong else rec.TransferDeclined
        self._log.tell(declined(event.destination, event.state))
        self._metrics.transfers.labels(event.kind, "failed" if event.wrong else "declined").inc()

    # -- the end ------------------------------------------------------------------------------------

    def close(self, account: dict[str, float], dropped_s: float) -> dict[str, float]:
        """The call is over: count what it used, once. Returns what belongs into the log of its end.

        ``account``: see ``Dialogue.account``; ``dropped_s``: caller audio that a slow network did not take.
        """
        self._waves.close()
        self._meter.tell()
        self._metrics.uplink_dropped.inc(dropped_s)
        self._metrics.uplink_silence.inc(account["caller_audio_gap_s"])
        self._metrics.underruns.inc(account["underruns"])
        return {**account, "caller_audio_dropped_s": round(dropped_s, 3)}


class _Meter:
    """The use of the model by one call: counted at once, written now and then."""

    def __init__(self, spending: Spending, agent: str, model: str, log: CallLog) -> None:
        self._spending = spending
        self._agent = agent
        self._model = model
        self._log = log
        self._used, self._transcribed_s = rt.Usage(), 0.0
        self._free = False
        """The model that is used now bills nobody: what it transcribes is free, too."""
        self._due = time.monotonic() + TOLD_EVERY_S

    def uses(self, model: str) -> None:
        """Count under the name of this model from now on."""
        if model != self._model:
            self.tell()
            self._model = model

    def used(self, usage: rt.Usage, transcribed_s: float = 0.0) -> None:
        """Count what a turn used: tokens, and seconds of transcribed speech."""
        self._free = usage.free if usage.tokens else self._free
        self._used += usage
        self._transcribed_s += transcribed_s
        if time.monotonic() >= self._due:
            self.tell()

    def money(self, usage: rt.Usage) -> float | None:
        """The price of this, which is counted elsewhere; None: the model has none."""
        return self._spending.money(usage.billed_as(self._model), usage)

    def tell(self) -> None:
        """Enter what was counted since the last time into the records and the day's spending."""
        usage, transcribed_s = self._used, self._transcribed_s
        self._used, self._transcribed_s = rt.Usage(), 0.0
        self._due = time.monotonic() + TOLD_EVERY_S
        if usage.tokens or transcribed_s:
            model = replace(usage, free=self._free if not usage.tokens else usage.free).billed_as(self._model)
            money = self._spending.used(self._agent, model, usage, transcribed_s)
            self._log.tell(rec.ModelUsed(model, money, transcribed_s, **usage.tokens))


class _Waves:
    """The loudness of both sides over a call's time, into its record."""

    def __init__(self, fmt: AudioFormat, log: CallLog, began: float) -> None:
        self._log = log
        self._began = began
        self._caller, self._agent = Peaks(fmt), Peaks(fmt)
        self._starts: dict[str, float] = {}
        self._silence = fmt.silence(FRAME_MS)
        self._frames: list[bytes | None] = []
        """The agent's frames since the last look."""
        self._looks = 0

    def caller_sent(self, pcm: bytes, at: float) -> None:
        """Take more of the caller's audio; its beginning came ``at`` (monotonic seconds). Best a second at a time."""
        if "caller" not in self._starts:
            self._starts["caller"] = max(0.0, at - self._began)
        self._caller.add(pcm)

    def agent_sent(self, frame: bytes | None) -> None:
        """Take 20 ms of the agent's audio; None: silence."""
        self._frames.append(frame)
        if len(self._frames) >= LOOK_FRAMES:
            self._look()
            self._looks += 1
            if self._looks % KEEP_EVERY_LOOKS == 0:
                self._keep(final=False)

    def close(self) -> None:
        """Keep what is left."""
        self._look()
        self._keep(final=True)

    def _look(self) -> None:
        if self._frames and "agent" not in self._starts:
            lasted_s = len(self._frames) * FRAME_MS / 1000
            self._starts["agent"] = max(0.0, time.monotonic() - self._began - lasted_s)
        if any(self._frames):
            self._agent.add(b"".join([self._silence if frame is None else frame for frame in self._frames]))
        else:
            self._agent.add_silence(len(self._frames))
        self._frames.clear()

    def _keep(self, *, final: bool) -> None:
        sides: tuple[tuple[Side, Peaks], ...] = (("caller", self._caller), ("agent", self._agent))
        for side, peaks in sides:
            start_s = self._starts.get(side, 0.0) + peaks.taken_s
            self._log.wave(side, start_s, peaks.take(final=final))

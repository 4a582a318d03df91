"""Tells what happens in a call: to the log, to the metrics and to the call's record.

The one way of a call's facts to the outside: nothing that a call decides depends on what is told here.
"""

import logging
import time
from dataclasses import replace
from typing import Any

from ariagent.audio.format import FRAME_MS, AudioFormat
from ariagent.audio.peaks import Peaks
from ariagent.dialogue import events
from ariagent.logs import CallLog, Side
from ariagent.metrics import Metrics
from ariagent.realtime import events as rt
from ariagent.records.spending import Spending

TOLD_EVERY_S = 15.0
"""How often what a call uses of the model is entered into the records."""
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
        self._meter = _Meter(spending, agent, model, log)

    # -- audio --------------------------------------------------------------------------------------

    def caller_audio(self, pcm: bytes, at: float) -> None:
        """More of what the model was given; its beginning came ``at`` (monotonic seconds). Best a second at a time."""
        self._waves.caller_sent(pcm, at)

    def agent_frame(self, frame: bytes | None) -> None:
        """20 ms of what was handed to Asterisk; None: silence."""
        self._waves.agent_sent(frame)

    # -- the model ----------------------------------------------------------------------------------

    def model(self, event: rt.Event) -> None:
        """The model's server said something."""
        log, metrics = self._log, self._metrics
        match event:
            case rt.ResponseEnded() | rt.AsideEnded():
                self._meter.used(event.usage)
            case rt.SessionFailed():
                metrics.model_failures.labels(event.fault.value).inc()
            case rt.SessionLost():
                log.event("model.lost", logging.WARNING, fault=event.fault.value, cause=event.cause)
            case rt.SessionRenewed():
                metrics.reconnects.inc()
                log.event("model.renewed", lost_ms=round(1000 * event.lost_s))
            case rt.RequestRefused():
                log.event("model.refused", logging.WARNING, code=event.code, message=event.message)
            case rt.InputMalformed():
                self._malformed(event.what, event.length)

    def _malformed(self, what: str, length: int) -> None:
        self._metrics.malformed.labels("model").inc()
        self._log.event("model.malformed", logging.WARNING, what=what, length=length)

    # -- the conversation ---------------------------------------------------------------------------

    def tell(self, event: events.DialogueEvent) -> None:
        """Something happened in the conversation."""
        log, metrics = self._log, self._metrics
        match event:
            case events.AgentBegan(item_id=item_id):
                log.note("turn.began", item=item_id)
            case events.AnswerBegan(latency=latency):
                metrics.turn(latency, self._agent)
                log.event(
                    "turn.answered",
                    item=event.item_id,
                    response_ms=round(1000 * latency.response_s, 1),
                    detection_ms=round(1000 * latency.detection_s, 1),
                    model_ms=round(1000 * latency.model_s, 1),
                    ours_ms=round(1000 * latency.ours_s, 1),
                )
            case events.Interrupted():
                metrics.interruptions.inc()
                heard, dropped = round(event.heard_ms), round(event.dropped_ms)
                log.event("turn.interrupted", item=event.item_id, heard_ms=heard, dropped_ms=dropped)
            case events.SoundDismissed():
                metrics.dismissed.labels(event.what).inc()
                log.event("turn.dismissed", item=event.item_id, what=event.what, silent_ms=round(event.silent_ms))
            case events.CallerSaid():
                self._said("turn.caller", event.item_id, event.text)
            case events.AgentSaid():
                self._said("turn.agent", event.item_id, event.text)
            case events.TurnTranscribed():
                self._turn_transcribed(event)
            case events.ResponseFailed():
                metrics.response_failed(event.reason)
                log.event(
                    "turn.failed", logging.WARNING, status=event.status, reason=event.reason, message=event.message
                )
            case events.DigitsGiven(digits=digits):
                # The digits themselves may be a card's: they are not for logs.
                log.event("call.digits", count=len(digits), private={"text": digits})
            case events.GapEnded(ms=ms):
                log.note("uplink.gap", ms=ms)
            case events.MessageTaken():
                private = {"text": event.text, "number": event.number, "when": event.when}
                log.event("message.taken", kind=event.kind, private=private)
            case events.TransferDeclined():
                self._declined(event)
            case events.WaitingPromptPlayed(prompt=prompt):
                log.note("tool.sign", sign=prompt)
            case events.AgentEnded() | events.CallerBegan() | events.CallerEnded() | events.ToolsCalled():
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
                more = {"server": event.server} if event.server else {"arguments": event.arguments}
                log.note("tool.called", tool=event.name[:64], id=event.call_id, **more)
            case events.BuiltinToolUsed(name=name):
                log.event("tool.used", tool=name)
            case events.ToolEnded(seconds=None):
                log.note("tool.done", tool=event.name, id=event.call_id, output=event.output)
            case events.ToolEnded(seconds=float(seconds)):
                log.note(
                    "tool.done",
                    tool=event.name[:64],
                    id=event.call_id,
                    ms=round(1000 * seconds, 1),
                    ok=event.ok,
                    kind=event.kind,
                    output=event.output,
                )
            case events.ProviderToolEnded():
                kind = "ok" if event.ok else "failed"
                metrics.tool_called(event.server, event.seconds, kind)
                ms = round(1000 * event.seconds, 1)
                log.note("tool.done", tool=event.name, id=event.call_id, ms=ms, ok=event.ok, kind=kind)
                if not event.ok:
                    log.event(
                        "mcp.call_failed", logging.WARNING, tool=event.name, server=event.server, cause=event.error
                    )
            case events.ProviderToolsMissing(server=server):
                metrics.tool_called(server, 0.0, "not_listed")
                log.event("mcp.not_listed", logging.WARNING, server=server)
            case events.ToolsRefused():
                log.event("tool.refused", logging.WARNING, count=event.count, tool=event.name[:64], rounds=event.rounds)

    def _turn_transcribed(self, event: events.TurnTranscribed) -> None:
        self._log.note("turn.ended", item=event.item_id, seconds=event.seconds)
        if not event.believed:
            self._malformed("position in the caller's audio", 0)
        if event.billed:
            self._meter.used(rt.Usage(), event.seconds)

    def _declined(self, event: events.TransferDeclined) -> None:
        """Closed, nobody there or a long wait is no error; a destination that there never is, is one."""
        name, level = ("call.transfer_declined", logging.INFO)
        if event.wrong:
            name, level = ("call.not_transferred", logging.WARNING)
        self._log.event(name, level, destination=event.destination, state=event.state)
        self._metrics.transfers.labels(event.kind, "failed" if event.wrong else "declined").inc()

    def _said(self, name: str, item_id: str, text: str | None) -> None:
        """What was said, for the log: a caller's card number is nothing for it, so only where the site wants it."""
        if text is None:
            shown: dict[str, Any] = {"said": "(not transcribed)"}
        else:
            shown = {"said": text} if self._transcripts else {"characters": len(text)}
        private = {} if text is None else {"said": text}
        self._log.event(name, item=item_id, private=private, **shown)

    # -- the end ------------------------------------------------------------------------------------

    def close(self, account: dict[str, float], dropped_s: float) -> dict[str, object]:
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
    """What one call uses of the model: counted at once, told now and then."""

    def __init__(self, spending: Spending, agent: str, model: str, log: CallLog) -> None:
        self._spending = spending
        self._agent = agent
        self._model = model
        self._log = log
        self._used, self._transcribed_s = rt.Usage(), 0.0
        self._free = False
        """The model that is used now bills nobody: what it transcribes is free, too."""
        self._due = time.monotonic() + TOLD_EVERY_S

    def used(self, usage: rt.Usage, transcribed_s: float = 0.0) -> None:
        """Count what a turn used: tokens, and seconds of transcribed speech."""
        self._free = usage.free if usage.tokens else self._free
        self._used += usage
        self._transcribed_s += transcribed_s
        if time.monotonic() >= self._due:
            self.tell()

    def tell(self) -> None:
        """Enter what was counted since the last time into the records and the day's spending."""
        usage, transcribed_s = self._used, self._transcribed_s
        self._used, self._transcribed_s = rt.Usage(), 0.0
        self._due = time.monotonic() + TOLD_EVERY_S
        if usage.tokens or transcribed_s:
            model = replace(usage, free=self._free if not usage.tokens else usage.free).billed_as(self._model)
            money = self._spending.used(self._agent, model, usage, transcribed_s)
            self._log.note("usage", model=model, cost=money, transcribed_s=transcribed_s, **usage.tokens)


class _Waves:
    """The loudness of both sides over a call's time, into its record."""

    def __init__(self, fmt: AudioFormat, log: CallLog, began: float) -> None:
        self._log = log
        self._began = began
        self._caller, self._agent = Peaks(fmt), Peaks(fmt)
        self._starts: dict[str, float] = {}
        self._silence = fmt.silence(FRAME_MS)
        self._frames: list[bytes | None] = []
        """Of the agent's side, since the last look."""
        self._looks = 0

    def caller_sent(self, pcm: bytes, at: float) -> None:
        """More of the caller's side; its beginning came ``at`` (monotonic seconds). Best a second at a time."""
        if "caller" not in self._starts:
            self._starts["caller"] = max(0.0, at - self._began)
        self._caller.add(pcm)

    def agent_sent(self, frame: bytes | None) -> None:
        """20 ms of the agent's side; None: silence."""
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

"""Tells what happens in a call: to the log, to the metrics, and to the call's record."""

import logging
from typing import Any

from ariagent.dialogue import conversation as convo
from ariagent.logs import CallLog
from ariagent.metrics import Metrics


class Reporter:
    """One call's."""

    def __init__(self, log: CallLog, metrics: Metrics, agent: str, *, transcripts: bool) -> None:
        self._log = log
        self._agent = agent
        self._metrics = metrics
        self._transcripts = transcripts

    def happened(self, what: convo.Happening) -> None:
        log, metrics = self._log, self._metrics
        match what:
            case convo.AgentBegan(item_id=item_id):
                log.note("turn.began", item=item_id)
            case convo.AnswerBegan(latency=latency):
                metrics.turn(latency, self._agent)
                log.event(
                    "turn.answered",
                    item=what.item_id,
                    response_ms=round(1000 * latency.response_s, 1),
                    detection_ms=round(1000 * latency.detection_s, 1),
                    model_ms=round(1000 * latency.model_s, 1),
                    ours_ms=round(1000 * latency.ours_s, 1),
                )
            case convo.Interrupted():
                metrics.interruptions.inc()
                heard, dropped = round(what.heard_ms), round(what.dropped_ms)
                log.event("turn.interrupted", item=what.item_id, heard_ms=heard, dropped_ms=dropped)
            case convo.SoundDismissed():
                metrics.dismissed.labels(what.what).inc()
                log.event("turn.dismissed", item=what.item_id, what=what.what, silent_ms=round(what.silent_ms))
            case convo.CallerSaid():
                self._said("turn.caller", what.item_id, what.text)
            case convo.AgentSaid():
                self._said("turn.agent", what.item_id, what.text)
            case convo.ResponseFailed():
                metrics.response_failed(what.reason)
                log.event("turn.failed", logging.WARNING, status=what.status, reason=what.reason, message=what.message)

    def _said(self, event: str, item_id: str, text: str | None) -> None:
        """What was said, for the log: a caller's card number is nothing for it, so only where the site wants it."""
        if text is None:
            shown: dict[str, Any] = {"said": "(not transcribed)"}
        else:
            shown = {"said": text} if self._transcripts else {"characters": len(text)}
        private = {} if text is None else {"said": text}
        self._log.event(event, item=item_id, private=private, **shown)

"""What is told of a call: to everybody's log, to the metrics, and to the call's own record."""

import logging
from collections.abc import Mapping
from typing import Any

import pytest

from ariagent.call.observer import Reporter
from ariagent.dialogue import conversation as convo
from ariagent.dialogue.turns import TurnLatency
from ariagent.logs import CallLog
from ariagent.metrics import Metrics

LATENCY = TurnLatency(response_s=0.75, detection_s=0.5, model_s=0.24, ours_s=0.01)


class Kept:
    """A call's record."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def event(self, name: str, at: float, fields: Mapping[str, object]) -> None:
        self.events.append((name, dict(fields)))

    def wave(self, side: str, start_s: float, peaks: bytes) -> None:
        raise AssertionError("no waves here")


class Desk:
    def __init__(self, transcripts: bool) -> None:
        self.kept = Kept()
        self.metrics = Metrics()
        log = CallLog(logging.getLogger("ariagent.test"), "c1")
        log.record = self.kept
        self.reporter = Reporter(log, self.metrics, "default", transcripts=transcripts)

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)


@pytest.fixture
def desk(caplog: pytest.LogCaptureFixture) -> Desk:
    caplog.set_level(logging.INFO, "ariagent")
    return Desk(transcripts=False)


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[str, dict[str, Any]]]:
    return [(r.getMessage(), {k: v for k, v in r.fields.items() if k != "call"}) for r in caplog.records]  # type: ignore[attr-defined]


def test_a_turn_with_its_latency_in_parts(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.reporter.happened(convo.AnswerBegan(LATENCY, "i1"))
    fields = {"item": "i1", "response_ms": 750.0, "detection_ms": 500.0, "model_ms": 240.0, "ours_ms": 10.0}
    assert logged(caplog) == [("turn.answered", fields)]
    assert desk.kept.events == [("turn.answered", fields)]
    assert desk.value("ariagent_response_seconds_sum", agent="default") == 0.75
    assert desk.value("ariagent_response_part_seconds_sum", part="ours") == 0.01


@pytest.mark.parametrize(
    ("happening", "event"),
    [(convo.CallerSaid("i1", "my card is 4711"), "turn.caller"), (convo.AgentSaid("i1", "card 4711"), "turn.agent")],
)
def test_words_are_for_the_record_and_not_for_the_log(
    happening: convo.Happening, event: str, desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.reporter.happened(happening)
    [(name, fields)] = logged(caplog)
    assert name == event
    assert "4711" not in repr(fields)
    [(name, fields)] = desk.kept.events
    assert name == event
    assert "4711" in fields["said"]
    assert fields["item"] == "i1"


def test_words_are_in_the_log_where_the_site_wants_them(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ariagent")
    Desk(transcripts=True).reporter.happened(convo.CallerSaid("i1", "hello"))
    assert logged(caplog) == [("turn.caller", {"item": "i1", "said": "hello"})]


def test_words_that_nobody_understood(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.reporter.happened(convo.CallerSaid("i1", None))
    assert logged(caplog) == [("turn.caller", {"item": "i1", "said": "(not transcribed)"})]


def test_interruptions_and_sounds_that_were_none(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.reporter.happened(convo.Interrupted("i1", heard_ms=640.4, dropped_ms=1200.0))
    desk.reporter.happened(convo.SoundDismissed("i2", "noise", silent_ms=380.0))
    assert logged(caplog) == [
        ("turn.interrupted", {"item": "i1", "heard_ms": 640, "dropped_ms": 1200}),
        ("turn.dismissed", {"item": "i2", "what": "noise", "silent_ms": 380}),
    ]
    assert desk.value("ariagent_interruptions_total") == 1
    assert desk.value("ariagent_dismissed_sounds_total", what="noise") == 1


def test_a_response_that_failed_is_a_warning(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.reporter.happened(convo.ResponseFailed("failed", "rate_limit_exceeded", "slow down"))
    desk.reporter.happened(convo.ResponseFailed("failed", "reason_nobody_knows", ""))
    assert [(r.levelno, r.getMessage()) for r in caplog.records] == [(logging.WARNING, "turn.failed")] * 2
    assert desk.value("ariagent_realtime_failed_responses_total", reason="rate_limit_exceeded") == 1
    # The server's own words never become a label.
    assert desk.value("ariagent_realtime_failed_responses_total", reason="other") == 1


def test_when_an_item_began_is_for_the_record(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.reporter.happened(convo.AgentBegan("i1"))
    assert logged(caplog) == []
    assert desk.kept.events == [("turn.began", {"item": "i1"})]


def test_what_is_nobodys_business_is_not_told(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    for happening in (convo.CallerBegan(), convo.CallerEnded(), convo.AgentEnded()):
        desk.reporter.happened(happening)
    assert logged(caplog) == []
    assert desk.kept.events == []

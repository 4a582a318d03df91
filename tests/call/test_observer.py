"""Reports of a call: to the log, to the metrics, and to the call's own record."""

import itertools
import logging
import time
from typing import Any

import pytest

from ariagent.audio.format import SLIN8, SLIN24, AudioFormat
from ariagent.audio.peaks import BLOCK_MS
from ariagent.call import observer as module
from ariagent.call.observer import KEEP_EVERY_LOOKS, LOOK_FRAMES, Observer
from ariagent.config import CostSettings
from ariagent.dialogue import events
from ariagent.dialogue.turns import TurnLatency
from ariagent.logs import CallLog, Side
from ariagent.metrics import Metrics
from ariagent.realtime import events as rt
from ariagent.records.events import CallEvent
from ariagent.records.spending import Spending

LATENCY = TurnLatency(response_s=0.75, detection_s=0.5, model_s=0.24, service_s=0.01)


class Kept:
    """A call's record."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.waves: list[tuple[Side, float, bytes]] = []

    def tell(self, event: CallEvent, at: float) -> None:
        self.events.append((event.NAME, event.to_fields()))

    def wave(self, side: Side, start_s: float, peaks: bytes) -> None:
        if peaks:
            self.waves.append((side, start_s, peaks))


class Desk:
    """An observer of a call that began at ``began`` (monotonic seconds), and all that it tells."""

    def __init__(self, *, transcripts: bool = False, fmt: AudioFormat = SLIN8, began: float = 0.0) -> None:
        self.kept = Kept()
        self.metrics = Metrics()
        self.bills: list[tuple[str, str, rt.Usage]] = []
        self.log = CallLog(logging.getLogger("ariagent.test"), "c1")
        self.log.record = self.kept
        spending = Spending(
            CostSettings(), 0.0, lambda agent, model, usage, money: self.bills.append((agent, model, usage))
        )
        self.observer = Observer(
            self.log,
            self.metrics,
            spending,
            fmt,
            agent="default",
            model="gpt-realtime",
            transcripts=transcripts,
            began=began,
        )

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)


@pytest.fixture
def desk(caplog: pytest.LogCaptureFixture) -> Desk:
    caplog.set_level(logging.INFO, "ariagent")
    return Desk()


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[str, dict[str, Any]]]:
    return [(r.getMessage(), {k: v for k, v in r.fields.items() if k != "call"}) for r in caplog.records]  # type: ignore[attr-defined]


def test_a_turn_with_its_latency_in_parts(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.observer.tell(events.AnswerBegan(LATENCY, "i1"))
    fields = {"item": "i1", "response_ms": 750.0, "detection_ms": 500.0, "model_ms": 240.0, "service_ms": 10.0}
    assert logged(caplog) == [("turn.answered", fields)]
    assert desk.kept.events == [("turn.answered", fields)]
    assert desk.value("ariagent_response_seconds_sum", agent="default") == 0.75
    assert desk.value("ariagent_response_part_seconds_sum", part="service") == 0.01


@pytest.mark.parametrize(
    ("happening", "event"),
    [(events.CallerSaid("i1", "my card is 4711"), "turn.caller"), (events.AgentSaid("i1", "card 4711"), "turn.agent")],
)
def test_words_are_for_the_record_and_not_for_the_log(
    happening: events.DialogueEvent, event: str, desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.observer.tell(happening)
    [(name, fields)] = logged(caplog)
    assert name == event
    assert "4711" not in repr(fields)
    [(name, fields)] = desk.kept.events
    assert name == event
    assert "4711" in fields["said"]
    assert fields["item"] == "i1"


def test_a_discarded_answer_has_its_cost_and_is_not_counted_twice(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ariagent")
    desk = Desk()
    desk.observer.tell(events.AnswerReleased())
    desk.observer.tell(events.AnswerDiscarded("r1", rt.Usage(input_text=100, free=True)))
    assert logged(caplog) == [("turn.answer_discarded", {"response": "r1", "cost": 0.0, "input_text": 100})]
    assert desk.value("ariagent_speculative_responses_total", outcome="used") == 1
    assert desk.value("ariagent_speculative_responses_total", outcome="discarded") == 1
    desk.observer.close({"caller_audio_gap_s": 0, "underruns": 0}, 0.0)
    assert (desk.bills, [name for name, _ in desk.kept.events]) == ([], ["turn.answer_discarded"])


def test_a_cut_in(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.observer.tell(events.CutIn(0.4321))
    assert logged(caplog) == [("turn.cut_in", {"after_ms": 432})]
    assert desk.value("ariagent_cut_ins_total") == 1


def test_the_end_of_a_turn_that_was_held_tells_when_it_was_reported(desk: Desk) -> None:
    desk.observer.tell(events.TurnTranscribed("u1", 1.5, billed=False, believed=True, ago_s=0.6))
    assert desk.kept.events == [("turn.ended", {"item": "u1", "seconds": 1.5, "ago_ms": 600})]


def test_words_are_in_the_log_where_the_site_wants_them(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ariagent")
    Desk(transcripts=True).observer.tell(events.CallerSaid("i1", "hello"))
    assert logged(caplog) == [("turn.caller", {"item": "i1", "said": "hello"})]


def test_words_that_nobody_understood(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.observer.tell(events.CallerSaid("i1", None))
    assert logged(caplog) == [("turn.caller", {"item": "i1", "said": "(not transcribed)"})]


def test_interruptions_and_sounds_that_were_none(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.observer.tell(events.Interrupted("i1", heard_ms=640.4, dropped_ms=1200.0))
    desk.observer.tell(events.SoundDismissed("i2", "noise", silent_ms=380.0))
    assert logged(caplog) == [
        ("turn.interrupted", {"item": "i1", "heard_ms": 640, "dropped_ms": 1200}),
        ("turn.dismissed", {"item": "i2", "what": "noise", "silent_ms": 380}),
    ]
    assert desk.value("ariagent_interruptions_total") == 1
    assert desk.value("ariagent_dismissed_sounds_total", what="noise") == 1


def test_a_response_that_failed_is_a_warning(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.observer.tell(events.ResponseFailed("failed", "rate_limit_exceeded", "slow down"))
    desk.observer.tell(events.ResponseFailed("failed", "reason_nobody_knows", ""))
    assert [(r.levelno, r.getMessage()) for r in caplog.records] == [(logging.WARNING, "turn.failed")] * 2
    assert desk.value("ariagent_realtime_failed_responses_total", reason="rate_limit_exceeded") == 1
    # The server's own words never become a label.
    assert desk.value("ariagent_realtime_failed_responses_total", reason="other") == 1


def test_when_an_item_began_is_for_the_record(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.observer.tell(events.AgentBegan("i1"))
    assert logged(caplog) == []
    assert desk.kept.events == [("turn.began", {"item": "i1"})]


def test_what_is_nobodys_business_is_not_told(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    for happening in (events.CallerBegan(), events.CallerEnded(), events.AgentEnded()):
        desk.observer.tell(happening)
    assert logged(caplog) == []
    assert desk.kept.events == []


# -- both sides, drawn where they belong ------------------------------------------------------------

LOUD = b"\xff\x7f" * 160
ACCOUNT = {"underruns": 0, "caller_audio_gap_s": 0.0, "caller_audio_gaps": 0}


def test_sides_begin_when_their_first_audio_came_counted_from_the_calls_beginning() -> None:
    now = time.monotonic()
    desk = Desk(began=now - 7.0)
    desk.observer.agent_frame(None)
    desk.observer.caller_audio(LOUD, now - 2.0)
    desk.observer.caller_audio(LOUD, now)
    desk.observer.close(ACCOUNT, 0.0)
    found = {side: (start_s, peaks) for side, start_s, peaks in desk.kept.waves}
    assert set(found) == {"caller", "agent"}
    assert found["caller"][0] == pytest.approx(5.0)
    assert 7.0 - 0.02 <= found["agent"][0] < 9.0
    assert found["caller"][1] == b"\xff"
    assert found["agent"][1] == b"\x00"


def test_audio_from_before_the_call_begins_with_it() -> None:
    desk = Desk(began=100.0)
    desk.observer.caller_audio(LOUD, 99.5)
    desk.observer.close(ACCOUNT, 0.0)
    assert next(start_s for side, start_s, _ in desk.kept.waves if side == "caller") == 0.0


@pytest.mark.parametrize("spoken", ["always", "never", "now and then"])
def test_kept_every_ten_seconds_and_without_a_gap(spoken: str) -> None:
    desk = Desk(fmt=SLIN24, began=time.monotonic())
    frames = 2 * KEEP_EVERY_LOOKS * LOOK_FRAMES + 5

    def loud(number: int) -> bool:
        return spoken == "always" or (spoken == "now and then" and number // 30 % 2 == 1)

    for number in range(frames):
        desk.observer.agent_frame(b"\xff\x7f" * 480 if loud(number) else None)
    assert len([wave for wave in desk.kept.waves if wave[0] == "agent"]) == 2
    desk.observer.close(ACCOUNT, 0.0)
    agent = [wave for wave in desk.kept.waves if wave[0] == "agent"]
    assert sum(len(peaks) for _, _, peaks in agent) * BLOCK_MS == pytest.approx(frames * 20, abs=BLOCK_MS)
    for (_, start_s, peaks), (_, following_s, _) in itertools.pairwise(agent):
        assert following_s == pytest.approx(start_s + len(peaks) * BLOCK_MS / 1000)
    # Each block of 50 ms at its place: 0 where none of its audio is loud.
    drawn = b"".join(peaks for _, _, peaks in agent)
    for block, peak in enumerate(drawn):
        covered = range(block * 5 // 2, min(frames, -(-(block + 1) * 5 // 2)))
        assert (peak > 0) == any(loud(n) for n in covered)


def test_without_a_record_nothing_is_needed() -> None:
    desk = Desk()
    desk.log.record = None
    desk.observer.caller_audio(LOUD, 1.0)
    desk.observer.close(ACCOUNT, 0.0)


# -- the model ---------------------------------------------------------------------------------------


def test_what_the_model_is_used_for_is_told_now_and_then_and_at_the_end(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    used = rt.Usage(input_text=10, output_audio=20)
    desk.observer.model(rt.ResponseEnded("r1", "completed", "", "", used))
    desk.observer.model(rt.OutOfBandEnded("k", b"", "", used))
    assert desk.bills == []
    now += module.TOLD_EVERY_S
    desk.observer.tell(events.TurnTranscribed("i1", 2.5, True, True))
    assert desk.bills == [("default", "gpt-realtime", rt.Usage(input_text=20, output_audio=40))]
    desk.observer.model(rt.ResponseEnded("r2", "completed", "", "", used))
    desk.observer.close(ACCOUNT, 0.0)
    assert [usage for _, _, usage in desk.bills][1:] == [used]
    told = [fields for name, fields in desk.kept.events if name == "usage"]
    assert [fields.get("transcribed_s", 0.0) for fields in told] == [2.5, 0.0]


def test_what_was_transcribed_for_nothing_is_not_billed(desk: Desk) -> None:
    desk.observer.tell(events.TurnTranscribed("i1", 2.5, False, True))
    desk.observer.close(ACCOUNT, 0.0)
    assert desk.bills == []


def test_at_another_endpoint_it_is_counted_under_the_name_of_the_model_there(desk: Desk) -> None:
    desk.observer.model(rt.ResponseEnded("r1", "completed", "", "", rt.Usage(output_audio=40)))
    desk.observer.uses("spare")
    desk.observer.model(rt.ResponseEnded("r2", "completed", "", "", rt.Usage(output_audio=2)))
    desk.observer.uses("spare")
    desk.observer.close(ACCOUNT, 0.0)
    assert desk.bills == [
        ("default", "gpt-realtime", rt.Usage(output_audio=40)),
        ("default", "spare", rt.Usage(output_audio=2)),
    ]


def test_a_sandbox_bills_nobody_what_it_transcribes(desk: Desk) -> None:
    desk.observer.model(rt.ResponseEnded("r1", "completed", "", "", rt.Usage(output_audio=5, free=True)))
    desk.observer.close(ACCOUNT, 0.0)
    desk.observer.tell(events.TurnTranscribed("i2", 1.0, True, True))
    desk.observer.close(ACCOUNT, 0.0)
    assert {model for _, model, _ in desk.bills} == {rt.SANDBOX}


def test_a_session_that_is_lost_renewed_and_given_up(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.observer.model(rt.SessionLost(rt.Fault.NETWORK, "cut off"))
    desk.observer.model(rt.SessionRenewed(0.25))
    desk.observer.model(rt.SessionFailed(rt.Fault.SERVER, "closed"))
    assert logged(caplog) == [
        ("model.lost", {"fault": "network", "cause": "cut off"}),
        ("model.reconnected", {"lost_ms": 250}),
    ]
    assert desk.value("ariagent_realtime_reconnects_total") == 1
    assert desk.value("ariagent_realtime_failures_total", fault="server") == 1


def test_nonsense_of_the_models_server_is_counted(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.observer.model(rt.InputMalformed("audio", 12))
    desk.observer.tell(events.TurnTranscribed("i1", 0.0, True, False))
    desk.observer.model(rt.RequestRefused("no_such_item", "what?"))
    assert [name for name, _ in logged(caplog)] == ["model.malformed", "model.malformed", "model.refused"]
    assert desk.value("ariagent_malformed_total", peer="model") == 2


# -- tools, transfers, the end -----------------------------------------------------------------------


def test_a_tools_arguments_and_output_are_for_the_record(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.observer.tell(events.ToolStarted("call_1", "x" * 80, '{"a": 1}'))
    desk.observer.tell(events.ToolEnded("call_1", "x" * 80, '{"b": 2}', True, "ok", 0.25))
    assert logged(caplog) == []
    assert desk.kept.events == [
        ("tool.called", {"tool": "x" * 64, "id": "call_1", "arguments": '{"a": 1}'}),
        (
            "tool.done",
            {"tool": "x" * 64, "id": "call_1", "ms": 250.0, "kind": "ok", "output": '{"b": 2}'},
        ),
    ]


def test_a_providers_tool_that_failed_is_a_warning(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.observer.tell(events.ProviderToolEnded("i1", "find", "crm", 0.5, "no such customer", False))
    desk.observer.tell(events.ProviderToolEnded("i2", "find", "crm", 0.5, "", True))
    desk.observer.tell(events.ProviderToolsMissing("crm"))
    assert [name for name, _ in logged(caplog)] == ["mcp.call_failed", "mcp.not_listed"]
    assert [fields.get("ok", True) for name, fields in desk.kept.events if name == "tool.done"] == [False, True]


@pytest.mark.parametrize(
    ("wrong", "level", "name", "counted"),
    [
        (False, logging.INFO, "call.transfer_declined", "declined"),
        (True, logging.WARNING, "call.transfer_impossible", "failed"),
    ],
)
def test_a_transfer_that_was_declined(
    wrong: bool, level: int, name: str, counted: str, desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.observer.tell(events.TransferDeclined("humans", "blind", "closed", wrong))
    assert [(r.levelno, r.getMessage()) for r in caplog.records] == [(level, name)]
    assert desk.value("ariagent_transfers_total", kind="blind", result=counted) == 1


def test_digits_and_messages_are_not_for_the_log(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.observer.tell(events.DigitsGiven("4711"))
    desk.observer.tell(events.MessageTaken("callback", "call Eve", "5551000", "at noon"))
    assert logged(caplog) == [("call.digits", {"count": 4}), ("message.taken", {"kind": "callback"})]
    assert desk.kept.events[0] == ("call.digits", {"count": 4, "text": "4711"})
    assert desk.kept.events[1][1]["number"] == "5551000"


def test_the_end_counts_what_was_lost(desk: Desk) -> None:
    told = desk.observer.close({"underruns": 2, "caller_audio_gap_s": 1.5, "caller_audio_gaps": 3}, 0.5)
    assert told == {"underruns": 2, "caller_audio_gap_s": 1.5, "caller_audio_gaps": 3, "caller_audio_dropped_s": 0.5}
    assert desk.value("ariagent_playout_underruns_total") == 2
    assert desk.value("ariagent_uplink_silence_seconds_total") == 1.5
    assert desk.value("ariagent_uplink_dropped_seconds_total") == 0.5

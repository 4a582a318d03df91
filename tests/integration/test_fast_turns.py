"""Fast turns through real SIP and RTP. The rules are in memory: ``tests/dialogue/test_fast_turns.py``."""

from functools import partial
from typing import Any

import numpy as np
import pytest

from ariagent.service.turnjudge import TurnJudge

pytestmark = pytest.mark.asterisk

FAST = {"turns": "fast", "fast_turns": {"hold_ms": 1000}, "opening": None}


class Complete:
    """A judge that takes every turn for complete."""

    def __init__(self) -> None:
        self.heard_s: list[float] = []

    def judge(self, pcm: bytes, rate_hz: int) -> float:
        self.heard_s.append(len(pcm) / 2 / rate_hz)
        return 1.0


class Incomplete:
    """A judge that takes no turn for complete. The real one knows nothing about tones."""

    def judge(self, pcm: bytes, rate_hz: int) -> float:
        return 0.0


async def test_a_caller_who_pauses_is_not_talked_over_and_has_said_one_thing(
    sandbox: Any, service: Any, dial: Any, sound: Any, log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ariagent.service.service.TurnJudge", partial(TurnJudge, lambda path: Incomplete()))
    model = await sandbox(think_ms=100)
    running = await service(model, agent=FAST)
    call, hearing = await dial("7000")
    session = await model.wait_session(1)
    pause = np.zeros(8000 * 6 // 10, np.int16)
    await call.play(np.concatenate((sound.tone(0.8), pause, sound.tone(0.8))))
    spoke_until = hearing.spoke_until()
    first, _ = await hearing.utterance(spoke_until)
    answered = await log.wait("turn.answered")
    await call.hangup()
    await log.wait("call.ended")

    assert [arrival for arrival in hearing.loud if arrival < spoke_until] == [], "the first answer was heard"
    assert 1000 * (first - spoke_until) == pytest.approx(1000, abs=150)
    assert answered["response_ms"] == pytest.approx(1000, abs=100)
    assert answered["held_ms"] > 400
    assert len(log.named("turn.answer_discarded")) == 1
    value = running.metrics.registry.get_sample_value
    counted = [value("ariagent_speculative_responses_total", {"outcome": each}) for each in ("used", "discarded")]
    assert (counted, value("ariagent_cut_ins_total")) == ([1, 1], 0)
    # The model knows both parts of the turn, and nothing of the answer that nobody heard.
    assert [item.role for item in session.core.conversation] == ["user", "user", "assistant"]
    assert session.sent_events("error") == []


async def test_a_turn_that_the_judge_takes_for_complete_is_answered_before_the_hold_time_is_over(
    sandbox: Any, service: Any, dial: Any, sound: Any, log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = Complete()
    monkeypatch.setattr("ariagent.service.service.TurnJudge", partial(TurnJudge, lambda path: judge))
    model = await sandbox(think_ms=150)
    running = await service(model, agent={**FAST, "fast_turns": {"hold_ms": 1500}})
    call, hearing = await dial("7000")
    for number in (1, 2):
        await call.play(sound.tone(1.0))
        spoke_until = hearing.spoke_until()
        first, _ = await hearing.utterance(spoke_until)
        assert first - spoke_until < 1.4, "the hold time is 1500 ms"
        await log.wait("turn.answered", count=number)
    await call.hangup()
    await log.wait("call.ended")
    assert running.turn_judge.counts == {"judged": 2}
    assert judge.heard_s == pytest.approx([1.4, 1.4], abs=0.3)
    assert log.named("turn.answer_discarded") == []

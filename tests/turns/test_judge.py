"""The judge itself: what it takes, what it answers, and its errors."""

import asyncio
import threading
import wave
from pathlib import Path

import numpy as np
import pytest

from ariagent import extras
from ariagent.audio.clips import converted
from ariagent.caller import recordings
from ariagent.errors import ConfigurationError
from ariagent.turns import judge as module
from ariagent.turns import modelfile
from ariagent.turns.judge import Judge
from ariagent.turns.worker import JudgeWorker

RATE_HZ = 16_000


@pytest.fixture
def judge(model: Path) -> Judge:
    return Judge.open(model)


@pytest.fixture(scope="module")
def question() -> bytes:
    path = Path(recordings.__path__[0]) / "kal16-what-are-your-opening-hours.wav"
    with wave.open(str(path)) as file:
        assert file.getframerate() == RATE_HZ
        return file.readframes(file.getnframes())


def test_it_answers_with_a_probability(judge: Judge, question: bytes) -> None:
    found = {judge.judge(question[: len(question) * tenths // 10], RATE_HZ) for tenths in range(1, 11)}
    assert all(0 <= each <= 1 for each in found)
    assert len(found) == 10  # it hears the difference


def test_it_takes_any_rate_of_a_call(judge: Judge, question: bytes) -> None:
    found = [judge.judge(converted(question, RATE_HZ, rate_hz), rate_hz) for rate_hz in (16_000, 24_000)]
    assert found[1] == pytest.approx(found[0], abs=0.05)
    narrow = converted(question, RATE_HZ, 8_000)
    assert judge.judge(narrow, 8_000) == pytest.approx(judge.judge(converted(narrow, 8_000, RATE_HZ), RATE_HZ))


def test_only_the_newest_eight_seconds_count(judge: Judge, question: bytes) -> None:
    noise = np.random.default_rng(1).integers(-9000, 9000, RATE_HZ * 20, dtype="<i2").tobytes()
    full = noise[: RATE_HZ * 16 - len(question)] + question
    assert judge.judge(noise + full, RATE_HZ) == judge.judge(full, RATE_HZ)


def test_half_a_sample_and_nothing_at_all_are_taken(judge: Judge, question: bytes) -> None:
    assert judge.judge(question + b"\1", RATE_HZ) == judge.judge(question, RATE_HZ)
    assert 0 <= judge.judge(b"", 8000) <= 1


async def test_through_the_worker(judge: Judge, question: bytes) -> None:
    worker = JudgeWorker(judge)
    try:
        found = await worker.judge(question, RATE_HZ, 20.0)
    finally:
        await asyncio.to_thread(worker.close)
    assert found == judge.judge(question, RATE_HZ)
    assert worker.counts == {"judged": 1}


def test_it_has_no_threads_of_its_own(model: Path, question: bytes) -> None:
    """Only the caller's thread works: judgements take no more than one core."""
    before = _threads()
    judge = Judge.open(model)
    judge.judge(question, RATE_HZ)
    assert _threads() == before


def _threads() -> int:
    return (
        len(list(Path("/proc/self/task").iterdir())) if Path("/proc/self/task").exists() else threading.active_count()
    )


def test_without_the_extra_the_error_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match="the end-of-turn judge needs the extra turns") as caught:
        Judge.open(tmp_path / modelfile.MODEL.name)
    assert "install 'ariagent[turns]'" in caught.value.remedy


def test_without_the_model_the_error_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="does not exist") as caught:
        Judge.open(tmp_path / modelfile.MODEL.name)
    assert "`ariagent install --turns --apply`" in caught.value.remedy


def test_a_model_that_the_runtime_cannot_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.modelfile, "read", lambda path: b"no model")
    with pytest.raises(ConfigurationError, match=r"onnxruntime .* cannot load the end-of-turn model") as caught:
        Judge.open(tmp_path / "x.onnx")
    assert "install 'ariagent[turns]' --upgrade" in caught.value.remedy

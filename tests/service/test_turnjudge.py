"""The service's end-of-turn judge: loaded once, when an agent needs it."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from ariagent.config import Settings
from ariagent.errors import ConfigurationError
from ariagent.service.turnjudge import TurnJudge
from ariagent.turns.judge import Judging

FAST = Settings.model_validate({"agents": {"a": {}, "b": {"turns": "fast"}}})


class Loud:
    """Takes every turn for complete."""

    def judge(self, pcm: bytes, rate_hz: int) -> float:
        return 1.0


class Opened:
    """Counts how often the judge was loaded."""

    def __init__(self, error: ConfigurationError | None = None) -> None:
        self.paths: list[Path] = []
        self.error = error

    def __call__(self, path: Path) -> Judging:
        self.paths.append(path)
        if self.error is not None:
            raise self.error
        return Loud()


@pytest.fixture
def opened() -> Opened:
    return Opened()


@pytest.fixture
def judge(opened: Opened) -> Iterator[TurnJudge]:
    made = TurnJudge(opened)
    yield made
    made.close()


async def test_without_fast_turns_it_is_not_loaded(judge: TurnJudge, opened: Opened) -> None:
    assert await judge.of(Settings()) is None
    assert (opened.paths, judge.counts) == ([], {})


async def test_with_fast_turns_it_is_loaded_once(judge: TurnJudge, opened: Opened) -> None:
    worker = await judge.of(FAST)
    assert worker is not None
    assert await judge.of(FAST) is worker
    assert [path.name for path in opened.paths] == ["smart-turn-v3.2-cpu.onnx"]
    assert await worker.judge(bytes(320), 8000, 10.0) == 1.0
    assert judge.counts == {"judged": 1}


async def test_a_judge_that_is_not_installed_is_logged_and_looked_for_again(caplog: pytest.LogCaptureFixture) -> None:
    opened = Opened(ConfigurationError("no model", remedy="Fetch it"))
    judge = TurnJudge(opened)
    assert await judge.of(FAST) is None
    [record] = caplog.records
    assert (record.levelno, record.getMessage()) == (logging.WARNING, "turn.no_judge")
    assert "no model" in vars(record)["fields"]["cause"]
    opened.error = None
    assert await judge.of(FAST) is not None
    judge.close()

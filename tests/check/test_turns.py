"""The check of the end-of-turn judge: absent, damaged, there, too slow."""

import re
import time
from pathlib import Path

import pytest

from ariagent import extras
from ariagent.check import turns
from ariagent.check.report import Result, Status
from ariagent.check.site import Site
from ariagent.check.turns import NAME, check_turns, judge_cost, look
from ariagent.config import Settings
from ariagent.turns import modelfile


def test_without_the_extra_it_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "find_spec", lambda name: None)
    found = look(tmp_path / "model")
    assert (found.status, found.name) == (Status.SKIPPED, NAME)
    assert f"needs the extra turns, which is not installed ({extras.install('turns')})" in found.found


def test_without_the_model_it_is_skipped(tmp_path: Path) -> None:
    found = look(tmp_path / "model")
    assert found.status is Status.SKIPPED
    assert f"needs its model {tmp_path}/model, which does not exist" in found.found
    assert "`ariagent install --turns --apply`" in found.found


@pytest.mark.parametrize("turns_setting", ["server", "fast"])
async def test_an_agent_with_fast_turns_needs_it(turns_setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "find_spec", lambda name: None)
    tree = {"agents": {"sales": {"turns": turns_setting}, "other": {}}}
    told: list[Result] = []
    await check_turns(Site(Settings.model_validate(tree), "a.yaml", None), told.append)
    [found] = told
    if turns_setting == "server":
        assert found.status is Status.SKIPPED
        return
    assert found.status is Status.WARNING
    assert found.found == "not installed; agents with turns: fast (sales) answer only when the hold time is over"
    assert extras.install("turns") in found.remedy


def test_another_file_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(b"something else")
    found = look(tmp_path / "model")
    assert found.status is Status.WARNING
    assert "another SHA-256" in found.found
    assert "`ariagent install --turns --apply`" in found.remedy


def test_what_a_judgement_costs_is_measured() -> None:
    path = modelfile.folder() / modelfile.MODEL.name
    if not path.exists():
        pytest.skip("make setup has not fetched the model")
    found = look(path)
    assert found.status in (Status.OK, Status.WARNING)
    assert found.figures["judgement_ms"] > found.figures["features_ms"] > 0
    told = re.match(r"one judgement takes (\d+) ms of a core", found.found)
    assert told is not None
    assert float(told[1]) == pytest.approx(found.figures["judgement_ms"], abs=0.6)  # each is rounded by itself


class Busy:
    """A judge that takes a time of the processor."""

    def __init__(self, cost_ms: float) -> None:
        self.cost_s = cost_ms / 1000

    def judge(self, pcm: bytes, rate_hz: int) -> float:
        began = time.thread_time()
        while time.thread_time() - began < self.cost_s:
            pass
        return 0.5


def test_a_machine_that_is_too_slow_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "SLOW_MS", 10.0)
    assert judge_cost(Busy(15.0)).status is Status.WARNING
    quick = judge_cost(Busy(2.0))
    assert quick.status is Status.OK
    assert 2.0 <= quick.figures["judgement_ms"] < 10.0

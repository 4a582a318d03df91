"""The rows of the bench's part ``turns``, from runs that are made up."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from lab import turnparts
from lab.asterisk import AsteriskInstance
from lab.benchparts import Bench
from lab.sentences import Sentence
from lab.turnbench import Load, Seen, Turn


def run(plan: list[int], answer_ms: float, cut_into_from_ms: int) -> Seen:
    """Sentences with these pauses; each has its answer after so much time, and is cut into if its pause is as long."""
    turns = [
        Turn(pause_ms, 1.0, 3.0, 2.0 if pause_ms >= cut_into_from_ms else None, 3.0 + answer_ms / 1000)
        for pause_ms in plan
    ]
    seen = Seen(turns, service_cpu_s=2.0, lasted_s=20.0)
    seen.bill = [{"status": "completed", "deleted": [], "input_tokens": 90, "output_tokens": 10} for _ in turns]
    return seen


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """Runs that need no calls: the answer comes after 790 ms, or with fast turns after 470 ms. Returns the names and
    options of the runs."""
    asked: list[tuple[str, dict[str, Any]]] = []

    async def runs(_: Bench, name: str, agent: dict[str, Any], *plans: list[int], **options: Any) -> list[Seen]:
        asked.append((name, {"agent": agent, **options}))
        fast = agent.get("turns") == "fast"
        far_ms = 2 * options.get("network_ms", 0)
        return [run(plan, (470 if fast else 790) + far_ms, 1000 if fast else 800) for plan in plans]

    async def loaded(*_: Any, **__: Any) -> Load:
        return Load(late_percent=1.0, core_percent=40.0, median_ms=60.0)

    monkeypatch.setattr(turnparts, "_measured", runs)
    monkeypatch.setattr(turnparts.turnbench, "loaded", loaded)
    monkeypatch.setattr(turnparts, "ensure_package", lambda *_: Path())
    monkeypatch.setattr(turnparts, "ensure_judge", lambda *_: True)
    monkeypatch.setattr(turnparts, "sentences", lambda _: [Sentence(np.zeros(8, np.int16), 0, 8)])
    monkeypatch.setattr(turnparts, "planned", lambda _, pauses_ms, each: [ms for ms in pauses_ms for _ in range(each)])
    monkeypatch.setattr(turnparts.Judge, "open", lambda _: None)
    return asked


Measured = list[tuple[str, dict[str, Any]]]


async def rows_of(tmp_path: Path) -> Bench:
    found = Bench(cast(AsteriskInstance, None), tmp_path)
    await turnparts.turns(found)
    return found


async def test_the_server_ends_turns_beside_it(measured: Measured, tmp_path: Path) -> None:
    found = await rows_of(tmp_path)
    assert [name for name, _ in measured][:2] == ["server", "server"]
    rows = {row.name: row for row in found.rows}
    assert rows["end of human speech -> answer heard, p50 (server)"].measured == 790
    assert rows["end of human speech -> answer heard, p95 (server, network 50 ms)"].measured == 890
    assert rows["cut-ins into pauses of up to 600 ms (server)"].measured == 0
    in_sum = rows["cut-ins into 900 pauses of 200 to 1500 ms (server)"]
    assert (in_sum.measured, in_sum.budget) == (300, 400)
    assert rows["judgements that were late, 10 requests a second (50 calls)"].detail["core_percent"] == 40
    assert all(row.ok for row in found.rows if "fast" not in row.name)


async def test_without_the_judge_only_the_server_is_measured(
    measured: Measured, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(turnparts, "ensure_judge", lambda *_: False)
    found = await rows_of(tmp_path)
    assert "the judge's model could not be fetched" in capsys.readouterr().out
    assert {name for name, _ in measured} == {"server"}
    assert not [row.name for row in found.rows if "judge" in row.name]


async def test_fast_turns_have_the_budgets_of_the_promise(
    measured: Measured, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(turnparts, "_hold_ms", lambda: 1200.0)
    found = await rows_of(tmp_path)
    budgets = {row.name: (row.measured, row.budget) for row in found.rows}
    answer = "end of human speech -> answer heard"
    assert budgets[f"{answer}, p50 (fast, 200 ms)"] == (470, 480)
    assert budgets[f"{answer}, p80 (fast, 200 ms)"] == (470, 520)
    assert budgets[f"{answer}, p95 (fast, 200 ms)"] == (470, 1240)
    assert budgets[f"{answer}, p50 (fast, 160 ms)"] == (470, 450)
    assert budgets[f"{answer}, p50 (fast, 200 ms, network 50 ms)"] == (570, 580)
    assert budgets["cut-ins into pauses of up to 400 ms (fast, 200 ms)"] == (0, 0)
    # Fewer than the server's 300.
    assert budgets["cut-ins into 900 pauses of 200 to 1500 ms (fast, 200 ms)"] == (200, 299)
    assert budgets["CPU of the service, fast without the judge / server"] == (1.0, 1.05)
    assert budgets["the judge's share of one core, 20 calls"] == (0, 50)
    assert budgets["the judge's share of one core, 50 calls"] == (0, 50)
    assert budgets[f"{answer}, p95 (fast, 200 ms, 50 calls)"] == (470, 1240)
    assert budgets["share of one core of a judge that is saturated"] == (40, 60)
    assert [options["agent"]["fast_turns"]["early_silence_ms"] for name, options in measured if "160" in name] == [160]
    assert [name for name, options in measured if options.get("judge") is False] == [
        "fast, 200 ms, without the judge",
        "fast, 200 ms, without the judge",
    ]
    assert sorted(options["callers"] for _, options in measured if "callers" in options) == [50, 50]


def test_cut_ins_are_told_by_the_length_of_the_pause(tmp_path: Path) -> None:
    found = Bench(cast(AsteriskInstance, None), tmp_path)
    turnparts._note_cut_ins(found, "server", run([300, 700, 800, 800], 790, 800), 600, 3)
    shorter, in_sum = found.rows
    assert shorter.detail["800 ms"] == "2 of 2"
    assert shorter.detail["700 ms"] == "0 of 1"
    assert (in_sum.measured, in_sum.ok) == (2, True)

"""The command line of the bench; what its parts measure needs a machine of its own."""

import asyncio
import os
import re
import signal
from pathlib import Path
from typing import cast

import pytest

from ariagent.errors import AriagentError, ConfigurationError
from lab import bench, benchanswers, environment
from lab.asterisk import AsteriskInstance
from lab.benchparts import PARTS, Bench, overloaded, taken
from lab.benchrows import Row, Run
from lab.packages import AsteriskProgram


def test_without_arguments_all_parts_are_measured() -> None:
    assert bench.arguments([]).parts == list(PARTS)


def test_parts_are_measured_in_the_order_they_are_named(tmp_path: Path) -> None:
    options = bench.arguments(["speeds", "opening", "--out", str(tmp_path / "x.json")])
    assert options.parts == ["speeds", "opening"]
    assert options.out == tmp_path / "x.json"


def test_an_unknown_part_is_answered_with_the_nearest_and_with_all() -> None:
    with pytest.raises(ConfigurationError, match="no such part: anwsers") as caught:
        bench.arguments(["opening", "anwsers"])
    assert caught.value.remedy.startswith("Did you mean answers? ")
    assert all(part in caught.value.remedy for part in PARTS)
    with pytest.raises(ConfigurationError) as caught:
        bench.arguments(["qqq"])
    assert caught.value.remedy.startswith("The parts are ")


def test_a_comparison_takes_no_parts() -> None:
    with pytest.raises(ConfigurationError, match="no parts beside them"):
        bench.arguments(["opening", "--compare", "a.json", "b.json"])


def test_the_help_has_a_line_for_each_part(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        bench.main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert re.findall(r"^  (\w+)  +\S", shown.partition("parts:")[2], re.MULTILINE) == list(PARTS)


def test_the_page_of_budgets_has_every_part_and_no_other() -> None:
    page = (Path(__file__).parents[2] / "docs" / "measurements.md").read_text()
    table = page.partition("| part | row | budget |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(PARTS)


@pytest.mark.parametrize(("second", "code"), [(10.0, 0), (20.0, 1)])
def test_a_comparison_fails_when_a_row_got_worse(
    second: float, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [tmp_path / "old.json", tmp_path / "new.json"]
    for path, measured in zip(paths, (10.0, second), strict=True):
        Run("a machine", "22", (Row("a delay", measured, 30, "ms"),)).write(path)
    assert bench.main(["--compare", *map(str, paths)]) == code
    assert "a delay" in capsys.readouterr().out


async def test_a_second_signal_does_not_cut_the_ending_short(monkeypatch: pytest.MonkeyPatch) -> None:
    told: asyncio.Queue[str] = asyncio.Queue()
    monkeypatch.setattr(bench, "tell", told.put_nowait)
    begun, may_end = asyncio.Event(), asyncio.Event()
    ended = False

    async def measure() -> None:
        nonlocal ended
        bench.cancel_on_signals()
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await may_end.wait()
            ended = True

    loop = asyncio.get_running_loop()
    task = asyncio.create_task(measure())
    await begun.wait()
    try:
        async with asyncio.timeout(30):
            os.kill(os.getpid(), signal.SIGTERM)
            assert (await told.get()).startswith("interrupted")
            os.kill(os.getpid(), signal.SIGINT)
            assert (await told.get()).startswith("still ending")
            may_end.set()
            await asyncio.wait([task])
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        loop.remove_signal_handler(signal.SIGTERM)
    assert ended
    assert task.cancelled()


def test_an_interrupted_bench_is_an_interruption_of_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def interrupted(program: AsteriskProgram, parts: list[str], out: Path) -> bool:
        raise asyncio.CancelledError

    monkeypatch.setattr(bench, "run", interrupted)
    monkeypatch.setattr(bench, "ensure_asterisk", lambda _: AsteriskProgram(("asterisk",), "22", tmp_path, tmp_path))
    monkeypatch.setattr(bench, "ensure_tool", lambda *_: ["flite"])
    with pytest.raises(KeyboardInterrupt):
        bench.main(["opening"])


async def test_a_part_that_fails_is_a_missed_row_and_the_next_is_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def fails(_: Bench) -> None:
        raise TimeoutError("nobody answered")

    async def measures(found: Bench) -> None:
        found.note("a delay", 1, 2, "ms")

    monkeypatch.setitem(PARTS, "opening", fails)
    monkeypatch.setitem(PARTS, "words", measures)
    found = Bench(cast(AsteriskInstance, None), tmp_path)
    await bench.measure(found, "opening")
    await bench.measure(found, "words")
    early, delay = found.rows
    assert not early.ok
    assert early.name.startswith("opening: ended early")
    assert early.detail == {"error": "TimeoutError: nobody answered"}
    assert delay.ok


STARTED = "2026-11-30T02:00:00.000+00:00 INFO call.started call=1 leg=x agent={agent} seat=- caller=5\n"
OVERLOAD = "2026-11-30T02:00:00.000+00:00 WARNING service.{what} p95_ms=200 calls=50\n"


class Service:
    """The log of a service."""

    def __init__(self) -> None:
        self.log = ""


async def test_calls_that_the_agent_did_not_take_are_no_measurement() -> None:
    service = Service()
    service.log = STARTED.format(agent="default")
    process = cast(environment.Process, service)
    async with taken(process, 2):
        service.log += 2 * STARTED.format(agent="default")
    with pytest.raises(AriagentError, match="the agent took 1 of 2 calls"):
        async with taken(process, 2):
            # One was sent to the human queue, whose music is loud, too.
            service.log += STARTED.format(agent="default") + STARTED.format(agent="-")


def test_a_service_is_overloaded_until_it_says_otherwise() -> None:
    begun, ended = OVERLOAD.format(what="overloaded"), OVERLOAD.format(what="overload_ended")
    assert [overloaded(text) for text in ("", begun, begun + ended, begun + ended + begun)] == [
        False,
        True,
        False,
        True,
    ]


def test_what_the_service_says_of_its_answers_is_read_from_its_log() -> None:
    old = "2026-11-30T02:00:00.000+00:00 INFO turn.answered response_ms=9000 detection_ms=1 model_ms=2 service_ms=3\n"
    new = "".join(
        f"2026-11-30T02:00:0{n}.000+00:00 INFO turn.answered call=1 item=i{n} response_ms={770 + n} detection_ms=518.5 "
        f"model_ms={250 + n}.5 service_ms=0.1\n"
        for n in range(3)
    )
    other = "2026-11-30T02:00:03.000+00:00 INFO call.ended response_ms=1\n"
    assert benchanswers.parts_ms(old + new + other, len(old)) == {
        "response_ms": 771,
        "detection_ms": 518.5,
        "model_ms": 251.5,
        "held_ms": 0,
        "service_ms": 0.1,
    }
    assert benchanswers.parts_ms("") == {}
    held = new.replace("\n", " held_ms=40\n", 2)
    assert benchanswers.parts_ms(held)["held_ms"] == 40
    assert benchanswers.parts_ms(new.replace("\n", " held_ms=40\n", 1))["held_ms"] == 0


def test_the_recordings_are_there_and_the_model_knows_their_words() -> None:
    for text in benchanswers.SENTENCES:
        assert len(benchanswers.words_of(text)) > 8000

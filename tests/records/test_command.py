"""``ariagent calls`` as an operator types it."""

import io
import json
import math
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from rich.console import Console
from typer.testing import CliRunner

from ariagent.cli import application
from ariagent.config import RecordsSettings
from ariagent.errors import ConfigurationError
from ariagent.records import events as rec
from ariagent.records import journal as journal_module
from ariagent.records import store as store_module
from ariagent.records import terminal
from ariagent.records.command import moment
from ariagent.records.journal import Journal
from ariagent.records.store import Store

Run = Callable[..., Any]


def on_disk(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in directory.iterdir())


@pytest.fixture
def run(directory: Path, tmp_path: Path) -> Run:
    settings = tmp_path / "ariagent.yaml"
    settings.write_text(
        f"state_directory: {directory}\nasterisk: {{user: a, password: b}}\nagents: {{default: {{instructions: x}}}}\n"
    )

    def invoke(*words: str) -> Any:
        return CliRunner(env={"COLUMNS": "200"}).invoke(application(), ["calls", "-c", str(settings), *words])

    return invoke


def test_without_records_it_says_so(run: Run) -> None:
    result = run()
    assert result.exit_code == 1
    assert "nothing was recorded in" in result.stderr


def test_words_that_are_too_long_end_with_an_ellipsis(directory: Path) -> None:
    journal = Journal.open(directory, RecordsSettings())
    record = journal.begin("1795359999.7", 1795359999.0)
    record.tell(rec.CallStarted("c", "orders", "-", "5551000"), 1795359999.0)
    record.tell(rec.CallerTurn("i", "I want my money back. " * 10), 1795360000.0)
    assert journal.close()
    told = {"id": "1795359999.7", "began": 1795359999.0, "agent": "orders", "seat": "03", "caller": "5551000"}
    told |= {"queue": "frontline", "language": "en", "state": "talking"}
    told |= {"last_words": {"side": "caller", "text": "I want my money back. " * 10}}
    rows = Store(directory).live()
    for table in (terminal.calls("Past", rows, 1795360001.0, "USD"), terminal.running([told])):
        console = Console(width=110, file=io.StringIO(), record=True)
        console.print(table)
        shown = [line for line in console.export_text().splitlines() if "1795359999.7" in line]
        assert [line.rstrip()[-1] for line in shown] == ["…"]


def test_running_and_past_calls_are_listed(run: Run, sample: Callable[..., str], directory: Path) -> None:
    sample("1795357064.12")
    journal = Journal.open(directory, RecordsSettings())
    record = journal.begin("1795359999.7", time.time() - 5)
    record.tell(rec.CallStarted("c", "orders", "-", "+49"), time.time())
    record.tell(rec.CallerTurn("i", "Is anybody\nthere?\x1b[2J"), time.time())
    # Written at the latest when it is closed; this process lives on, so the call continues.
    assert journal.close()
    result = run()
    assert result.exit_code == 0, result.stderr
    assert "1 running" in result.stdout
    running, past = result.stdout.split("Past")
    assert "1795359999.7" in running
    assert "caller: Is anybody there?�[2J" in running
    assert "1795357064.12" in past
    assert "done (agent_ended)" in past
    assert "0.0620" in past
    data = json.loads(run("--json").stdout)
    assert [(call["id"], call["live"], call["state"]) for call in data["live"]] == [("1795359999.7", True, "ringing")]
    assert data["past"][0]["last_words"] == {"side": "agent", "text": "I connect you now. Goodbye."}
    assert json.loads(run("--json", "--agent", "orders").stdout)["past"] == []
    assert json.loads(run("--json", "--past", "0").stdout)["past"] == []
    assert json.loads(run("--json", "--since", "10m").stdout)["past"] == []
    assert len(json.loads(run("--json", "--since", "2h", "--all").stdout)["past"]) == 1


def test_a_call_is_told_as_a_timeline(run: Run, sample: Callable[..., str]) -> None:
    sample("1795357064.12")
    result = run("064.12")
    assert result.exit_code == 0, result.stderr
    for words in (
        "after 612 ms = 210 detection + 396 model + 6 service",
        "SLOW: the tool change_address took",
        "interrupted after 3200 ms; heard:",
        'order_status({"order": "4711"}) 1874 ms',
        "failed: timeout",
        "caller_audio.gap  ms: 420",
        "Cost: 0.0620 USD",
    ):
        assert words in result.stdout
    data = json.loads(run("1795357064.12", "--json").stdout)
    assert data["cost"] == pytest.approx(0.062)
    slow = [entry["latency"]["why"] for entry in data["timeline"] if entry.get("latency") and entry["latency"]["slow"]]
    assert [why.split(" took ")[0] for why in slow] == ["the tool change_address", "the model"]


def test_ids_may_be_abbreviated_when_only_one_call_has_them(run: Run, sample: Callable[..., str]) -> None:
    for id_ in ("1795357064.12", "1795357064.120", "1795358888.7", "1795358888.7"):
        sample(id_)
    assert run("17953588").exit_code == 0
    assert "1795358888.7/2" in run("1795358888.7").stdout
    assert run("1795358888.7/2").exit_code == 0
    assert run("1795357064.12").exit_code == 0
    several = run("1795357064")
    assert several.exit_code == 1
    assert "'1795357064' matches several calls: 1795357064.120, 1795357064.12. Give more" in several.stderr
    for nothing in ("%", "_", "99", "1795357064.12/9", "1795357064.12/x"):
        result = run(nothing)
        assert result.exit_code == 1
        assert f"there is no call '{nothing}'" in result.stderr


def test_the_page_is_written(run: Run, sample: Callable[..., str], tmp_path: Path) -> None:
    sample("1795357064.12")
    assert run("064.12", "--html", str(tmp_path / "call.html")).exit_code == 0
    assert "<h1>Call 1795357064.12</h1>" in (tmp_path / "call.html").read_text()
    assert (tmp_path / "call.html").stat().st_mode & 0o777 == 0o600
    assert run("064.12", "--html", str(tmp_path / "none" / "call.html")).exit_code == 2
    assert "is for one call" in run("--html", str(tmp_path / "call.html")).stderr


def test_cost_is_summed_by_day_and_by_agent(run: Run, sample: Callable[..., str]) -> None:
    now = time.localtime()
    noon = time.mktime((now.tm_year, now.tm_mon, now.tm_mday - 2, 12, 0, 0, 0, 0, -1))
    first, second = (time.strftime("%Y-%m-%d", time.localtime(noon + days * 86400)) for days in (0, 1))
    sample("1.1", began=noon)
    sample("2.1", began=noon + 60)
    sample("3.1", began=noon + 86400)
    days = json.loads(run("--cost", "--json").stdout)
    assert days["currency"] == "USD"
    assert [(row["day"], row["calls"], round(row["cost"], 4)) for row in days["use"]] == [
        (first, 2, 0.124),
        (second, 1, 0.062),
    ]
    agents = json.loads(run("--cost", "--by", "agent", "--json", "--since", second).stdout)
    assert [(row["agent"], row["input_text"]) for row in agents["use"]] == [("frontdesk", 4200)]
    shown = run("--cost").stdout
    assert second in shown
    assert "0.1860" in shown


def test_a_call_is_deleted_by_its_whole_id_only(run: Run, sample: Callable[..., str], directory: Path) -> None:
    sample("1795357064.12")
    assert run("--delete", "064.12").exit_code == 2
    assert run("--delete", "1795357064.12").stdout == "Deleted 1795357064.12\n"
    assert json.loads(run("--json").stdout) == {"live": [], "past": []}
    assert b"Tuesday" not in on_disk(directory)


def test_what_a_reader_keeps_of_a_deleted_call_is_overwritten_by_the_running_service(
    run: Run, sample: Callable[..., str], directory: Path, until: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "ERASE_LIMIT_S", 0.1)
    monkeypatch.setattr(journal_module, "ERASE_AGAIN_S", 0.05)
    service = Journal.open(directory, RecordsSettings())
    try:
        sample("1795357064.12")
        until(lambda: service._erase_due == math.inf)
        with closing(sqlite3.connect(directory / "calls.db", isolation_level=None)) as reader:
            reader.execute("BEGIN")
            assert reader.execute("SELECT count(*) FROM calls").fetchone() == (1,)
            result = run("--delete", "1795357064.12")
            assert (result.exit_code, result.stdout) == (0, "Deleted 1795357064.12\n")
            assert "stays on the disk while another program reads" in result.stderr
            assert b"Tuesday" in on_disk(directory)
        until(lambda: b"Tuesday" not in on_disk(directory))
    finally:
        service.close()


def test_nothing_is_deleted_while_another_program_keeps_the_records_locked(
    run: Run, sample: Callable[..., str], directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "LOCKED_S", 0.1)
    sample("1795357064.12")
    with closing(sqlite3.connect(directory / "calls.db", isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        result = run("--delete", "1795357064.12")
    assert result.exit_code == 1
    assert "locked; nothing was deleted" in result.stderr
    assert "Run the command again" in result.stderr
    assert run("--delete", "1795357064.12").exit_code == 0


def test_a_damaged_database_is_told_in_one_line(run: Run, directory: Path) -> None:
    directory.mkdir()
    (directory / "calls.db").write_bytes(b"no database" * 1000)
    result = run()
    assert result.exit_code == 1
    assert "cannot be read" in result.stderr


def test_since_is_a_time_or_so_long_ago() -> None:
    assert moment("90m", 10_000.0) == 4600.0
    assert moment("7d", 1e6) == 1e6 - 7 * 86400
    assert moment("2026-11-22", 0) == time.mktime((2026, 11, 22, 0, 0, 0, 0, 0, -1))
    assert moment("2026-11-22T14:30:00+00:00", 0) == 1795357800.0
    for wrong in ("yesterday", "", "5", "2026-13-01", "9999999d9"):
        with pytest.raises(ConfigurationError, match="is not a time"):
            moment(wrong, 0)


def test_what_callers_left_for_people(run: Run, sample: Callable[..., str], directory: Path) -> None:
    sample("1795357064.12")
    journal = Journal.open(directory, RecordsSettings())
    for number, kind in enumerate(("message", "callback")):
        record = journal.begin(f"179536000{number}.7", time.time())
        record.tell(rec.CallStarted("c", f"a{number}", "-", "+49305551"), time.time())
        left = rec.MessageTaken(kind, "+4917", "after six", "The bill\x1b[2J, please.")
        record.tell(left, time.time() + number)
    assert journal.close()
    listed = run("--messages").stdout
    assert listed.index("1795360001.7") < listed.index("1795360000.7")
    for words in ("callback", "+49305551", "+4917", "after six", "The bill�[2J, please."):
        assert words in listed
    data = json.loads(run("--messages", "--json").stdout)["messages"]
    assert [(each["call"], each["kind"], each["number"]) for each in data] == [
        ("1795360001.7", "callback", "+4917"),
        ("1795360000.7", "message", "+4917"),
    ]
    assert [each["call"] for each in json.loads(run("--messages", "--json", "--agent", "a0").stdout)["messages"]] == [
        "1795360000.7"
    ]
    assert len(json.loads(run("--messages", "--json", "--past", "1").stdout)["messages"]) == 1
    assert run("1795360000.7", "--messages").exit_code == 2


def test_nobody_left_anything(run: Run, sample: Callable[..., str]) -> None:
    sample("1795357064.12")
    assert run("--messages").stdout == "No message was taken.\n"


def test_a_moment_in_the_sites_zone() -> None:
    zone = ZoneInfo("Pacific/Auckland")
    assert moment("2026-11-30", 0, zone) == datetime.fromisoformat("2026-11-29T11:00:00+00:00").timestamp()
    assert moment("2026-11-22T14:30:00+00:00", 0, zone) == 1795357800.0

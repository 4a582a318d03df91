"""Rehearsals: files read and chosen, the agent's side read from real records, outcomes as text and as JUnit XML."""

import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

from ariagent.caller.report import CallReport, Digits, Failure, Turn
from ariagent.caller.script import HangUp, Script, parse_script
from ariagent.caller.truewords import records_of
from ariagent.config import RecordsSettings, Settings
from ariagent.errors import ConfigurationError
from ariagent.records import events as rec
from ariagent.records.journal import Journal
from ariagent.rehearsal.agentside import read_agent_side
from ariagent.rehearsal.judge import AgentSide, Remark, ToolCall
from ariagent.rehearsal.junit import junit
from ariagent.rehearsal.rehearse import Outcome, Plan, called, load_rehearsals


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rude.yaml").write_text("title: A rude caller\nsteps: [hangup]\n")
    (tmp_path / "normal.yaml").write_text("steps: [hangup]\n")
    (tmp_path / "readme.txt").write_text("no rehearsal")
    return tmp_path


def test_a_folder_is_read_by_name(folder: Path) -> None:
    assert [script.title for script in load_rehearsals(folder)] == ["normal", "A rude caller"]
    assert [script.title for script in load_rehearsals(folder / "rude.yaml")] == ["A rude caller"]


@pytest.mark.parametrize("wanted", ["rude", "RUDE CALL", "r*e", "a rude*"])
def test_some_are_chosen_by_file_name_or_title(folder: Path, wanted: str) -> None:
    assert [Path(script.source).name for script in load_rehearsals(folder, wanted)] == ["rude.yaml"]


def test_every_mistake_of_every_file_is_told(folder: Path) -> None:
    (folder / "rude.yaml").write_text("steps: []\n")
    (folder / "normal.yaml").write_text("stps: [hangup]\nsteps: [hangup]\n")
    with pytest.raises(ConfigurationError) as caught:
        load_rehearsals(folder)
    assert "rude.yaml:1: steps: there is nothing to do" in str(caught.value)
    assert "normal.yaml:1: stps: unknown key" in str(caught.value)


def test_nothing_to_play_is_a_mistake(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(ConfigurationError, match="no rehearsal matches 'polite'") as caught:
        load_rehearsals(folder, "polite")
    assert "normal, rude" in caught.value.remedy
    for path in (tmp_path_factory.mktemp("empty"), folder / "missing"):
        with pytest.raises(ConfigurationError, match="there are no rehearsals"):
            load_rehearsals(path)


def test_what_is_called_is_what_the_files_say() -> None:
    plan = Plan("7001", "ariagent-internal")
    plain, other, elsewhere = (
        parse_script(f"{head}steps: [hangup]\n", Path("x.yaml"))
        for head in ("", 'extension: "7002"\n', 'extension: "7002"\ncontext: from-internal\n')
    )
    assert (elsewhere.extension, elsewhere.context) == ("7002", "from-internal")
    assert called([plain, plain], plan) == "7001 in context ariagent-internal"
    assert called([elsewhere], plan) == "7002 in context from-internal"
    assert called([other, elsewhere, plain], plan) == (
        "7002 in context ariagent-internal, 7002 in context from-internal, 7001 in context ariagent-internal"
    )
    with pytest.raises(ConfigurationError, match="context"):
        parse_script("context: 'a b'\nsteps: [hangup]\n", Path("x.yaml"))


async def test_the_agents_side_is_read_from_the_services_records(tmp_path: Path) -> None:
    settings = Settings(state_directory=tmp_path)
    assert records_of(settings) is None
    journal = Journal.open(tmp_path, RecordsSettings())
    try:
        placed_at = time.time()
        for call_id in ("caller-1", "caller-2"):
            record = journal.begin(call_id, placed_at)
            record.tell(rec.CallStarted("c", "default", "-", "-"), placed_at)
            record.tell(rec.AgentTurn("i1", f"Hello {call_id}."), placed_at + 1)
            record.tell(rec.ToolCalled("book", "c", arguments='{"day": "Friday"}'), placed_at + 2)
            record.tell(rec.CallEnded(result="done", reason="end_call"), placed_at + 3)
        path = records_of(settings)
        assert path is not None
        found = await read_agent_side(path, "caller-2", placed_at)
    finally:
        journal.close()
    assert found is not None
    assert [(round(remark.at_s, 3), remark.text) for remark in found.remarks] == [(1.0, "Hello caller-2.")]
    assert [(tool.name, tool.arguments) for tool in found.tools] == [("book", {"day": "Friday"})]
    assert (found.result, found.reason) == ("done", "end_call")
    assert records_of(Settings(state_directory=tmp_path, records=RecordsSettings(enabled=False))) is None


async def test_without_transcripts_neither_words_nor_arguments_are_known(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, RecordsSettings(transcripts=False))
    placed_at = time.time()
    record = journal.begin("caller-1", placed_at)
    record.tell(rec.CallStarted("c", "default", "-", "-"), placed_at)
    record.tell(rec.AgentTurn("i1", "I am a language model."), placed_at + 1)
    record.tell(rec.ToolCalled("book", "c", arguments='{"day": "Friday"}'), placed_at + 2)
    record.tell(rec.CallEnded(result="done", reason="end_call"), placed_at + 3)
    assert journal.close()
    found = await read_agent_side(tmp_path / "calls.db", "caller-1", placed_at)
    assert found is not None
    assert found.remarks == ()
    assert [(tool.name, tool.arguments) for tool in found.tools] == [("book", None)]
    assert (found.result, found.reason) == ("done", "end_call")
    report = CallReport("7001", "caller-1", "slin/8000", duration_s=8.0)
    report.turns = [Turn("agent", 0.4, 2.0, "i am a language model", words_from="recogniser")]
    script = Script((HangUp(),), source="suite/rude.yaml", title="rude")
    shown = [line[29:] for line in Outcome(script, report, found).conversation()]
    assert shown[:2] == ["i am a language model", "(calls book)"]


def outcomes() -> list[Outcome]:
    report = CallReport("7001", "caller-1", "slin/8000", duration_s=8.0)
    report.turns = [Turn("agent", 0.4, 2.0, None, 300.0, "answer"), Turn("caller", 3.0, 4.0, "Hi \x07<there>.")]
    report.digits = [Digits(5.0, "12#")]
    agent = AgentSide((Remark(0.4, "Hello."),), (ToolCall(4.5, "book", {"day": "Friday"}),), "done", "end_call")
    script = Script((HangUp(),), source="suite/rude.yaml", title='A "rude" caller')
    failed = Outcome(script, report, agent, [Failure("expect.said[0]", 'the agent never said "bye"')], duration_s=9.0)
    passed = Outcome(Script((HangUp(),), source="suite/normal.yaml", title="normal"), report, None, [], duration_s=2.0)
    error = Outcome(Script((HangUp(),), source="suite/none.yaml", title="none"), error="Asterisk cannot be reached")
    return [failed, passed, error]


def test_a_conversation_has_the_agents_own_words_and_deeds_in_order() -> None:
    failed, passed, error = outcomes()
    shown = [line[29:] for line in failed.conversation()]
    assert shown == [
        "Hello.",
        "Hi \x07<there>.",
        "(calls book {'day': 'Friday'})",
        "(presses 12#)",
        "(the agent's side ended: done, end_call)",
    ]
    assert any("(speaks)" in line for line in passed.conversation())
    assert error.conversation() == []


def test_junit_counts_failures_and_errors_apart() -> None:
    root = ElementTree.fromstring(junit("front desk", outcomes(), "2026-11-22T10:00:00+00:00"))
    (suite,) = root
    assert {key: suite.get(key) for key in ("name", "tests", "failures", "errors", "time")} == {
        "name": "front desk",
        "tests": "3",
        "failures": "1",
        "errors": "1",
        "time": "11.000",
    }
    failed, passed, error = suite.findall("testcase")
    assert failed.get("name") == 'A "rude" caller'
    assert failed.find("failure").get("message") == 'expect.said[0]: the agent never said "bye"'  # type: ignore[union-attr]
    assert "<there>" in (failed.findtext("system-out") or "")
    assert passed.find("failure") is None
    assert error.find("error").get("message") == "Asterisk cannot be reached"  # type: ignore[union-attr]


def test_the_documented_example_is_right() -> None:
    text = (Path(__file__).parents[2] / "docs" / "rehearsals.md").read_text().split("```yaml\n")[1].split("```")[0]
    script = parse_script(text, Path("documented.yaml"))
    assert script.expected.said[1].found("We open at 9.", exact=True)
    assert not script.expected.said[1].found("We open at 19.", exact=True)

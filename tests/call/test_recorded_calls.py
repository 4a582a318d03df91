"""Calls that another process served, or that come back from human agents, read from the records' database."""

import logging
import time
from pathlib import Path

import pytest

from ariagent.call.recorded_calls import interrupted_calls, transferred_call
from ariagent.call.takeover import SHORT_S, InterruptedCall
from ariagent.config import RecordsSettings, Settings
from ariagent.dialogue.history import Said, Used
from ariagent.dialogue.memory import Unfinished
from ariagent.logs import CallLog
from ariagent.records import events as rec
from ariagent.records.journal import Journal
from ariagent.records.model import EventRow
from ariagent.records.store import Store
from ariagent.records.timeline import build

TRANSFERRED = rec.CallTransferred("support", "agent", "warm", text="Wants to return it.")


def at(seconds: float, event: rec.CallEvent) -> EventRow:
    return EventRow.of(seconds, event)


TOLD: tuple[rec.CallEvent, ...] = (
    rec.CallStarted("leg-1", "sales", "03", "5550100", "6f0c"),
    rec.CallAnswered(310.5),
    rec.StateChanged("talking"),
    rec.AgentTurnBegan("a1"),
    rec.AgentTurn("a1", "Good day. How can I help you?"),
    rec.CallerTurnEnded("c1", 1.5),
    rec.CallerTurn("c1", "Where is my order?"),
    rec.ToolCalled("orders", "t1", arguments='{"number": 7}'),
    rec.ToolEnded("orders", "t1", 812.5, output='{"state": "ready"}'),
    rec.AnswerBegan("a2", 1500.0, 200.0, 1290.0, 10.0),
    rec.AgentTurn("a2", "one two three four"),
    rec.AgentInterrupted("a2", 500, 500),
    rec.DigitsGiven(2, "17"),
    rec.CallerTurn("c2", None),
    rec.LegReplaced("leg-1", "leg-2"),
    rec.CallerChanged("5550100", "5550200"),
    rec.ModelUsed("gpt-realtime-2.1", 0.25, 2.5, input_text=7, output_audio=5),
    rec.AudioGap(420.0),
    rec.NotReturned("Asterisk refused"),
    rec.CallLeft(result="left", reason="stopping", unfinished="turn", talk_s=12.5, underruns=0),
)
ENTRIES = (
    Said("agent", "Good day. How can I help you?"),
    Said("caller", "Where is my order?"),
    Used("t1", "orders", '{"number": 7}', '{"state": "ready"}'),
    Said("agent", "one two three ..."),
    Said("caller", "[The caller pressed 17 on the keypad.]"),
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_directory=tmp_path)


def write(settings: Settings, *events: rec.CallEvent, call_id: str = "1.1", began: float = 1000.0) -> None:
    """A service writes a call's events and is gone."""
    journal = Journal.open(settings.state_directory, settings.records)
    log = CallLog(logging.getLogger("ariagent.test"), call_id)
    log.record = journal.begin(call_id, began)
    for event in events:
        log.tell(event)
    assert journal.close()
    assert journal.dropped == 0


def test_a_calls_events_written_and_read_back_are_the_same_call(settings: Settings) -> None:
    write(settings, *TOLD)
    store = Store(settings.state_directory)
    (call,) = store.unfinished_calls()
    rows = store.events(call)
    assert [found.event for found in rows] == list(TOLD)
    assert (call.agent, call.caller, call.seat, call.state) == ("sales", "5550200", "03", "talking")
    assert (call.side, call.words) == ("caller", "(not transcribed)")
    assert call.answered is not None
    (use,) = store.use(call)
    assert (use.usage.input_text, use.usage.output_audio, use.transcribed_s, use.cost) == (7, 5, 2.5, 0.25)
    kept = [at(found.at, event) for found, event in zip(rows, TOLD, strict=True)]
    assert build(call, rows) == build(call, kept)
    assert [turn.text for turn in build(call, rows).turns if turn.side == "agent"] == [
        "Good day. How can I help you?",
        "one two three four",
    ]
    (interrupted,) = interrupted_calls(settings)
    assert interrupted == InterruptedCall.from_record(call, kept)
    assert (interrupted.leg, interrupted.unfinished, interrupted.entries) == ("leg-2", Unfinished.TURN, ENTRIES)
    memory = interrupted.memory(interrupted.last_at + SHORT_S)
    assert memory is not None
    assert (memory.unfinished, memory.entries, memory.interrupted) == (Unfinished.TURN, ENTRIES, True)


@pytest.mark.parametrize("until_the_end", [True, False])
def test_without_transcripts_words_are_known_only_where_they_are_kept_until_the_end(
    tmp_path: Path, until_the_end: bool
) -> None:
    records = RecordsSettings(transcripts=False, until_the_end=until_the_end)
    settings = Settings(state_directory=tmp_path, records=records)
    write(settings, *TOLD)
    (interrupted,) = interrupted_calls(settings)
    assert interrupted.entries == (ENTRIES if until_the_end else ())
    assert (interrupted.leg, interrupted.unfinished) == ("leg-2", Unfinished.TURN)


def test_a_transferred_caller_is_remembered_through_the_database(settings: Settings) -> None:
    ended = rec.CallEnded(result="transferred", reason="handed_over")
    write(settings, *TOLD[:-1], TRANSFERRED, ended)
    assert interrupted_calls(settings) == []
    memory = transferred_call(settings, "1.1")
    assert memory is not None
    assert (memory.entries, memory.destination, memory.caller_number) == (ENTRIES, "support", "5550200")
    assert transferred_call(settings, "other") is None


def test_a_call_that_was_transferred_and_came_back_is_remembered_from_its_first_visit(settings: Settings) -> None:
    now = time.time()  # what is old is deleted by whoever writes next
    write(settings, *TOLD[:-1], TRANSFERRED, rec.CallEnded(result="transferred", reason="handed_over"), began=now)
    write(settings, *TOLD[:3], rec.CallerTurn("c9", "Nobody was there."), began=now)
    (interrupted,) = interrupted_calls(settings)
    memory = interrupted.memory(now + 60.0)
    assert memory is not None
    assert memory.entries == (*ENTRIES, Said("caller", "Nobody was there."))


def test_without_transcripts_no_transferred_caller_is_remembered(tmp_path: Path) -> None:
    settings = Settings(state_directory=tmp_path, records=RecordsSettings(transcripts=False))
    write(settings, *TOLD[:-1], TRANSFERRED, rec.CallEnded(result="transferred", reason="handed_over"))
    assert transferred_call(settings, "1.1") is None


def test_without_records_nothing_is_known(tmp_path: Path) -> None:
    write(Settings(state_directory=tmp_path), *TOLD)
    settings = Settings(state_directory=tmp_path, records=RecordsSettings(enabled=False))
    assert (interrupted_calls(settings), transferred_call(settings, "1.1")) == ([], None)


def test_records_that_cannot_be_read_are_no_reason_not_to_serve(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    write(settings, *TOLD)
    Store(settings.state_directory).path.write_bytes(b"no database" * 1000)
    assert (interrupted_calls(settings), transferred_call(settings, "1.1")) == ([], None)
    assert [record.getMessage() for record in caplog.records].count("records.not_read") == 2

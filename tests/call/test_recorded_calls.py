"""What a new process reads of its predecessor's calls: with real records."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ariagent.call.takeover import LEFT_MEANWHILE, SERVICE_DIED, handed_on, unended
from ariagent.config import Settings
from ariagent.dialogue.history import Said
from ariagent.dialogue.memory import KEPT_S, Owed
from ariagent.records.journal import Journal

Write = Callable[..., None]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.model_validate({"state_directory": str(tmp_path / "state")})


@pytest.fixture
def write(settings: Settings) -> Write:
    """``write(events, end=...)``: the records of one call, as a process leaves them that is over."""

    def written(
        events: list[tuple[str, dict[str, Any]]], end: dict[str, Any] | None = None, ago_s: float = 10.0
    ) -> None:
        journal = Journal.open(settings.state_directory, settings.records)
        now = time.time() - ago_s
        record = journal.begin("1.1", now - 60.0)
        for name, fields in events:
            record.event(name, now, fields)
        if end is not None:
            record.end(now, end)
        assert journal.close()

    return written


STARTED = ("call.started", {"leg": "c1", "agent": "default", "seat": "-", "caller": "5551000"})
ANSWERED = ("call.answered", {"after_ms": 100})
WORDS = ("turn.caller", {"item": "i1", "said": "My order is 8362."})
HANDED_ON = ("call.handed_over", {"destination": "people", "by": "model"})


class TestUnended:
    def test_a_call_without_an_end_and_what_was_said_in_it(self, settings: Settings, write: Write) -> None:
        write([STARTED, ANSWERED, WORDS, ("call.leg_replaced", {"was": "c1", "now": "c2"})])
        (found,) = unended(settings)
        assert (found.call_id, found.leg, found.agent, found.caller) == ("1.1", "c2", "default", "5551000")
        assert found.answered is not None
        assert found.entries == (Said("caller", "My order is 8362."),)
        assert found.owed is None

    def test_what_its_process_left_to_the_next_one(self, settings: Settings, write: Write) -> None:
        write([STARTED, ANSWERED, ("call.left", {"owed": "words", "result": "left", "reason": "next_process"})])
        (found,) = unended(settings)
        assert found.owed is Owed.WORDS

    def test_one_that_ended_is_none(self, settings: Settings, write: Write) -> None:
        write([STARTED, ANSWERED], {"result": "done", "reason": "caller_hung_up"})
        assert unended(settings) == []

    def test_without_records_there_is_none(self, settings: Settings, tmp_path: Path) -> None:
        assert unended(settings) == []
        off = Settings.model_validate({"state_directory": str(tmp_path), "records": {"enabled": False}})
        assert unended(off) == []

    def test_records_that_cannot_be_read_are_no_reason_not_to_serve(
        self, settings: Settings, write: Write, caplog: pytest.LogCaptureFixture
    ) -> None:
        write([STARTED])
        (settings.state_directory / "calls.db").write_bytes(b"no database" * 1000)
        assert unended(settings) == []
        assert [record.getMessage() for record in caplog.records] == ["records.not_read"]


ENDED = {"result": "transferred", "reason": "handed_over"}


class TestHandedOn:
    def test_the_conversation_with_a_caller_who_went_to_people(self, settings: Settings, write: Write) -> None:
        write([STARTED, ANSWERED, WORDS, HANDED_ON], ENDED)
        memory = handed_on(settings, "1.1")
        assert memory is not None
        assert (memory.destination, memory.caller_number) == ("people", "5551000")
        assert memory.entries == (Said("caller", "My order is 8362."),)

    @pytest.mark.parametrize("reason", [SERVICE_DIED, LEFT_MEANWHILE])
    def test_or_whose_service_was_gone(self, reason: str, settings: Settings, write: Write) -> None:
        write([STARTED, ANSWERED, WORDS], {"result": "error", "reason": reason})
        memory = handed_on(settings, "1.1")
        assert memory is not None
        assert memory.destination == "a colleague"

    def test_the_number_is_that_of_the_last_party(self, settings: Settings, write: Write) -> None:
        changed = ("call.caller_changed", {"was": "5551000", "caller": "5552000"})
        withheld = ("call.caller_changed", {"was": "5552000", "caller": "-"})
        write([STARTED, ANSWERED, changed, withheld, HANDED_ON], ENDED)
        memory = handed_on(settings, "1.1")
        assert memory is not None
        assert memory.caller_number == "5552000"

    @pytest.mark.parametrize(
        ("end", "ago_s"),
        [
            ({"result": "done", "reason": "caller_hung_up"}, 10.0),
            (ENDED, KEPT_S + 60.0),
            (None, 10.0),
        ],
    )
    def test_of_another_call_nothing_is_known(
        self, end: dict[str, Any] | None, ago_s: float, settings: Settings, write: Write
    ) -> None:
        write([STARTED, ANSWERED, WORDS], end, ago_s)
        assert handed_on(settings, "1.1") is None
        assert handed_on(settings, "2.2") is None

    def test_where_words_are_not_kept_nothing_is_known(self, settings: Settings, write: Write) -> None:
        write([STARTED, ANSWERED, WORDS, HANDED_ON], ENDED)
        tree = {"state_directory": str(settings.state_directory), "records": {"transcripts": False}}
        assert handed_on(Settings.model_validate(tree), "1.1") is None

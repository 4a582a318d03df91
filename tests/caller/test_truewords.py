"""The agent's true words: from records that are still being written, and from the API's events."""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ariagent.caller.truewords import RecordedWords, ToldWords, sentences, true_words
from ariagent.config import RecordsSettings, Settings
from ariagent.records import events as rec
from ariagent.records.journal import Journal
from ariagent.records.model import EventRow
from ariagent.records.store import Store

LIMIT_S = 10.0


def event(at: float, name: str, **fields: object) -> EventRow:
    return EventRow(at, name, fields)


def test_sentences_are_in_the_order_in_which_they_are_heard() -> None:
    found = sentences(
        [
            event(1.0, "turn.agent", item="a", said="Hello."),
            event(1.1, "turn.began", item="a"),
            event(2.0, "turn.agent", item="b", said="I am sorry."),  # waits for c to be heard
            event(3.0, "turn.began", item="c"),
            event(3.5, "turn.began", item="c"),
            event(4.0, "turn.began", item="b"),
            event(4.5, "turn.interrupted", item="b", heard_ms=250, dropped_ms=750),
            event(5.0, "turn.interrupted", item="c", heard_ms="x", dropped_ms=None),
        ]
    )
    assert [(each.item, each.began, each.words, each.part) for each in found] == [
        ("a", 1.1, "Hello.", 1.0),
        ("c", 3.0, None, 1.0),
        ("b", 4.0, "I am sorry.", 0.25),
    ]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    found = Journal.open(tmp_path, RecordsSettings())
    yield found
    found.close()


async def test_records_tell_each_sentence_once(journal: Journal, tmp_path: Path) -> None:
    record = journal.begin("caller-1", 100.0)
    record.tell(rec.AgentTurn("a", "Hello. How can I help you?"), 100.1)
    record.tell(rec.AgentTurnBegan("a"), 100.1)
    record.tell(rec.AgentTurnBegan("b"), 105.0)
    record.tell(rec.AgentTurn("b", "Let me look."), 105.2)
    record.tell(rec.AgentTurnBegan("c"), 107.0)
    record.tell(rec.AgentTurn("c", "It is ready."), 107.5)
    words = RecordedWords(Store(tmp_path), "caller-1")
    assert await words.said(100.2, 103.0) == "Hello. How can I help you?"
    # Two sentences without a pause between them are one turn for who listens.
    assert await words.said(105.05, 109.0) == "Let me look. It is ready."
    # Nothing new of it: somebody else speaks, or the rest of a sentence after a pause.
    assert await words.said(108.0, 109.5) is None


async def test_words_that_come_late_are_waited_for(journal: Journal, tmp_path: Path) -> None:
    record = journal.begin("caller-1", 100.0)
    record.tell(rec.AgentTurnBegan("a"), 100.1)
    words = RecordedWords(Store(tmp_path), "caller-1")
    asking = asyncio.create_task(words.said(100.2, 103.0, interrupted=True))
    record.tell(rec.AgentTurn("a", "One two three four."), 103.0)
    record.tell(rec.AgentInterrupted("a", 250, 750), 103.2)
    assert await asyncio.wait_for(asking, LIMIT_S) == "One two ..."


async def test_a_call_that_is_not_recorded_is_waited_for_once(journal: Journal, tmp_path: Path) -> None:
    words = RecordedWords(Store(tmp_path), "caller-1")
    assert await words.said(100.2, 103.0) is None
    began = time.monotonic()
    assert await words.said(104.0, 105.0) is None
    assert time.monotonic() - began < 1.0


async def test_where_the_words_come_from(
    journal: Journal, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ARIAGENT_API_URL", "ARIAGENT_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    async with true_words(Settings(state_directory=tmp_path), "caller-1") as words:
        assert words is not None
        assert words.origin == "records"
    nothing = tmp_path_factory.mktemp("empty")
    for settings in (
        Settings(state_directory=nothing),
        Settings(state_directory=tmp_path, records=RecordsSettings(transcripts=False)),
    ):
        async with true_words(settings, "caller-1") as words:
            assert words is None
    monkeypatch.setenv("ARIAGENT_API_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("ARIAGENT_API_TOKEN", "token")
    async with true_words(Settings(state_directory=nothing), "caller-1") as words:
        assert words is not None
        assert words.origin == "api"
        assert await words.said(100.0, 101.0) is None  # nobody answers there


def told(call_id: str, side: str, text: str) -> str:
    return json.dumps({"id": call_id, "last_words": {"side": side, "text": text}})


async def test_the_apis_events_tell_words_once_and_of_one_call() -> None:
    words = ToldWords("caller-1")
    words.take(json.dumps({"calls": [json.loads(told("caller-1", "agent", "Hello."))], "queues": {}}), 100.0)
    words.take(told("caller-2", "agent", "Another call."), 100.5)
    words.take(told("caller-1", "agent", "Hello."), 101.0)  # something else of the call changed
    assert await words.said(100.0, 102.0) == "Hello."
    words.take(told("caller-1", "caller", "What?"), 103.0)
    words.take(told("caller-1", "agent", "Hello."), 104.0)  # the same words again, as an answer
    words.take(told("caller-1", "agent", "And later."), 110.0)
    assert await words.said(103.5, 106.0) == "Hello."
    assert await words.said(109.0, 112.0) == "And later."


@pytest.mark.parametrize("data", ["", "[]", "7", "{}", '{"calls": 3}', '{"id": "caller-1", "last_words": 7}', "{"])
async def test_what_is_no_event_says_nothing(data: str) -> None:
    words = ToldWords("caller-1")
    words._over = True
    words.take(data, 100.0)
    assert await words.said(99.0, 101.0) is None

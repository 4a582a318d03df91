"""The circuit breaker: when it tries, and what it tells. Trials are answered by the test, one by one."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from ariagent import breaker as module
from ariagent.breaker import Breaker

LIMIT_S = 20.0


class Thing:
    """The object under trial: ``answers`` are the results of the trials to come; each trial waits for one."""

    def __init__(self) -> None:
        self.answers: asyncio.Queue[str | Exception] = asyncio.Queue()
        self.begun: asyncio.Queue[int] = asyncio.Queue()
        self.trials = 0
        self.told: list[str] = []
        self.breaker = Breaker(self.told.append)

    async def tried(self) -> str:
        self.trials += 1
        self.begun.put_nowait(self.trials)
        answer = await self.answers.get()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def trial(self, answer: str | Exception) -> None:
        """Wait until a trial has begun, and answer it."""
        await asyncio.wait_for(self.begun.get(), LIMIT_S)
        self.answers.put_nowait(answer)
        # Let the breaker take the answer in: its task runs when this one waits.
        for _ in range(5):
            await asyncio.sleep(0)


@pytest.fixture
async def thing(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Thing]:
    monkeypatch.setattr(module, "FIRST_TRIAL_S", 0.01)
    monkeypatch.setattr(module, "LONGEST_TRIAL_S", 0.02)
    made = Thing()
    running = asyncio.create_task(made.breaker.run(made.tried))
    yield made
    running.cancel()
    await asyncio.wait([running])


async def test_it_is_tried_at_once_and_then_only_when_doubted(thing: Thing) -> None:
    assert thing.breaker.fault is None
    assert not thing.breaker.open
    await thing.trial("")
    assert (thing.breaker.fault, thing.breaker.usable) == ("", True)
    assert thing.begun.empty()
    thing.breaker.doubt()
    await thing.trial("")
    assert thing.told == [""], "nothing changed"


async def test_what_fails_is_tried_until_it_passes_and_told_once_each_way(thing: Thing) -> None:
    await thing.trial("")
    thing.breaker.doubt()
    for _ in range(3):
        await thing.trial("no route")
    assert (thing.breaker.open, thing.breaker.fault) == (True, "no route")
    await thing.trial("")
    assert thing.told == ["", "no route", ""]


async def test_what_a_call_found_for_certain_counts_before_the_trial_is_over(thing: Thing) -> None:
    await thing.trial("")
    thing.breaker.fail("refused")
    assert thing.breaker.open
    assert thing.told == ["", "refused"]
    thing.breaker.fail("refused again")
    await thing.trial("refused")
    assert thing.told == ["", "refused"]
    await thing.trial("")
    assert thing.told == ["", "refused", ""]


async def test_a_doubt_during_a_trial_asks_for_another(thing: Thing) -> None:
    await asyncio.wait_for(thing.begun.get(), LIMIT_S)
    thing.breaker.doubt()
    thing.answers.put_nowait("")
    await thing.trial("gone")
    assert thing.breaker.open


async def test_an_error_of_ours_changes_nothing_and_ends_nothing(
    thing: Thing, caplog: pytest.LogCaptureFixture
) -> None:
    await thing.trial("")
    thing.breaker.doubt()
    await thing.trial(RuntimeError("a bug"))
    assert thing.breaker.usable
    assert "breaker.fault" in caplog.text
    thing.breaker.doubt()
    await thing.trial("gone")
    assert thing.breaker.open


async def test_pauses_grow_to_a_bound(thing: Thing, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        if seconds:
            pauses.append(seconds)
        await sleep(0)

    monkeypatch.setattr(module.asyncio, "sleep", noted)
    for _ in range(4):
        await thing.trial("gone")
    assert pauses[:3] == [0.01, 0.02, 0.02]
    monkeypatch.undo()

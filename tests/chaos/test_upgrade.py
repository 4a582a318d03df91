"""A service ends and leaves its calls to the next process: those continue, and hardly notice."""

import asyncio
import os
import signal
import sys
import time
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ariagent.call.takeover import SHORT_S
from ariagent.records.store import Store
from lab import environment as lab
from lab import waiting
from lab.call_setup import CallState
from lab.ports import free_tcp_port
from tests.chaos.allowance import allowed_s

LIMIT_S = 60.0
MOST_SILENCE_S = 2.0
"""From the next process's taking calls to the last caller's hearing of it; three times that on a busy machine."""
MAKE_UP = ("wait for the caller to speak", "the sentence that was cut off", "The caller was speaking")
"""Notes to the model about callers who rest, listen, speak."""
STORY = "8"
"""The key that makes the agent tell a long story."""


until = partial(waiting.until, limit_s=LIMIT_S)


def at(process: lab.Process, event: str) -> list[float]:
    """When the process logged this event, in seconds of ``time.monotonic()``."""
    since_epoch = time.time() - time.monotonic()
    stamps = [line.partition(" ")[0] for line in process.log.splitlines() if f" {event}" in line]
    return [datetime.fromisoformat(stamp).timestamp() - since_epoch for stamp in stamps]


def fields(process: lab.Process, event: str) -> list[dict[str, str]]:
    """The fields of each line of this event."""
    lines = [line.partition(f" {event}")[2].split() for line in process.log.splitlines() if f" {event} " in line]
    return [dict(word.split("=", 1) for word in words if "=" in word) for words in lines]


async def told_to_leave(process: lab.Process, tmp_path: Path, *, command: bool) -> None:
    """End it as an upgrade does, by SIGTERM or by the command; returns when it has ended."""
    if command:
        argv = ["drain", "--to", "next", "--after", "0", "-c", str(tmp_path / "first.yaml")]
        async with lab.process([sys.executable, "-m", "ariagent", *argv], tmp_path / "drain.log") as drain:
            assert await asyncio.wait_for(drain.ended(), LIMIT_S) == 0
            assert "then the callers wait for the next process" in drain.log
    else:
        os.kill(process.pid, signal.SIGTERM)
    assert await asyncio.wait_for(process.ended(), LIMIT_S) == 0


@pytest.mark.parametrize("calls", [2, pytest.param(10, marks=pytest.mark.chaos)])
async def test_calls_go_on_with_the_next_process_as_if_nothing_had_been(
    calls: int, sandbox: Any, phone: Any, dial: Any, run: Any, sound: Any, queue_log: Any, tmp_path: Path
) -> None:
    model = await sandbox()
    store = Store(tmp_path / "state")
    ending = {"drain_to": "next", "drain_timeout_s": 0, "records": {"transcripts": calls > 2}}
    phones = [await phone(f"55577{number:02}") for number in range(calls)]
    async with run(model, "first", **ending) as first:
        lines = await asyncio.gather(*(dial(("7000", "7001")[n % 2], one) for n, one in enumerate(phones)))
        await asyncio.gather(*(hearing.utterance() for _, hearing in lines))
        rows_before = len(queue_log.rows(queue="frontline"))
        await asyncio.gather(*(call.send_dtmf(f"1{n:02}") for n, (call, _) in enumerate(lines)))

        def written() -> bool:
            said = [str(event.fields.get("said")) for row in store.live() for event in store.events(row)]
            return all(f"You pressed 1{n:02}." in said for n in range(calls))

        await until(written, "the records of what was said")
        await asyncio.gather(*(hearing.wait_quiet(0.5) for _, hearing in lines))
        # One caller in three listens, one speaks, and one does neither.
        listening, speaking, resting = lines[1::3], lines[2::3], lines[0::3]
        pressed = time.monotonic()
        await asyncio.gather(*(call.send_dtmf(STORY) for call, _ in listening))
        await asyncio.gather(*(hearing.wait_loud(pressed) for _, hearing in listening))
        talks = [call.play(sound.tone(3.0)) for call, _ in speaking]
        if talks:
            await until(
                lambda: (
                    sum(s.sent_events("input_audio_buffer.speech_started") != [] for s in model.sessions) >= len(talks)
                ),
                "the callers to be heard",
            )
        before = len(model.sessions)
        await told_to_leave(first, tmp_path, command=calls > 2)
    [left], [ended] = at(first, "service.calls_left"), at(first, "service.stopped")
    async with run(model, "next", **ending) as following:
        heard = await asyncio.gather(*(h.wait_loud(ended, LIMIT_S) for _, h in [*listening, *speaking]))
        await until(lambda: len(at(following, "call.conversation_resumed")) == calls, "all calls to continue")
        assert {call.state for call, _ in lines} == {CallState.ANSWERED}
        # On a machine that is too busy to start a process at once callers do notice.
        unnoticed = max(float(found["since_record_s"]) for found in fields(following, "call.resumed")) < SHORT_S - 0.1
        for n in range(calls):
            pressed_key = f"[The caller pressed 1{n:02} on the keypad.]"
            [told] = [s.texts for s in model.sessions[before:] if pressed_key in s.texts]
            assert {"Good day.", f"You pressed 1{n:02}."} <= set(told)
            said = " ".join(told)
            assert "[system] " in said
            if n % 3 == 1:
                assert " This " in said
                assert "it is being told" not in said
            if unnoticed:
                assert MAKE_UP[n % 3] in said
                assert "sorry" not in said
                assert n % 3 > 0 or told[-1].startswith("[system] ")
        [ready], goes_on = at(following, "service.accepting_calls"), at(following, "call.conversation_resumed")
        print(
            f"\n{calls} of {calls} calls continued; longest silence of those who waited {max(heard) - left:.2f} s "
            f"({ended - left:.2f} s until the old process had ended, {ready - ended:.2f} s until the next took calls, "
            f"{max(heard) - ready:.2f} s after that); others were heard again after {max(goes_on) - left:.2f} s"
        )
        assert max(heard) - ready <= allowed_s(MOST_SILENCE_S, calls)
        await asyncio.gather(*talks)
        # The seats rested from the old process's last word to the new one's first, and queue_log has nothing of it.
        assert "seats.closed" in first.log
        assert "seats.opened" in following.log
        rows = queue_log.rows(queue="frontline")[rows_before:]
        assert [row for row in rows if row[3] not in ("ENTERQUEUE", "CONNECT", "COMPLETECALLER")] == []
        # They are calls as before: heard, answered, and ended as their callers wish. Who waited for nothing heard none.
        await asyncio.gather(*(hearing.wait_quiet(0.5) for _, hearing in lines))
        if unnoticed:
            assert [hearing.loud_ms(left) for _, hearing in resting] == [0.0] * len(resting)
        pressed = time.monotonic()
        await asyncio.gather(*(call.send_dtmf("5") for call, _ in lines))
        await asyncio.gather(*(hearing.wait_loud(pressed, LIMIT_S) for _, hearing in lines))
        await asyncio.gather(*(call.hangup() for call, _ in lines))
        await until(lambda: not store.live(), "the calls to end")
        assert "orphan_call.found" not in following.log
    unfinished = sorted(found["unfinished"] for found in fields(first, "call.left"))
    assert unfinished == sorted(("nothing", "words", "turn")[n % 3] for n in range(calls))
    assert " call.ended" not in first.log
    rows = store.past(None)
    assert [(row.visit, row.result, row.reason) for row in rows] == [(1, "done", "caller_hung_up")] * calls
    for row in rows:
        names = [event.name for event in store.events(row)]
        assert [names.count(f"call.{n}") for n in ("started", "left", "resumed", "ended")] == [1, 1, 1, 1]


@pytest.mark.chaos
async def test_who_hung_up_meanwhile_has_simply_hung_up(sandbox: Any, dial: Any, run: Any, tmp_path: Path) -> None:
    model = await sandbox()
    store = Store(tmp_path / "state")
    async with run(model, "first") as first:
        call, hearing = await dial("7000")
        await hearing.utterance()
        await until(lambda: any(row.answered for row in store.live()), "the record")
        await told_to_leave(first, tmp_path, command=True)
    await call.hangup()
    await call.ended(LIMIT_S)
    async with run(model, "next"):
        await until(lambda: all(row.ended for row in store.past(None)), "the end of the call")
    [row] = store.past(None)
    assert (row.result, row.reason) == ("done", "left_meanwhile")


@pytest.mark.chaos
@pytest.mark.parametrize("number", ["7000", "7001"])
async def test_when_no_process_comes_they_are_rescued(
    number: str, sandbox: Any, phone: Any, dial: Any, run: Any, tmp_path: Path, ends_with_people: Any
) -> None:
    model = await sandbox()
    human = await phone("1001", register=True)
    sections = {"http": {"port": free_tcp_port()}, "rescue": {"after_s": 1.5}}
    watching = [sys.executable, "-m", "ariagent", "rescue", "--watch", "-c", str(tmp_path / "first.yaml")]
    async with run(model, "first", **sections) as first, lab.process(watching, tmp_path / "rescue.log") as watch:
        await watch.wait_for("rescue.watching")
        call, hearing = await dial(number)
        await hearing.utterance()
        await told_to_leave(first, tmp_path, command=True)
        await watch.wait_for("rescue.moved")
        [left], [moved] = at(first, "service.calls_left"), at(watch, "rescue.moved")
        print(f"\n{number}: moved {moved - left:.2f} s after the service had ended, 1.5 s of it on purpose")
        await ends_with_people(call, human)
    async with run(model, "next", **sections) as following:
        assert "call.resumed" not in following.log


@pytest.mark.chaos
async def test_whatever_a_call_was_doing_it_goes_on_or_gets_there(
    bed: Any, sandbox: Any, phone: Any, dial: Any, run: Any, tmp_path: Path
) -> None:
    """Left while a transfer is announced, while a human agent is looked for, in a goodbye, and while a phone rings."""
    scenario = Path(__file__).parents[1] / "integration" / "scenarios" / "handoff.yaml"
    model = await sandbox(scenario=scenario)
    humans = {"queue": "support", "description": "human agents", "timeout_s": 60}
    destinations = {"humans": {**humans, "kind": "blind"}, "warm": {**humans, "kind": "warm"}}
    settings = {"agent": {"handoff": list(destinations)}, "destinations": destinations}
    human_agent = await phone("1001", register=True)
    async with run(model, "first", **settings) as first:
        phones = [await phone(f"555880{n}") for n in range(3)]
        announced, warm = lines = [await dial("7000", one) for one in phones[:2]]
        await asyncio.gather(*(hearing.utterance() for _, hearing in lines))
        await warm[0].send_dtmf("6")
        ringing = await human_agent.incoming(30)
        await announced[0].send_dtmf("1")
        await until(lambda: first.log.count(" tool.used ") == 2, "the model to ask for the transfer")
        assert "call.transferred" not in first.log
        late = await phones[2].dial("7001")
        before = len(model.sessions)
        await told_to_leave(first, tmp_path, command=True)
        assert "call.transferred" in first.log
    async with run(model, "next", **settings) as following:
        await ringing.ended(LIMIT_S)
        await until(lambda: "call.conversation_resumed" in following.log, "the call to continue")
        told = [text for session in model.sessions[before:] for text in session.texts]
        assert any("is no longer being called" in text for text in told)
        assert {call.state for call, _ in lines} == {CallState.ANSWERED}
        await late.answered(LIMIT_S)  # by the agent, or by human agents
        await asyncio.gather(*(call.hangup() for call, _ in lines), late.hangup())
        await until(lambda: following.log.count(" call.ended") >= 1, "the calls to end")
    assert "warm_transfer" in [found["unfinished"] for found in fields(first, "call.left")]

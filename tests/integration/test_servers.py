"""Calls with servers that speak the protocol otherwise than OpenAI's: the sandbox imitates them, and records what its
model knew when it made a response.

One call each; what is made of each deviation is in ``tests/realtime/test_dialect.py`` and
``tests/dialogue/test_faulty_servers.py``, in memory.
"""

import asyncio
import logging
import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from ariagent.check.model import check_model
from ariagent.sandbox.faults import Faults
from lab import waiting
from tests import forked

pytestmark = pytest.mark.asterisk

LIMIT_S = 60.0
MS_PER_LETTER = 65
"""Speaking time of a letter in the sandbox's voice ``tone``."""
SCENARIOS = Path(__file__).parent / "scenarios"
HANDOFF, FEATURES = SCENARIOS / "handoff.yaml", SCENARIOS / "features.yaml"

until = partial(waiting.until, limit_s=LIMIT_S)


class Talker:
    """A caller, and the session behind the call."""

    def __init__(self, call: Any, hearing: Any, session: Any, sound: Any) -> None:
        self.call = call
        self.hearing = hearing
        self.session = session
        self._sound = sound

    async def interrupts(self, after_s: float = 1.5, lasts_s: float = 0.9) -> None:
        """Ask for the long story, and speak while it is told."""
        asked_at = time.monotonic()
        await self.call.send_dtmf("8")
        await self.hearing.wait_loud(asked_at)
        await asyncio.sleep(after_s)  # it has to be in the middle of what it says
        await self.call.play(self._sound.tone(lasts_s))

    async def speaks(self) -> None:
        """One turn, answered."""
        await self.hearing.wait_quiet(0.4)
        await self.call.play(self._sound.tone(0.5))
        await self.hearing.utterance(self.hearing.spoke_until())

    async def knew(self, number: int) -> list[dict[str, Any]]:
        """The items behind the ``number``-th response of the conversation."""
        await self.session.wait_sent("response.created", LIMIT_S, count=number)
        response = self.session.sent_events("response.created")[number - 1]["response"]["id"]
        await self.session.wait_until(
            lambda: any(made["response"] == response for made in self.session.conversations), LIMIT_S, "conversation"
        )
        items: list[dict[str, Any]] = self.session.conversation_of(response)["items"]
        return items


@pytest.fixture(autouse=True)
def quiet_model_server() -> Iterator[None]:
    """The check first connects without a word, which the sandbox's WebSocket library takes for an error."""
    logger = logging.getLogger("websockets.server")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(level)


@pytest.fixture
def talker(dial: Any, sound: Any) -> Any:
    """``await talker(model, "7001")``: a call whose opening is over."""

    async def make(model: Any, number: str, session: int = 1, **phone: Any) -> Talker:
        call, hearing = await dial(number, **phone)
        await hearing.utterance()
        return Talker(call, hearing, await model.wait_session(session, timeout=LIMIT_S), sound)

    return make


def said(items: list[dict[str, Any]], role: str = "assistant") -> list[str]:
    return [item["text"] for item in items if item.get("role") == role]


def only_heard(items: list[dict[str, Any]], heard_ms: float) -> None:
    """The story is there as far as it was heard, within a word or two, and before what the caller said to it."""
    assert items[0]["text"] == "Good day."
    assert items[2]["text"].startswith("This is"), items
    assert items[3]["role"] == "user", items
    [story] = [text.removesuffix(" ...") for text in said(items) if text.startswith("This is")]
    assert abs(len(story) - heard_ms / MS_PER_LETTER) <= 12, (story, heard_ms)


def faulty(faults: str) -> dict[str, Any]:
    return {"faults": Faults.parse(faults)}


# -- what was heard of an interrupted reply ----------------------------------------------------------------------------


async def test_a_good_server_knows_only_what_was_heard(sandbox: Any, service: Any, talker: Any, log: Any) -> None:
    model = await sandbox(generation_speed=0)
    await service(model)
    caller = await talker(model, "7001")
    await caller.interrupts()
    interrupted = await log.wait("turn.interrupted")
    only_heard(await caller.knew(2), interrupted["heard_ms"])
    await caller.speaks()
    only_heard(await caller.knew(3), interrupted["heard_ms"])
    await caller.call.hangup()
    await log.wait("call.ended")
    assert log.named("model.dialect_found") == []
    assert caller.session.received_events("conversation.item.delete") == []


@pytest.mark.parametrize(("number", "speed"), [("7000", 1.5)])
async def test_a_server_that_cannot_truncate_is_found_out_and_told_what_was_heard(
    number: str, speed: float, sandbox: Any, service: Any, talker: Any, log: Any
) -> None:
    model = await sandbox(generation_speed=speed, **faulty("no_truncated"))
    await service(model)
    caller = await talker(model, number)
    await caller.interrupts()
    interrupted = await log.wait("turn.interrupted")
    found = await log.wait("model.dialect_found")
    assert (found["switch"], found["seen"]) == ("truncates", "a truncation was not answered")
    [asked_at] = caller.session.received_times("conversation.item.truncate")
    deleted = await caller.session.wait_event("conversation.item.delete")
    assert deleted["item_id"] == interrupted["item"]
    assert 0.9 < found.at - asked_at < 3
    await caller.speaks()
    only_heard(await caller.knew(3), interrupted["heard_ms"])
    await caller.call.hangup()
    await log.wait("call.ended")

    # From now on every call makes up for it at once: the answer to the interruption itself is made from what was heard.
    again = await talker(model, number, session=2)
    await again.interrupts(after_s=0.8)
    interrupted = await log.wait("turn.interrupted", count=2)
    only_heard(await again.knew(2), interrupted["heard_ms"])
    await again.speaks()
    only_heard(await again.knew(3), interrupted["heard_ms"])
    await again.call.hangup()
    await log.wait("call.ended", count=2)
    assert again.session.received_events("conversation.item.truncate") == []
    assert len(log.named("model.dialect_found")) == 1


@pytest.mark.parametrize(("number", "how"), [("7001", "stalls")])
async def test_a_slow_network_is_not_taken_for_a_server_that_cannot_truncate(
    number: str, how: str, sandbox: Any, service: Any, talker: Any, log: Any, proxy: Any
) -> None:
    model, between = await sandbox(generation_speed=0), await proxy()
    between.target = ("127.0.0.1", model.port)
    await service(f"ws://{between.address}/v1/realtime")
    model.count_anew()
    caller = await talker(model, number)
    if how == "far away":
        between.delay_s = 0.4
    await caller.interrupts()
    interrupted = await log.wait("turn.interrupted")
    if how == "stalls":
        between.hang()
        await asyncio.sleep(1.5)  # longer than an answer is waited for
        between.go_on()
    await caller.session.wait_sent("conversation.item.truncated", LIMIT_S)
    await caller.speaks()
    await log.wait("turn.answered")
    only_heard(await caller.knew(3), interrupted["heard_ms"])
    await caller.call.hangup()
    await log.wait("call.ended")
    assert log.named("model.dialect_found") == []
    assert caller.session.received_events("conversation.item.delete") == []


# -- one response at a time --------------------------------------------------------------------------------------------

BRIEFED = {"queue": "support", "description": "the service desk", "timeout_s": 20, "kind": "briefed"}
TRANSFERS = {"agent": {"handoff": ["desk"], "transcription": None}, "destinations": {"desk": BRIEFED}}


async def command(running: Any, directory: Path, *words: str) -> tuple[int, str]:
    """Exit code and output of ``ariagent WORDS``."""
    settings = directory / "commands.yaml"
    settings.write_text(yaml.safe_dump({"state_directory": str(running.settings.state_directory)}))
    code, out, err = await forked.ariagent(*words, "-c", str(settings), environment=dict(os.environ), limit_s=60)
    return code, out + err


@pytest.mark.parametrize(("number", "speed"), [("7000", 1), pytest.param("7001", 1.5, marks=pytest.mark.long)])
async def test_a_supervisor_transfers_while_an_answer_is_generated_and_the_human_is_told(
    number: str,
    speed: float,
    sandbox: Any,
    service: Any,
    talker: Any,
    phone: Any,
    log: Any,
    ear: Any,
    tmp_path: Path,
) -> None:
    """The summary is refused beside the answer, and asked for again; nothing of it is silent."""
    model = await sandbox(generation_speed=speed, **faulty("no_parallel"))
    running = await service(model, **TRANSFERS)
    human = await phone("1001", register=True)
    caller = await talker(model, number)
    asked_at = time.monotonic()
    await caller.call.send_dtmf("8")
    await caller.hearing.wait_loud(asked_at)
    started = await log.wait("call.started")
    moving = asyncio.create_task(
        command(running, tmp_path, "transfer", started["call"], "--to", "desk", "--summary", "It is about order 4711.")
    )
    answering = await human.incoming(LIMIT_S)
    handed = await log.wait("call.transferred", kind="briefed", by="local")
    code, out = await moving
    assert code == 0, out
    # It is spoken once nothing else is, also when the caller is on the way already.
    announcements = running.settings.state_directory / "announcements"
    await until(lambda: any(path.stat().st_size > 10_000 for path in announcements.glob("*.sln24")), what="the summary")
    assert handed["announcement"] in ("yes", "late")
    await answering.answer()
    await ear(answering).utterance()  # the caller says nothing: it is the summary
    await log.wait("call.ended", result="transferred")
    await caller.call.hangup()
    await answering.ended(LIMIT_S)
    assert answering.invite.headers.get("x-ariagent-summary") == "It is about order 4711."
    assert [found["switch"] for found in log.named("model.dialect_found")] == ["parallel"]
    refused = [event["error"]["type"] for event in caller.session.sent_events("error")]
    assert refused == ["conversation_already_has_active_response"]
    assert [done["response"]["status"] for done in caller.session.sent_events("response.done")] == ["completed"] * 2
    assert log.named("announcement.not_spoken") == log.named("announcement.failed") == []


async def test_a_summary_that_did_not_get_its_turn_before_a_warm_transfer_is_told(
    sandbox: Any,
    service: Any,
    talker: Any,
    phone: Any,
    log: Any,
    ear: Any,
    sound: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The agent's words are generated so slowly that they are not over when somebody answers."""
    monkeypatch.setattr("ariagent.call.warm_transfer.ANNOUNCEMENT_WAIT_S", 1.0)
    model = await sandbox(scenario=HANDOFF, generation_speed=0.6, **faulty("no_parallel"))
    warm = {**BRIEFED, "kind": "warm"}
    await service(model, agent={"handoff": ["warm"], "transcription": None}, destinations={"warm": warm})
    human = await phone("1001", register=True)
    caller = await talker(model, "7001")
    await caller.call.send_dtmf("6")
    incoming = await human.incoming(LIMIT_S)
    await incoming.answer()
    asked = ear(incoming)
    missing = await log.wait("announcement.not_spoken")
    assert missing["cause"] == "the model did not speak it in time"
    # Without it nobody knows whether a person has answered: Asterisk asks for a key.
    await asked.wait_loud()
    await incoming.send_dtmf("1")
    await log.wait("call.transferred", timeout=60, kind="warm")
    await log.wait("call.ended")
    await asked.wait_quiet(1.0)
    spoke = time.monotonic()
    await caller.call.play(sound.tone(0.5))
    await asked.wait_loud(spoke)
    await caller.call.hangup()
    await incoming.ended(LIMIT_S)


# -- as many sessions as the server has --------------------------------------------------------------------------------


def told(results: list[Any]) -> dict[str, tuple[str, str]]:
    return {result.name: (result.status.value, f"{result.found}; {result.remedy}") for result in results}


async def checked(running: Any) -> dict[str, tuple[str, str]]:
    """The lines of ``ariagent check`` about the model."""
    results: list[Any] = []
    await check_model(running.settings, results.append)
    return told(results)


def paused(running: Any) -> list[str]:
    return [seat.reason for seat in running.pool.seats.view() if seat.paused]


async def test_one_more_call_than_the_server_has_sessions_goes_to_the_human_queue(
    sandbox: Any, service: Any, talker: Any, dial: Any, phone: Any, log: Any, ends_with_people: Any
) -> None:
    model = await sandbox(**faulty("slots:1"))
    running = await service(model)
    human = await phone("1001", register=True)
    first = await talker(model, "7000")
    status, found = (await checked(running))["agent default"]
    assert status == "warning"
    assert "session_limit_reached" in found
    assert "Lower max_calls to the number of sessions that the server takes" in found
    began = time.monotonic()
    second = await (await phone("5551001")).dial("7000")
    await ends_with_people(second, human)
    ended = await log.wait("call.ended", result="no_model")
    assert ended.at - began < 5
    await log.wait("model.full")
    assert (paused(running), running.device_state.open) == ([], True)
    assert log.named("model.unusable") == []
    await first.speaks()
    await first.call.hangup()
    await log.wait("call.ended", result="done", reason="caller_hung_up")
    third, hearing = await dial("7000")
    await hearing.utterance()
    await third.hangup()
    await log.wait("call.ended", count=2, result="done", reason="caller_hung_up")


async def test_a_call_gets_its_session_back_although_the_server_still_holds_the_lost_one(
    sandbox: Any, service: Any, talker: Any, log: Any, proxy: Any
) -> None:
    model, between = await sandbox(**faulty("slots:1")), await proxy()
    between.target = ("127.0.0.1", model.port)
    running = await service(f"ws://{between.address}/v1/realtime")
    model.count_anew()
    caller = await talker(model, "7001")
    between.freeze()  # what ends on the near side is not told to the server
    call = running.calls.find((await log.wait("call.started"))["call"])
    call._model.client._connection.transport.abort()
    await log.wait("model.lost")
    await asyncio.sleep(1.5)  # refused meanwhile
    assert log.named("call.ended") == []
    between.cut()
    renewed = await log.wait("model.reconnected")
    assert 1400 < renewed["lost_ms"] < 1000 * running.settings.realtime.recover_s
    caller.session = model.sessions[-1]
    await caller.speaks()
    assert (paused(running), running.device_state.open) == ([], True)
    await caller.call.hangup()
    await log.wait("call.ended", result="done", reason="caller_hung_up")


# -- G.711 that is none ------------------------------------------------------------------------------------------------


async def test_g711_that_is_none_is_never_heard_and_never_kept(
    sandbox: Any, service: Any, dial: Any, phone: Any, log: Any, bed: Any, tmp_path: Path, ends_with_people: Any
) -> None:
    model, state = await sandbox(**faulty("g711_lies")), tmp_path / "kept"
    running = await service(model, usable=False, settle=False, realtime={"encoding": "pcmu"}, state_directory=state)
    cause = (await log.wait("model.unusable"))["cause"]
    assert "acknowledged audio/pcmu and does not speak it" in cause
    assert "Set realtime.encoding to pcm" in cause
    status, found = (await checked(running))["model encoding"]
    assert (status, "acknowledged audio/pcmu and does not speak it" in found) == ("failed", True)
    human = await phone("1001", register=True)
    for number in ("7001", "7000"):
        await ends_with_people(await (await phone()).dial(number), human)
    assert log.named("call.answered") == []
    await bed._end(running, bed.services[0][1])

    running = await service(model, state_directory=state)
    for number in ("7001", "7000"):
        call, hearing = await dial(number)
        first, last = await hearing.utterance()
        assert hearing.loud_ms(first, last) == pytest.approx(MS_PER_LETTER * len("Good day."), abs=60)
        await call.hangup()
    await log.wait("call.ended", count=2, result="done")


# -- notes, names and frames -------------------------------------------------------------------------------------------


async def test_two_whispers_in_a_row_are_both_known(sandbox: Any, service: Any, talker: Any, log: Any) -> None:
    """The server knows the last system item only; in its dialect notes are none."""
    model = await sandbox(**faulty("one_system"))
    running = await service(model, realtime={"dialect": "speech-to-speech"})
    caller = await talker(model, "7001")
    call = (await log.wait("call.started"))["call"]
    for words in ("She is a good customer.", "Offer her a free inspection."):
        running.calls.find(call).whisper(words, "anna")
    await caller.speaks()
    items = await caller.knew(1)
    assert said(items, "system") == []
    notes = "".join(said(items, "user"))
    assert "She is a good customer." in notes
    assert "Offer her a free inspection." in notes
    await caller.call.hangup()
    await log.wait("call.ended")


@pytest.mark.parametrize(
    ("number", "fault"),
    [
        ("7000", "beta_items"),
        ("7001", "binary_frames"),
        pytest.param("7000", "no_rate", marks=pytest.mark.long),
        pytest.param("7001", "code_in_type", marks=pytest.mark.long),
    ],
)
async def test_a_whole_call_with_other_names_and_frames(
    number: str, fault: str, sandbox: Any, service: Any, talker: Any, phone: Any, log: Any, ends_with_people: Any
) -> None:
    model = await sandbox(scenario=HANDOFF, **faulty(fault))
    humans = {"queue": "support", "description": "the service desk", "timeout_s": 20, "kind": "blind"}
    running = await service(model, agent={"handoff": ["humans"], "transcription": {}}, destinations={"humans": humans})
    found = await checked(running)
    assert {status for status, _ in found.values()} == {"ok"}, found
    model.count_anew()
    human = await phone("1001", register=True)
    caller = await talker(model, number)
    await caller.speaks()
    assert (await log.wait("turn.answered"))["response_ms"] > 0
    await caller.hearing.wait_quiet(0.4)
    await caller.call.send_dtmf("1")
    await ends_with_people(caller.call, human)
    await log.wait("call.ended", result="transferred")
    assert log.named("model.dialect_found") == log.named("model.lost") == []
    assert [entry["said"] for entry in log.named("turn.agent")] == [
        "Good day.",
        "What else can I do for you?",
        "One moment.",
    ]


# -- what the next version copes with ----------------------------------------------------------------------------------


async def test_a_turn_whose_end_is_told_late_is_answered(sandbox: Any, service: Any, talker: Any, log: Any) -> None:
    model = await sandbox(generation_speed=1.5, **faulty("hold_stop"))
    await service(model)
    caller = await talker(model, "7001")
    await caller.speaks()
    await log.wait("turn.answered")
    await caller.interrupts()
    await caller.hearing.utterance(caller.hearing.spoke_until())
    await caller.speaks()
    await caller.call.hangup()
    await log.wait("call.ended", result="done", reason="caller_hung_up")


async def test_a_caller_who_speaks_while_a_tool_runs_is_not_lost(
    sandbox: Any,
    service: Any,
    talker: Any,
    site: Any,
    outbound: Any,
    sound: Any,
    log: Any,
) -> None:
    """The server makes no response while a tool's result is missing: it is told that the tool still runs."""
    site.says("/orders/4711", {"status": "on its way"}, after_s=3.0)
    order = {
        "description": "Says where an order is.",
        "url": f"{site.url}/orders/{{number}}",
        "parameters": {"type": "object", "properties": {"number": {"type": "string"}}, "required": ["number"]},
        "timeout_s": 10,
    }
    model = await sandbox(scenario=FEATURES, **faulty("pending_calls"))
    await service(model, agent={"tools": ["order"]}, tools={"order": order}, outbound=outbound)
    caller = await talker(model, "7000")
    await caller.call.send_dtmf("1")
    await until(lambda: site.asked, what="the tool to be called")
    await caller.call.play(sound.tone(0.9))
    await log.wait("turn.answered")
    await caller.call.hangup()
    assert await log.wait("call.ended", result="done", reason="caller_hung_up")
    assert log.named("model.refused")

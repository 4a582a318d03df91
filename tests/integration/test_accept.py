"""A human agent takes the call by a key, so that what answers and is no person never gets the caller."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.dialplansteps import replaced

pytestmark = pytest.mark.asterisk

LIMIT_S = 60.0
SCENARIO = Path(__file__).parent / "scenarios" / "handoff.yaml"
DESK: dict[str, Any] = {"queue": "support", "description": "the service desk", "timeout_s": 40, "accept": "1"}
BOSS: dict[str, Any] = {**DESK, "queue": None, "extension": "1002"}
ECHO: dict[str, Any] = {**BOSS, "extension": "600"}
AGENT = {"transcription": None, "speed": 1.5}
"""It speaks fast: the sandbox reads out how the key is to be told, too."""
DIRECT_FIRST = pytest.mark.parametrize("number", ["7001", pytest.param("7000", marks=pytest.mark.long)])
ONCE_OR_AS_ON_A_SITE = pytest.mark.parametrize(
    ("number", "times"),
    [("7001", 1), *(pytest.param(number, 3, marks=pytest.mark.long) for number in ("7000", "7001"))],
    indirect=["times"],
)
"""How often the key is asked for; see ``times``."""


def briefed(place: dict[str, Any]) -> dict[str, Any]:
    return {"destinations": {"briefed": place}, "agent": {**AGENT, "handoff": ["briefed"]}}


def warm(place: dict[str, Any]) -> dict[str, Any]:
    return {"destinations": {"warm": {**place, "kind": "warm"}}, "agent": {**AGENT, "handoff": ["warm"]}}


async def told(session: Any, words: str) -> None:
    """The model was told this."""
    async with asyncio.timeout(LIMIT_S):
        while not any(words in part.get("text", "") for item in session.items for part in item.get("content", [])):
            await asyncio.sleep(0.02)


async def talk(sound: Any, *pairs: tuple[Any, Any]) -> None:
    """Each of the first hears each of the second."""
    for speaker, listener in pairs:
        await listener.wait_quiet(0.3)
        spoke = time.monotonic()
        await speaker.play(sound.tone(0.5, hz=700.0))
        await listener.wait_loud(spoke)


async def answers(incoming: Any, ear: Any) -> Any:
    """A human agent answers, and hears the summary, or "press one". Returns their ear."""
    await incoming.answer()
    hearing, since = ear(incoming), time.monotonic()
    await hearing.wait_loud(since)
    return hearing


@pytest.fixture
async def times(request: pytest.FixtureRequest, asterisk: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    """How often the key is asked for, each time for a second. Three times, for about 4 s each, is what a site has."""
    made: int = getattr(request, "param", 1)
    if made == 3:
        yield made
        return
    monkeypatch.setattr("ariagent.call.warm_transfer.ACCEPT_ASKS", made)
    monkeypatch.setattr("ariagent.call.warm_transfer.ACCEPT_WAIT_S", 1.0)
    async with (
        replaced(asterisk, "answered@ariagent-accept", "Set(ARIAGENT_ASKS=3)", f"Set(ARIAGENT_ASKS={made})"),
        replaced(asterisk, "ask@ariagent-accept-key", "WaitExten(3)", "WaitExten(1)"),
    ):
        yield made


@pytest.fixture
async def asks(sandbox: Any, service: Any, dial: Any, bed: Any) -> AsyncIterator[Any]:
    """``await asks("7001", briefed(DESK))``: a caller has asked the agent for somebody; returns the model, the call and
    its ear. After the test nothing is left, while the service runs."""

    async def make(number: str, settings: dict[str, Any], **model_options: Any) -> tuple[Any, Any, Any]:
        model = await sandbox(scenario=SCENARIO, **model_options)
        await service(model, **settings)
        call, hearing = await dial(number)
        await hearing.utterance()
        await call.send_dtmf("5" if "briefed" in settings["destinations"] else "6")
        return model, call, hearing

    yield make
    await bed.nothing_left()


@pytest.mark.parametrize(
    ("number", "times"), [("7000", 2), pytest.param("7001", 3, marks=pytest.mark.long)], indirect=["times"]
)
async def test_who_does_not_press_the_key_is_hung_up_and_the_caller_waits_in_the_queue_for_the_next_one(
    number: str, times: int, asks: Any, phone: Any, log: Any, ear: Any, sound: Any
) -> None:
    human = await phone("1001", register=True)
    _, call, hearing = await asks(number, briefed(DESK))
    incoming = await human.incoming(LIMIT_S)
    await log.wait("call.transferred", kind="briefed")
    await incoming.answer()
    await incoming.send_dtmf("2")  # is not the key
    answered = time.monotonic()
    await incoming.ended(LIMIT_S)
    assert hearing.loud_ms(answered) > 500, "the caller heard no music"
    # The queue has one human agent: it rings them again.
    again = await human.incoming(LIMIT_S)
    human_ear = await answers(again, ear)
    await again.send_dtmf("1")
    await talk(sound, (call, human_ear), (again, hearing))
    assert len(log.named("call.started")) == 1, "the caller was with the AI in between"
    await again.hangup()
    await call.ended(LIMIT_S)


async def test_a_queue_where_nobody_presses_the_key_gives_the_caller_back_when_the_time_is_over(
    times: int, asks: Any, phone: Any, log: Any
) -> None:
    human = await phone("1001", register=True)
    model, call, hearing = await asks("7000", briefed({**DESK, "timeout_s": 2}))
    await (await human.incoming(LIMIT_S)).answer()
    await told(await model.wait_session(2, timeout=LIMIT_S), "the human agent who answered did not take the call")
    back = await log.wait("call.answered", count=2)
    await hearing.wait_loud(back.at)
    await call.hangup()


@ONCE_OR_AS_ON_A_SITE
async def test_a_machine_at_an_extension_does_not_get_the_caller(number: str, times: int, asks: Any, log: Any) -> None:
    model, call, hearing = await asks(number, briefed(ECHO))
    await told(await model.wait_session(2, timeout=LIMIT_S), "the human agent who answered did not take the call")
    back = await log.wait("call.answered", count=2)
    await hearing.wait_loud(back.at)
    await call.hangup()


@pytest.mark.parametrize("key", ["#", pytest.param("1", marks=pytest.mark.long)])
async def test_the_key_takes_the_caller_at_an_extension(
    key: str, asks: Any, phone: Any, log: Any, ear: Any, sound: Any
) -> None:
    boss = await phone("1002", register=True)
    _, call, hearing = await asks("7001", briefed({**BOSS, "accept": key}))
    incoming = await boss.incoming(LIMIT_S)
    human_ear = await answers(incoming, ear)
    await incoming.send_dtmf(key)
    await talk(sound, (call, human_ear), (incoming, hearing))
    await call.hangup()
    await incoming.ended(LIMIT_S)


async def test_one_who_hangs_up_instead_sends_the_caller_back(asks: Any, phone: Any, log: Any, ear: Any) -> None:
    boss = await phone("1002", register=True)
    model, call, _ = await asks("7000", briefed(BOSS))
    incoming = await boss.incoming(LIMIT_S)
    await answers(incoming, ear)
    await incoming.hangup()
    await told(await model.wait_session(2, timeout=LIMIT_S), "hung up again")
    await call.hangup()


@pytest.mark.parametrize("place", [DESK, BOSS], ids=["queue", "extension"])
async def test_a_caller_who_hangs_up_meanwhile_leaves_nothing(
    place: dict[str, Any], times: int, asks: Any, phone: Any, log: Any, ear: Any
) -> None:
    human = await phone("1001" if place is DESK else "1002", register=True)
    _, call, _ = await asks("7000", briefed(place))
    incoming = await human.incoming(LIMIT_S)
    await answers(incoming, ear)
    await call.hangup()
    await incoming.ended(LIMIT_S)
    assert len(log.named("call.started")) == 1


# -- warm: the caller talks on with the agent ----------------------------------------------------------------------


@ONCE_OR_AS_ON_A_SITE
async def test_echo_answers_a_warm_transfer_and_the_caller_stays_with_the_agent(
    number: str, times: int, asks: Any, log: Any
) -> None:
    model, call, hearing = await asks(number, warm(ECHO))
    dropped = await log.wait("consult.dropped", timeout=LIMIT_S)
    assert dropped["why"] == "NOTACCEPTED"
    await told(await model.wait_session(1), "the human agent who answered did not take the call")
    await hearing.wait_loud(dropped.at)
    assert log.named("consult.audio_unavailable") == []
    await call.hangup()
    await log.wait("call.ended", result="done")


@pytest.mark.parametrize("accept", ["1", None])
async def test_a_beep_is_an_answering_machine(
    accept: str | None, asks: Any, phone: Any, log: Any, ear: Any, sound: Any
) -> None:
    machine = await phone("1002", register=True)
    settings = warm({**BOSS, "accept": accept})
    if accept is None:
        settings["agent"]["speed"] = 0.25  # the beep comes before the agent has said what it is about
    model, call, hearing = await asks("7000", settings, voice="rms")
    incoming = await machine.incoming(LIMIT_S)
    await answers(incoming, ear)  # somebody listens by now
    await incoming.play(np.concatenate([sound.tone(0.4, hz=1000.0, peak=4000), np.zeros(4000, np.int16)]))
    heard = await log.wait("consult.machine_answered", timeout=LIMIT_S)
    assert heard["machine"] == "voicemail"
    await incoming.ended(LIMIT_S)
    await told(await model.wait_session(1), "a machine answered")
    await hearing.wait_loud(heard.at)
    await call.hangup()
    await log.wait("call.ended", result="done")


@DIRECT_FIRST
async def test_a_human_agent_takes_a_warm_transfer_by_the_key(
    number: str, asks: Any, phone: Any, log: Any, ear: Any, sound: Any
) -> None:
    human = await phone("1001", register=True)
    model, call, hearing = await asks(number, warm(DESK))
    incoming = await human.incoming(LIMIT_S)
    human_ear = await answers(incoming, ear)
    await human_ear.wait_quiet(0.5)
    assert log.named("call.transferred") == []
    await incoming.send_dtmf("1")
    await log.wait("call.transferred", kind="warm", timeout=LIMIT_S)
    await told(await model.wait_session(1), "A human agent has answered")
    await log.wait("call.ended", result="transferred")
    await talk(sound, (call, human_ear), (incoming, hearing))
    assert log.named("consult.audio_unavailable") == []
    await incoming.hangup()
    await call.ended(LIMIT_S)

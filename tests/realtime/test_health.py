"""Calls' reports of the model: the endpoint that is asked then, at literal times, and the trials of the model."""

import asyncio

from pydantic import SecretStr

from ariagent.config import RealtimeSettings
from ariagent.config.peers import FallbackSettings
from ariagent.realtime.health import AVOIDED_S, ModelHealth

LIMIT_S = 20.0
FALLBACK = FallbackSettings(url="wss://other/v1", api_key=SecretStr("k2"))
BOTH = RealtimeSettings(url="wss://one/v1", api_key=SecretStr("k1"), model="m", ping_interval_s=2.0, fallback=FALLBACK)


def test_the_other_endpoint_is_as_the_first_but_for_where_it_is() -> None:
    one, other = BOTH.endpoints
    assert (other.url, other.api_key, other.model) == ("wss://other/v1", SecretStr("k2"), "m")
    assert other.ping_interval_s == one.ping_interval_s
    assert other.endpoints == (other,)
    assert RealtimeSettings().endpoints == (RealtimeSettings(),)


def test_the_first_one_unless_it_failed_a_moment_ago() -> None:
    health = ModelHealth(BOTH)
    assert health.choose(10.0) == 0
    health.session_failed(0, 10.0)
    assert health.choose(10.0) == 1
    assert health.choose(10.0 + AVOIDED_S) == 0
    health.session_failed(0, 20.0)
    health.session_made(0)
    assert health.choose(20.0) == 0


def test_when_both_failed_the_first_is_as_good_as_the_other() -> None:
    health = ModelHealth(BOTH)
    health.session_failed(0, 10.0)
    health.session_failed(1, 10.0)
    assert health.choose(10.0) == 0
    assert health.choose(10.0, {0}) == 1
    assert health.untried({0})
    assert not health.untried({0, 1})


def test_one_alone_is_always_asked() -> None:
    health = ModelHealth(RealtimeSettings(url="wss://one/v1"))
    health.session_failed(0, 10.0)
    assert health.choose(10.0, {0}) == 0
    assert not health.untried({0})


def test_an_endpoint_serves_while_any_call_has_a_session_there() -> None:
    health = ModelHealth(BOTH)
    health.session_made(1)
    health.session_made(1)
    health.session_ended(1)
    assert (health.serves(0), health.serves(1)) == (False, True)
    health.session_ended(1)
    assert not health.serves(1)


async def test_silence_in_a_call_asks_for_a_trial_with_speech() -> None:
    told: list[str] = []
    health = ModelHealth(BOTH, told.append)
    trials: asyncio.Queue[bool] = asyncio.Queue()

    async def trial() -> str:
        trials.put_nowait(health.must_speak)
        return "it says nothing" if health.must_speak else ""

    running = asyncio.create_task(health.run(trial))
    try:
        assert await asyncio.wait_for(trials.get(), LIMIT_S) is False
        health.session_made(0)
        health.fell_silent()
        health.session_made(1)
        assert await asyncio.wait_for(trials.get(), LIMIT_S) is True
        assert told == ["", "it says nothing"]
        assert health.open
    finally:
        running.cancel()
        await asyncio.wait([running])


async def test_a_refused_agent_whose_call_has_a_session_is_refused_no_more_and_the_others_are_tried() -> None:
    health = ModelHealth(BOTH)
    trials: asyncio.Queue[tuple[str, ...]] = asyncio.Queue()

    async def trial() -> str:
        trials.put_nowait(tuple(health.refused))
        return ""

    running = asyncio.create_task(health.run(trial))
    try:
        assert await asyncio.wait_for(trials.get(), LIMIT_S) == ()
        health.refused |= {"one": "no such voice", "two": "no such voice"}
        health.accepts("three")
        health.accepts("one")
        assert await asyncio.wait_for(trials.get(), LIMIT_S) == ("two",)
        assert trials.empty()
    finally:
        running.cancel()
        await asyncio.wait([running])

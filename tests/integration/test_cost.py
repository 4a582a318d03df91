"""The use and the cost of calls: in the metrics, in the records, and against the daily cap."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from ariagent.config import PriceSettings
from ariagent.realtime.events import Usage
from ariagent.records import cost
from ariagent.records.store import Store

pytestmark = pytest.mark.asterisk

LIMIT_S = 60.0
SCENARIO = Path(__file__).parent / "scenarios" / "features.yaml"
PRICE = PriceSettings(input_text=4, cached_text=0.5, output_text=24, input_audio=32, cached_audio=0.25, output_audio=64)
PRICES = {"gpt-realtime-2.1": PRICE.model_dump(), "gpt-realtime-2.1-mini": PRICE.model_dump()}


def used(session: Any) -> Usage:
    """The use that the sandbox reports for this session's responses."""
    total = Usage()
    for done in session.sent_events("response.done"):
        usage = done["response"]["usage"]
        if usage is None:
            continue
        given, cached = usage["input_token_details"], usage["input_token_details"]["cached_tokens_details"]
        made = usage["output_token_details"]
        total += Usage(
            given["text_tokens"],
            given["audio_tokens"],
            cached["text_tokens"],
            cached["audio_tokens"],
            made["text_tokens"],
            made["audio_tokens"],
        )
    return total


def metric(running: Any, name: str, **labels: str) -> float:
    return float(running.metrics.registry.get_sample_value(name, labels) or 0)


async def test_tokens_and_money_of_calls_are_counted_by_call_and_agent(
    sandbox: Any, service: Any, dial: Any, log: Any
) -> None:
    """Two calls of two agents; one response is cut off, and costs too."""
    model = await sandbox(scenario=SCENARIO, generation_speed=1.5)
    quick = {"opening": None, "transcription": None, "machines": "ignore", "keypad": {"pause_ms": 150}}
    running = await service(
        model,
        agents={"default": quick, "small": {**quick, "model": "gpt-realtime-2.1-mini"}},
        routes=[{"agent": "small", "extension": "7001"}],
        cost={"prices": PRICES, "currency": "EUR"},
        realtime={"model": "gpt-realtime-2.1"},
    )
    for count, number in enumerate(("7000", "7001"), start=1):
        call, hearing = await dial(number)
        await call.send_dtmf("8")
        await hearing.wait_loud()
        await call.send_dtmf("*")
        await log.wait("turn.interrupted", count=count)
        session = await model.wait_session(count)
        await session.wait_sent("response.done", LIMIT_S, count=2)
        await call.send_dtmf("9")
        await call.ended(LIMIT_S)
        await log.wait("call.ended", count=count, reason="agent_ended")

    totals = [used(await model.wait_session(number)) for number in (1, 2)]
    assert all(getattr(total, kind) > 0 for total in totals for kind in ("input_text", "output_text", "output_audio"))
    store = Store(running.settings.state_directory)
    async with asyncio.timeout(LIMIT_S):
        while len(calls := await asyncio.to_thread(store.past, None)) < 2:
            await asyncio.sleep(0.05)
    for agent, name, total in zip(("default", "small"), PRICES, totals, strict=True):
        money = cost.money(total, PRICE)
        assert money > 0
        [call] = [call for call in calls if call.agent == agent]
        [use] = store.use(call)
        assert (use.model, use.usage) == (name, total)
        assert use.cost == pytest.approx(money)
        assert call.cost == pytest.approx(money)
        assert metric(running, "ariagent_cost_total", agent=agent) == pytest.approx(money)
    for kind in cost.KINDS:
        wanted = sum(getattr(total, kind) for total in totals)
        assert metric(running, "ariagent_realtime_tokens_total", kind=kind) == wanted
    assert set(store.use_by("agent")) == {"default", "small"}


async def test_transcription_is_billed_by_the_minute_of_speech(
    sandbox: Any, service: Any, dial: Any, sound: Any, log: Any
) -> None:
    model = await sandbox(scenario=SCENARIO)
    price = PRICE.model_copy(update={"transcription_minute": 60.0})  # one a second
    running = await service(
        model,
        agent={"opening": None, "transcription": {}},
        cost={"prices": {"gpt-realtime-2.1": price.model_dump()}},
        realtime={"model": "gpt-realtime-2.1"},
    )
    call, hearing = await dial("7001")
    await call.play(sound.tone(1.0))
    await hearing.utterance(hearing.spoke_until())
    await call.hangup()
    await log.wait("call.ended")
    session = await model.wait_session(1)
    seconds = metric(running, "ariagent_cost_total", agent="default") - cost.money(used(session), price)
    # The tone, the padding before it and the silence that ended the turn.
    assert 1.0 <= seconds < 1.6


async def test_the_sandboxs_calls_cost_nothing(sandbox: Any, service: Any, dial: Any, sound: Any, log: Any) -> None:
    """Its tokens are counted, under its own name; transcription by the minute is free, too."""
    model = await sandbox(scenario=SCENARIO, billed=False)
    running = await service(model, agent={"transcription": {}}, realtime={"model": "gpt-realtime-2.1"})
    call, hearing = await dial("7001")
    await hearing.utterance()
    await call.play(sound.tone(1.0))
    await hearing.utterance(hearing.spoke_until())
    await call.hangup()
    await log.wait("call.ended")
    store = Store(running.settings.state_directory)
    async with asyncio.timeout(LIMIT_S):
        while not (calls := await asyncio.to_thread(store.past, None)):
            await asyncio.sleep(0.05)
    [use] = store.use(calls[0])
    assert (use.model, use.cost, calls[0].cost) == ("(sandbox)", 0.0, 0.0)
    assert use.usage.output_audio > 0
    assert use.transcribed_s > 0
    assert running.metrics.registry.get_sample_value("ariagent_cost_total", {"agent": "default"}) in (None, 0.0)


async def test_over_the_daily_cap_callers_go_to_people(
    sandbox: Any, service: Any, dial: Any, phone: Any, ends_with_people: Any, log: Any
) -> None:
    model = await sandbox(scenario=SCENARIO)
    settings: dict[str, Any] = {
        "agent": {"opening": None, "keypad": {"pause_ms": 150}},
        "cost": {"prices": PRICES, "daily_cap": 1e-9},
        "realtime": {"model": "gpt-realtime-2.1"},
    }
    running = await service(model, **settings)
    call, hearing = await dial("7001")
    await call.send_dtmf("*")
    await hearing.utterance()
    # A call that runs is not ended for it.
    await call.send_dtmf("9")
    await call.ended(LIMIT_S)
    await log.wait("call.ended", reason="agent_ended")

    human = await phone("1001", register=True)
    await ends_with_people(await (await phone()).dial("7001"), human)
    await log.wait("call.ended", result="busy", reason="over_daily_cap")
    assert metric(running, "ariagent_calls_total", agent="-", result="busy", reason="over_daily_cap") == 1

    # A new start on the same day knows what was spent.
    running.stop()
    await log.wait("service.stopped")
    await service(model, state_directory=running.settings.state_directory, **settings)
    await ends_with_people(await (await phone()).dial("7001"), human)
    await log.wait("call.ended", result="busy", reason="over_daily_cap", count=2)
    assert len(log.named("call.started")) == 1


async def test_a_seat_over_the_cap_fails_unanswered(
    sandbox: Any, service: Any, dial: Any, phone: Any, log: Any
) -> None:
    model = await sandbox(scenario=SCENARIO)
    await service(
        model,
        agent={"opening": "Hi."},  # rendering it costs more than the cap
        cost={"prices": PRICES, "daily_cap": 1e-9},
        realtime={"model": "gpt-realtime-2.1"},
    )
    call = await (await phone()).dial("7000")
    await log.wait("call.ended", result="busy", reason="over_daily_cap")
    assert call.answered_at is None
    await call.hangup()
    assert log.named("call.started") == []

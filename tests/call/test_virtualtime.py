"""The tests' own clock."""

import asyncio
import time

import pytest

from tests.call.virtualtime import BEGAN_AT, NothingHappensError, VirtualLoop, passes, virtual_time


@virtual_time
async def test_an_hour_takes_no_time_and_every_timer_rings_at_its_moment() -> None:
    really, began, rang = time.perf_counter(), time.monotonic(), list[float]()
    for after_s in (3.0, 0.5, 1800.0):
        asyncio.get_running_loop().call_later(after_s, lambda: rang.append(time.monotonic() - began))
    await passes(3600.0)
    assert rang == pytest.approx([0.5, 3.0, 1800.0])
    assert time.time() - BEGAN_AT == pytest.approx(3600.0)
    assert time.perf_counter() - really < 10.0


@virtual_time
async def test_limits_are_kept() -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(12.0):
            await asyncio.Event().wait()
    assert time.monotonic() - began == pytest.approx(12.0)
    assert await asyncio.to_thread(lambda: 7) == 7


def test_a_wait_for_ever_fails_at_once() -> None:
    @virtual_time
    async def waits() -> None:
        await asyncio.Event().wait()

    with pytest.raises(NothingHappensError):
        waits()


def virtual_loop() -> VirtualLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop


@virtual_time
async def test_what_is_waited_for_is_seen_at_the_next_look() -> None:
    loop, happened = virtual_loop(), asyncio.Event()
    began = loop.time()
    loop.call_later(0.012, happened.set)
    await loop.until(happened.is_set)
    assert loop.time() - began == pytest.approx(0.015)


@virtual_time
async def test_what_is_over_before_the_next_look_is_not_seen() -> None:
    loop, happens = virtual_loop(), asyncio.Event()
    began = loop.time()
    loop.call_later(0.011, happens.set)
    loop.call_later(0.013, happens.clear)
    loop.call_later(1.001, happens.set)
    await loop.until(happens.is_set)
    assert loop.time() - began == pytest.approx(1.005)


@virtual_time
async def test_what_does_not_happen_is_waited_for_up_to_a_limit() -> None:
    loop = virtual_loop()
    began = loop.time()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3.0):
            await loop.until(lambda: False)
    assert loop.time() - began == pytest.approx(3.0)

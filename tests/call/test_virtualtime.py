"""The tests' own clock."""

import asyncio
import time

import pytest

from tests.call.virtualtime import BEGAN_AT, NothingHappensError, passes, virtual_time


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

"""How a service is told to end, and told again."""

import asyncio

from ariagent.service.draining import Draining, Plan

PATIENCE_S = 20.0
USUAL = Plan("human_queue", 300.0)


def near(found: Plan, to: str, after_s: float) -> bool:
    return found.to == to and after_s - PATIENCE_S <= found.after_s <= after_s


async def test_it_ends_as_usual_unless_told_otherwise() -> None:
    draining = Draining()
    assert not draining.asked.is_set()
    assert near(draining.begin(USUAL), "human_queue", 300.0)
    assert draining.asked.is_set()
    assert near(Draining().begin(USUAL, "next", 60.0), "next", 60.0)


async def test_told_again_only_what_is_said_changes() -> None:
    draining = Draining()
    draining.begin(USUAL, "next", 600.0)
    assert near(draining.begin(USUAL), "next", 600.0)
    assert near(draining.begin(USUAL, "human_queue"), "human_queue", 600.0)
    assert near(draining.begin(USUAL, after_s=100.0), "human_queue", 100.0)


async def test_it_is_over_when_the_time_is_up_or_nothing_is_left_or_a_later_word_says_so() -> None:
    draining, ended, never = Draining(), asyncio.Event(), asyncio.Event()
    draining.begin(USUAL, after_s=0.01)
    await asyncio.wait_for(draining.over(never.wait()), PATIENCE_S)
    draining.begin(USUAL, after_s=0.0)
    await asyncio.wait_for(draining.over(never.wait()), PATIENCE_S)
    draining.begin(USUAL, after_s=600.0)
    waiting = asyncio.ensure_future(draining.over(never.wait(), ended.wait()))
    await asyncio.sleep(0)
    ended.set()
    await asyncio.wait_for(waiting, PATIENCE_S)
    waiting = asyncio.ensure_future(draining.over(never.wait()))
    await asyncio.sleep(0)
    draining.begin(USUAL, "next", 0.0)
    await asyncio.wait_for(waiting, PATIENCE_S)
    assert draining.plan.to == "next"

"""The soak in small, and that its judgement finds what is wrong."""

from collections.abc import Callable
from typing import Any

import pytest

from lab import soak
from lab.soak import Plan, Reading, Report


@pytest.mark.long
@pytest.mark.asterisk
async def test_nothing_is_left_of_calls_hung_up_at_random_moments() -> None:
    report = await soak.run(20, at_once=20, warm_up=40, longest_s=1.5, seed=7, idle_s=1)
    assert report.wrong == [], "\n".join(report.lines)


@pytest.mark.asterisk
@pytest.mark.long
async def test_conversations_that_come_and_go_are_answered_and_leave_nothing() -> None:
    report = await soak.run_steady(0.2, at_once=4, warm_up=8, seed=3, lives_s=(3.0, 7.0), idle_s=2)
    # Twelve seconds on a busy machine says nothing about how fast it is at its end, nor about memory.
    report.wrong = [name for name in report.wrong if "first and last fifth" not in name]
    assert report.wrong == [], "\n".join(report.lines)


def test_the_same_seed_draws_the_same_moments() -> None:
    assert soak.plans(50, 6.0, 3) == soak.plans(50, 6.0, 3)
    assert soak.plans(50, 6.0, 3) != soak.plans(50, 6.0, 4)
    made = soak.plans(200, 6.0, 1)
    assert {plan.extension for plan in made} == {"7000", "7001"}
    assert all(isinstance(plan, Plan) and 0 <= plan.hang_up_s <= 6.0 for plan in made)
    assert 40 < sum(plan.hang_up_s <= 0.3 for plan in made) < 100


class Service:
    """The rules of ``judge`` for a soak; the log is given."""

    def __init__(self, log: str) -> None:
        self.log = log


def line(event: str, **fields: object) -> str:
    return f"2026-01-31T12:00:00.000 INFO {event}" + "".join(f" {key}={value}" for key, value in fields.items())


GOOD = (
    line("call.started", call="1.1"),
    line("call.ended", call="1.1", result="done", reason="caller_hung_up"),
    line("call.ended", call="1.2", result="done", reason="caller_hung_up"),
)
REST = Reading(rss_mb=70.0, open_fds=25, tasks=8, active=0)


@pytest.fixture
def judged() -> Callable[..., Report]:
    """The judgement of a log and of two readings."""

    def judge(log: tuple[str, ...] = GOOD, left: tuple[str, ...] = (), **after: Any) -> Report:
        made = object.__new__(soak.Soak)
        made.service = Service("\n".join(log))  # type: ignore[assignment]
        values = {"rss_mb": 70.0, "open_fds": 25, "tasks": 8, "active": 0, **after}
        return soak.judge(made, REST, Reading(**values), list(left), 200)

    return judge


def test_a_clean_run_is_clean(judged: Callable[..., Report]) -> None:
    assert judged().wrong == []
    assert judged(rss_mb=74.9).wrong == []


ONE_END = "ends: one for each call"


@pytest.mark.parametrize(
    ("log", "wrong"),
    [
        (GOOD[:1], [ONE_END]),
        ((*GOOD, GOOD[1]), [ONE_END]),
        ((*GOOD, GOOD[2]), [ONE_END]),
        ((*GOOD, line("call.return_failed", call="1.1")), ["tracebacks and things not given back in the log"]),
        ((*GOOD, "Traceback (most recent call last):"), ["tracebacks and things not given back in the log"]),
        ((*GOOD[:1], line("call.ended", call="1.1", result="error", reason="x")), ["ends that are no ordinary ones"]),
        ((), ["calls served (those given up at once may not arrive)"]),
    ],
    ids=["no end", "two ends", "two ends of one that never started", "not returned", "traceback", "error", "no calls"],
)
def test_what_the_log_says_is_seen(judged: Callable[..., Report], log: tuple[str, ...], wrong: list[str]) -> None:
    assert judged(log).wrong == wrong


@pytest.mark.parametrize(
    ("after", "wrong"),
    [
        ({"rss_mb": 75.1}, "resident memory"),
        ({"open_fds": 26}, "open file descriptors"),
        ({"tasks": 9}, "asyncio tasks"),
        ({"active": 1}, "calls active"),
        ({"left": ("PJSIP/x",)}, "channels and bridges left in Asterisk"),
    ],
)
def test_what_is_left_is_seen(judged: Callable[..., Report], after: dict[str, Any], wrong: str) -> None:
    assert judged(**after).wrong == [wrong]

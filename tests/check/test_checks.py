"""The one list of checks: what may be in it, and how it is run."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from ariagent.check import checks as module
from ariagent.check.checks import CHECKS, TALK, Check, Need, quick, run_checks
from ariagent.check.report import Result, Say, Status, failed, ok, warning
from ariagent.check.site import Site, opened
from ariagent.config import Settings

ALL = (*CHECKS, TALK)


def test_a_check_builds_on_earlier_ones_only() -> None:
    for number, check in enumerate(ALL):
        assert set(check.after) <= {other.name for other in ALL[:number]}, check.name


def test_a_check_says_how_bad_it_can_be() -> None:
    assert {check.worst for check in ALL} <= {Status.FAILED, Status.WARNING}


def test_a_service_that_starts_does_the_quick_ones() -> None:
    names = {check.name for check in quick(*Need)}
    assert {"settings", "machine", "asterisk", "ARI user", "modules", "dialplan", "destinations", "manager"} <= names
    # They make a channel, ask the model's server or the site's, or tell what the service knows of itself.
    assert names & {"audio connection", "model", "tools", "talk", "ports", "application"} == set()


def made(name: str, *results: Result, after: tuple[str, ...] = (), gives: str = "") -> Check:
    async def look(site: Site, say: Say) -> None:
        for result in results:
            say(result)

    return Check(name, Need.SETTINGS, look, Status.FAILED, after=after, gives=gives)


async def told(*checks: Check) -> list[tuple[str, Status, str]]:
    results: list[tuple[str, Status, str]] = []
    async with opened(Settings(), "a.yaml") as site:
        await run_checks(checks, site, lambda check, r: results.append((check.name, r.status, r.found)))
    return results


async def test_what_builds_on_a_failed_one_is_skipped_and_says_what_it_lacks() -> None:
    assert await told(
        made("a", ok("a", "fine")),
        made("b", ok("b", "half"), failed("b", "broken"), gives="the bridge"),
        made("c", ok("c", "never"), after=("a", "b")),
        made("d", ok("d", "never"), after=("c",)),
        made("e", ok("e", "fine"), after=("a",)),
    ) == [
        ("a", Status.OK, "fine"),
        ("b", Status.OK, "half"),
        ("b", Status.FAILED, "broken"),
        ("c", Status.SKIPPED, "needs the bridge"),
        ("d", Status.SKIPPED, "needs the bridge"),
        ("e", Status.OK, "fine"),
    ]


async def test_a_warning_keeps_nothing_from_being_checked() -> None:
    found = await told(made("a", warning("a", "so so")), made("b", ok("b", "fine"), after=("a",)))
    assert [status for _, status, _ in found] == [Status.WARNING, Status.OK]


async def test_one_that_does_not_apply_is_not_shown() -> None:
    async def look(site: Site, say: Say) -> None:
        raise AssertionError("it does not apply")

    assert await told(Check("a", Need.SETTINGS, look, Status.FAILED, applies=lambda settings: False)) == []


async def raises(site: Site, say: Say) -> None:
    raise ZeroDivisionError("a bug of ours")


async def hangs(site: Site, say: Say) -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize(("work", "found"), [(raises, "internal error: "), (hangs, "not finished within 0.05 s")])
async def test_one_that_fails_by_itself_does_not_keep_the_others_from_being_done(
    work: Callable[[Site, Say], Awaitable[None]], found: str
) -> None:
    check = Check("a", Need.SETTINGS, work, Status.FAILED, limit_s=lambda settings: 0.05)
    first, second = await told(check, made("b", ok("b", "fine")))
    assert first[1] is Status.FAILED
    assert first[2].startswith(found)
    assert second[1] is Status.OK


async def test_what_is_worse_than_a_check_may_say_is_noticed() -> None:
    async def look(site: Site, say: Say) -> None:
        say(failed("a", "bad"))

    ((_, status, found),) = await told(Check("a", Need.SETTINGS, look, Status.WARNING))
    assert status is Status.FAILED
    assert found.startswith("internal error: ")
    assert module.REPORT_IT

"""The decision after the end of a service that has a keeper."""

import pytest

from ariagent.service.restarts import CRASHED, PAUSES_S, WINDOW_S, Again, End, Restarts


@pytest.mark.parametrize("code", [0, 1, 2, 130])
def test_a_service_that_ended_by_itself_is_not_started_again(code: int) -> None:
    assert Restarts().ended(code, 10.0) == End(code)


@pytest.mark.parametrize(
    ("how", "cause"),
    [("SIGKILL", "killed by SIGKILL"), ("SIGSEGV", "killed by SIGSEGV"), (CRASHED, "an internal error")],
)
def test_a_service_that_crashed_is_started_again_at_once(how: int | str, cause: str) -> None:
    assert Restarts().ended(how, 10.0) == Again(0.0, cause)


@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT", "SIGRTMIN"])
def test_a_signal_that_asks_it_to_end_is_no_crash_when_the_service_cannot_handle_it_yet(how: str) -> None:
    assert Restarts().ended(how, 10.0) == End(0)


def test_pauses_grow_and_then_it_gives_up() -> None:
    restarts = Restarts()
    found = [restarts.ended("SIGKILL", 10.0 + second) for second in range(len(PAUSES_S) + 1)]
    assert [each.pause_s for each in found[:-1] if isinstance(each, Again)] == list(PAUSES_S)
    assert list(PAUSES_S) == sorted(PAUSES_S)
    assert found[-1] == End(1, "the service crashed 5 times within 60 s; at last: killed by SIGKILL")


def test_crashes_of_long_ago_do_not_count() -> None:
    restarts = Restarts()
    for number in range(20):
        assert restarts.ended("SIGKILL", number * WINDOW_S) == Again(0.0, "killed by SIGKILL")
    # Two within the window.
    assert restarts.ended("SIGKILL", 20 * WINDOW_S - 0.1) == Again(PAUSES_S[1], "killed by SIGKILL")


@pytest.mark.parametrize("how", ["SIGKILL", CRASHED])
def test_a_service_that_crashes_while_it_drains_is_not_started_again(how: int | str) -> None:
    restarts = Restarts()
    restarts.told_to_end = True
    found = restarts.ended(how, 10.0)
    assert isinstance(found, End)
    assert (found.code, "did not end in order" in found.cause) == (1, True)


def test_after_an_upgrade_the_old_version_is_not_started_again() -> None:
    restarts = Restarts()
    restarts.replaced = True
    assert restarts.ended("SIGKILL", 10.0) == End(
        1, "the service crashed (killed by SIGKILL), and another version of ariagent is installed now"
    )
    assert restarts.ended(0, 10.0) == End(0)

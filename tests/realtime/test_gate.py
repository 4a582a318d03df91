"""The gate for response.create, at literal times (seconds)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ariagent.realtime.gate import CREATED_WAIT_S, SERVER_RESPONSE_WAIT_S, ResponseGate

HELLO = {"instructions": "Say hello"}
BYE = {"instructions": "Say goodbye"}


@pytest.fixture
def gate() -> ResponseGate:
    return ResponseGate()


def test_nothing_wanted_is_nothing_to_send(gate: ResponseGate) -> None:
    assert gate.take(0.0) is None
    assert gate.next_deadline() is None


def test_a_request_goes_at_once_when_nothing_runs(gate: ResponseGate) -> None:
    gate.request(HELLO)
    assert gate.take(0.0) == HELLO
    assert gate.take(0.0) is None


def test_an_empty_response_is_a_request_too(gate: ResponseGate) -> None:
    gate.request({})
    assert gate.take(0.0) == {}


def test_a_request_waits_for_the_end_of_the_running_response(gate: ResponseGate) -> None:
    gate.started("r1")
    gate.request(HELLO)
    assert gate.take(100.0) is None
    assert gate.next_deadline() is None
    gate.ended("r1")
    assert gate.take(100.0) == HELLO


def test_the_end_of_another_response_does_not_open_it(gate: ResponseGate) -> None:
    gate.started("r1")
    gate.request(HELLO)
    gate.ended("r0")
    assert gate.take(1.0) is None
    assert gate.active == "r1"


def test_after_the_callers_turn_the_servers_own_response_comes_first(gate: ResponseGate) -> None:
    gate.turn_ended(10.0)
    gate.request(HELLO)
    assert gate.take(10.0) is None
    gate.started("servers")
    assert gate.take(11.0) is None
    gate.ended("servers")
    assert gate.take(12.0) == HELLO


def test_a_server_that_does_not_answer_the_turn_is_not_waited_for_forever(gate: ResponseGate) -> None:
    gate.turn_ended(10.0)
    gate.request(HELLO)
    assert gate.next_deadline() == 10.0 + SERVER_RESPONSE_WAIT_S
    assert gate.take(10.0 + SERVER_RESPONSE_WAIT_S - 0.001) is None
    assert gate.take(10.0 + SERVER_RESPONSE_WAIT_S) == HELLO


def test_the_newest_of_two_waiting_requests_counts(gate: ResponseGate) -> None:
    gate.started("r1")
    gate.request(HELLO)
    gate.request(BYE)
    gate.ended("r1")
    assert gate.take(1.0) == BYE
    assert gate.take(1.0) is None


def test_a_second_request_waits_until_the_first_one_is_over(gate: ResponseGate) -> None:
    gate.request(HELLO)
    gate.take(0.0)
    gate.request(BYE)
    assert gate.take(0.1) is None
    gate.started("r1")
    assert gate.take(0.2) is None
    gate.ended("r1")
    assert gate.take(0.3) == BYE


def test_the_end_of_another_response_does_not_open_it_while_a_create_is_under_way(gate: ResponseGate) -> None:
    gate.request(HELLO)
    gate.take(0.0)
    gate.request(BYE)
    gate.ended("summary")
    assert gate.take(0.1) is None


def test_a_create_that_is_never_acknowledged_does_not_close_it_forever(gate: ResponseGate) -> None:
    gate.request(HELLO)
    gate.take(0.0)
    gate.request(BYE)
    assert gate.next_deadline() == CREATED_WAIT_S
    assert gate.take(CREATED_WAIT_S - 0.001) is None
    assert gate.take(CREATED_WAIT_S) == BYE


class TestLostRace:
    def test_the_request_is_sent_again_after_the_response_that_won(self, gate: ResponseGate) -> None:
        gate.request(HELLO)
        gate.take(0.0)
        gate.started("winner")  # the server's, made just before ours arrived there
        gate.refused(0.1)
        assert gate.take(0.2) is None
        gate.ended("winner")
        assert gate.take(0.3) == HELLO

    def test_one_that_was_granted_is_not_sent_again(self, gate: ResponseGate) -> None:
        gate.request(HELLO)
        gate.take(0.0)
        gate.started("ours")
        gate.ended("ours")
        gate.refused(0.1)
        assert gate.take(10.0) is None

    def test_what_was_withdrawn_is_not_sent_again(self, gate: ResponseGate) -> None:
        gate.request(HELLO)
        gate.take(0.0)
        gate.withdraw()
        gate.refused(0.1)
        assert gate.take(10.0) is None
        gate.request(BYE)
        assert gate.take(10.0) == BYE
        gate.refused(10.1)
        gate.withdraw()
        assert gate.take(20.0) is None

    @pytest.mark.parametrize("newest", [{}, BYE])
    def test_a_newer_request_is_not_replaced_by_the_refused_one(
        self, gate: ResponseGate, newest: dict[str, str]
    ) -> None:
        gate.request(HELLO)
        gate.take(0.0)
        gate.started("winner")
        gate.request(newest)
        gate.refused(0.1)
        gate.ended("winner")
        assert gate.take(0.3) == newest

    def test_refused_before_the_winner_is_known(self, gate: ResponseGate) -> None:
        gate.request(HELLO)
        gate.take(0.0)
        gate.refused(0.1)
        assert gate.take(0.1) is None
        gate.started("winner")
        assert gate.take(0.2) is None
        gate.ended("winner")
        assert gate.take(0.3) == HELLO

    def test_refused_by_a_response_that_is_never_heard_of(self, gate: ResponseGate) -> None:
        gate.request(HELLO)
        gate.take(0.0)
        gate.refused(0.1)
        deadline = gate.next_deadline()
        assert deadline is not None
        assert 0.1 < deadline <= 0.1 + SERVER_RESPONSE_WAIT_S
        assert gate.take(deadline) == HELLO

    def test_refused_and_the_end_of_the_unknown_winner_opens_it(self, gate: ResponseGate) -> None:
        gate.request(HELLO)
        gate.take(0.0)
        gate.refused(0.1)
        gate.ended("winner")
        assert gate.take(0.2) == HELLO

    def test_a_newer_request_replaces_the_refused_one(self, gate: ResponseGate) -> None:
        gate.request(HELLO)
        gate.take(0.0)
        gate.request(BYE)
        gate.refused(0.1)
        gate.ended("winner")
        assert gate.take(0.2) == BYE
        assert gate.take(10.0) is None

    def test_a_refusal_of_nothing_of_ours_changes_nothing(self, gate: ResponseGate) -> None:
        gate.refused(0.0)
        assert gate.take(10.0) is None
        gate.request(HELLO)
        assert gate.take(10.0) == HELLO


def test_withdrawn_is_not_sent(gate: ResponseGate) -> None:
    gate.started("r1")
    gate.request(HELLO)
    gate.withdraw()
    gate.ended("r1")
    assert gate.take(1.0) is None


STEPS = st.sampled_from(["request", "turn", "started", "ended", "refused", "withdraw", "take"])


@given(st.lists(st.tuples(STEPS, st.floats(0.0, 3.0)), max_size=40))
def test_whatever_happens_a_wanted_response_is_asked_for_once_nothing_runs(steps: list[tuple[str, float]]) -> None:
    gate = ResponseGate()
    now, responses = 0.0, 0
    for step, pause in steps:
        now += pause
        match step:
            case "request":
                gate.request(HELLO)
            case "turn":
                gate.turn_ended(now)
            case "started":
                responses += 1
                gate.started(f"r{responses}")
            case "ended":
                gate.ended(f"r{responses}")
            case "refused":
                gate.refused(now)
            case "withdraw":
                gate.withdraw()
            case "take":
                running = gate.active
                taken: dict[str, Any] | None = gate.take(now)
                assert taken is None or running is None
    gate.request(BYE)
    if gate.active is not None:
        gate.ended(gate.active)
    deadline = gate.next_deadline()
    assert deadline is not None
    assert deadline <= now + CREATED_WAIT_S
    assert gate.take(max(now, deadline)) == BYE

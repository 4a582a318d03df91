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


def ask(gate: ResponseGate, response: dict[str, Any], now: float = 0.0, event_id: str = "e1") -> None:
    """Have the response asked for in this event."""
    gate.request(response)
    assert gate.take(now) == response
    gate.asked(event_id)


class TestLostRace:
    """A create was refused because a response runs already. Servers often leave out whose it was."""

    @pytest.mark.parametrize("event_id", ["e1", None])
    def test_refused_before_the_winner_is_known(self, gate: ResponseGate, event_id: str | None) -> None:
        ask(gate, HELLO)
        gate.active_response_conflict(0.1, event_id, answer_pending=False)
        assert gate.take(0.1) is None
        gate.started("winner")
        assert gate.take(0.2) is None
        gate.ended("winner")
        assert gate.take(0.3) == HELLO

    def test_the_request_is_sent_again_after_the_response_that_won(self, gate: ResponseGate) -> None:
        ask(gate, HELLO)
        gate.started("winner")  # the server's, made just before ours arrived there
        gate.active_response_conflict(0.1, "e1", answer_pending=False)
        assert gate.take(0.2) is None
        gate.ended("winner")
        assert gate.take(0.3) == HELLO

    def test_an_opening_that_was_granted_is_not_said_twice(self, gate: ResponseGate) -> None:
        ask(gate, HELLO)
        gate.started("ours")
        gate.active_response_conflict(0.1, None, answer_pending=False)  # the server's own create met ours
        gate.ended("ours")
        assert gate.take(0.3) == {}
        assert gate.take(10.0) is None

    def test_a_create_of_long_ago_is_not_ours_of_now(self, gate: ResponseGate) -> None:
        ask(gate, HELLO, event_id="e2")
        gate.active_response_conflict(0.1, "e1", answer_pending=False)
        gate.ended("unknown")
        assert gate.take(0.3) == {}

    @pytest.mark.parametrize("event_id", ["e1", None])
    def test_one_that_was_granted_and_is_over_is_not_sent_again(self, gate: ResponseGate, event_id: str | None) -> None:
        ask(gate, HELLO)
        gate.started("ours")
        gate.ended("ours")
        gate.active_response_conflict(0.1, event_id, answer_pending=False)
        assert gate.take(10.0) is None

    @pytest.mark.parametrize("event_id", ["e1", None])
    def test_what_was_withdrawn_is_not_sent_again(self, gate: ResponseGate, event_id: str | None) -> None:
        ask(gate, HELLO)
        assert gate.withdraw()
        gate.active_response_conflict(0.1, event_id, answer_pending=False)
        assert gate.take(10.0) is None
        ask(gate, BYE, 10.0)
        gate.active_response_conflict(10.1, event_id, answer_pending=False)
        assert not gate.withdraw()
        assert gate.take(20.0) is None

    @pytest.mark.parametrize("event_id", ["e1", None])
    @pytest.mark.parametrize("newest", [{}, BYE])
    @pytest.mark.parametrize("known", [True, False])
    def test_a_newer_request_is_not_replaced_by_the_refused_one(
        self, gate: ResponseGate, newest: dict[str, str], event_id: str | None, known: bool
    ) -> None:
        ask(gate, HELLO)
        if known:
            gate.started("winner")
        gate.request(newest)
        gate.active_response_conflict(0.1, event_id, answer_pending=True)
        gate.ended("winner")
        assert gate.take(0.3) == newest
        assert gate.take(10.0) is None

    def test_refused_by_a_response_that_is_never_heard_of(self, gate: ResponseGate) -> None:
        ask(gate, HELLO)
        gate.active_response_conflict(0.1, "e1", answer_pending=False)
        deadline = gate.next_deadline()
        assert deadline is not None
        assert 0.1 < deadline <= 0.1 + SERVER_RESPONSE_WAIT_S
        assert gate.take(deadline) == HELLO

    def test_refused_and_the_end_of_the_unknown_winner_opens_it(self, gate: ResponseGate) -> None:
        ask(gate, HELLO)
        gate.active_response_conflict(0.1, "e1", answer_pending=False)
        gate.ended("winner")
        assert gate.take(0.2) == HELLO

    @pytest.mark.parametrize("event_id", ["e1", None])
    def test_a_race_of_nothing_of_ours_changes_nothing(self, gate: ResponseGate, event_id: str | None) -> None:
        gate.active_response_conflict(0.0, event_id, answer_pending=False)
        assert gate.take(10.0) is None
        ask(gate, HELLO, 10.0)

    def test_the_servers_own_answer_that_lost_is_asked_for_after_the_winner(self, gate: ResponseGate) -> None:
        gate.started("winner")
        gate.active_response_conflict(0.0, None, answer_pending=True)
        assert gate.take(0.1) is None
        gate.ended("winner")
        assert gate.take(0.2) == {}


class TestFailed:
    @pytest.mark.parametrize("response", [{}, HELLO])
    def test_a_request_that_was_refused_is_wanted_again(self, gate: ResponseGate, response: dict[str, str]) -> None:
        ask(gate, response)
        gate.failed()
        assert gate.take(0.1) == response
        gate.asked("e2")
        assert not gate.asked_in("e1")
        assert gate.asked_in("e2")

    def test_a_response_of_ours_that_failed_is_wanted_again(self, gate: ResponseGate) -> None:
        ask(gate, HELLO)
        gate.started("ours")
        gate.failed()
        gate.ended("ours")
        assert gate.take(0.1) == HELLO

    def test_where_the_servers_own_failed_an_answer_is_wanted(self, gate: ResponseGate) -> None:
        gate.started("servers")
        gate.failed()
        assert gate.take(0.1) is None
        gate.ended("servers")
        assert gate.take(0.1) == {}

    def test_what_is_wanted_already_is_enough(self, gate: ResponseGate) -> None:
        ask(gate, HELLO)
        gate.started("ours")
        gate.request(BYE)
        gate.failed()
        gate.ended("ours")
        assert gate.take(0.1) == BYE
        assert gate.take(10.0) is None

    def test_dropped_is_not_wanted_again_and_the_gate_is_open(self, gate: ResponseGate) -> None:
        ask(gate, HELLO)
        assert gate.withdraw()
        gate.dropped()
        assert gate.take(0.1) is None
        ask(gate, BYE, 0.1)


class TestAskedIn:
    def test_nothing_was_asked(self, gate: ResponseGate) -> None:
        for event_id in ("", "e1", None):
            assert not gate.asked_in(event_id)

    def test_until_the_response_is_over(self, gate: ResponseGate) -> None:
        ask(gate, HELLO)
        assert gate.asked_in("e1")
        assert not gate.asked_in("e2")
        assert not gate.asked_in(None)
        gate.started("ours")
        assert gate.asked_in("e1")
        gate.ended("ours")
        assert not gate.asked_in("e1")

    def test_even_where_it_was_withdrawn(self, gate: ResponseGate) -> None:
        ask(gate, HELLO)
        gate.withdraw()
        assert gate.asked_in("e1")


class TestWithdraw:
    def test_tells_whether_a_response_is_on_its_way(self, gate: ResponseGate) -> None:
        assert not gate.withdraw()
        gate.request(HELLO)
        assert not gate.withdraw()
        ask(gate, HELLO)
        assert gate.withdraw()
        assert gate.withdraw()
        gate.started("ours")
        assert not gate.withdraw()


def test_withdrawn_is_not_sent(gate: ResponseGate) -> None:
    gate.started("r1")
    gate.request(HELLO)
    gate.withdraw()
    gate.ended("r1")
    assert gate.take(1.0) is None


STEPS = st.sampled_from(["request", "turn", "started", "ended", "conflict", "failed", "dropped", "withdraw", "take"])


@given(
    st.lists(st.tuples(STEPS, st.floats(0.0, 3.0), st.sampled_from([None, "old", "asked"]), st.booleans()), max_size=40)
)
def test_whatever_happens_a_wanted_response_is_asked_for_once_nothing_runs(
    steps: list[tuple[str, float, str | None, bool]],
) -> None:
    gate = ResponseGate()
    now, responses = 0.0, 0
    for step, pause, event_id, pending in steps:
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
            case "conflict":
                gate.active_response_conflict(now, event_id, answer_pending=pending)
            case "failed":
                gate.failed()
            case "dropped":
                gate.dropped()
            case "withdraw":
                gate.withdraw()
            case "take":
                running = gate.active
                taken: dict[str, Any] | None = gate.take(now)
                assert taken is None or running is None
                if taken is not None:
                    gate.asked("asked")
    gate.request(BYE)
    if gate.active is not None:
        gate.ended(gate.active)
    deadline = gate.next_deadline()
    assert deadline is not None
    assert deadline <= now + CREATED_WAIT_S
    assert gate.take(max(now, deadline)) == BYE

"""Calls that go to human agents because enough calls are in progress."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ariagent.call.admission import HOUR_S, Admission, CallerRate, Ticket, number_key
from ariagent.config import Settings

DAY, NEXT = "2026-11-22", "2026-11-23"


def settings(**tree: object) -> Settings:
    return Settings.model_validate({"agents": {"default": {}, "sales": {"max_calls": 2}}, **tree})


def admitted(found: Ticket | str) -> Ticket:
    assert isinstance(found, Ticket)
    return found


def test_without_caps_everybody_is_taken() -> None:
    admission = Admission(settings())
    for at in range(1000):
        admitted(admission.enter("default", "+49301", float(at)))
    assert admission.refusal(9, 0.0, DAY) == ""
    assert admission.refusal(10, 0.0, DAY) == "full"


def test_an_agents_own_cap_until_one_of_its_calls_is_over() -> None:
    admission = Admission(settings())
    first, _ = (admitted(admission.enter("sales", "1", 0.0)) for _ in range(2))
    assert admission.enter("sales", "1", 0.0) == "agent_full"
    admitted(admission.enter("default", "1", 0.0))
    admission.leave(first, 1.0, DAY)
    admission.leave(first, 1.0, DAY)
    admitted(admission.enter("sales", "1", 1.0))
    assert admission.enter("sales", "1", 1.0) == "agent_full"
    admitted(admission.enter("sales", "1", 1.0, returned=True))


def test_a_caller_who_calls_too_often_within_an_hour() -> None:
    admission = Admission(settings(caps={"calls_per_caller_per_hour": 2}))
    for at in (0.0, 600.0):
        admitted(admission.enter("default", "+49 (30) 555-1", at))
    assert admission.enter("default", "+49305551", 700.0) == "caller_often"
    admitted(admission.enter("default", "+49305552", 700.0))
    # Those who were turned away are not counted: the hour is that of the calls that were taken.
    admitted(admission.enter("default", "+49305551", HOUR_S))
    assert admission.enter("default", "+49305551", HOUR_S) == "caller_often"
    admitted(admission.enter("default", "+49305551", HOUR_S, returned=True))


@pytest.mark.parametrize("number", ["", "anonymous", "Anonymous", "Unknown", " - ", "asterisk"])
def test_callers_without_a_number_are_not_one(number: str) -> None:
    admission = Admission(settings(caps={"calls_per_caller_per_hour": 1}))
    for _ in range(5):
        admitted(admission.enter("default", number, 0.0))


def test_a_restart_forgets_nobody() -> None:
    caps = {"calls_per_caller_per_hour": 2, "minutes_per_day": 10}
    admission = Admission(settings(caps=caps), DAY, 540.0, [("5551", 200.0), ("5552", 100.0), ("5551", 100.0)])
    assert admission.enter("default", "5551", 300.0) == "caller_often"
    ticket = admitted(admission.enter("default", "5552", 300.0))
    admission.answered(ticket, 310.0)
    assert not admission.over_minutes(369.0, DAY)
    assert admission.refusal(1, 370.0, DAY) == "over_daily_minutes"


def test_minutes_count_from_the_answer_and_while_a_call_goes_on() -> None:
    admission = Admission(settings(caps={"minutes_per_day": 1}), DAY)
    first, second = (admitted(admission.enter("default", "1", 0.0)) for _ in range(2))
    assert admission.talked_s(1000.0, DAY) == 0
    admission.answered(first, 1000.0)
    admission.answered(second, 1010.0)
    assert admission.talked_s(1020.0, DAY) == 30
    admission.leave(first, 1020.0, DAY)
    assert admission.talked_s(1030.0, DAY) == 40
    assert not admission.over_minutes(1049.0, DAY)
    assert admission.over_minutes(1050.0, DAY)
    admission.leave(second, 1050.0, DAY)
    assert admission.over_minutes(2000.0, DAY)


def test_a_new_day_begins_at_nothing_and_counts_what_goes_on() -> None:
    admission = Admission(settings(caps={"minutes_per_day": 1}), DAY, 59.0)
    ticket = admitted(admission.enter("default", "1", 0.0))
    admission.answered(ticket, 0.0)
    assert admission.over_minutes(10.0, DAY)
    assert not admission.over_minutes(20.0, NEXT)
    assert admission.talked_s(50.0, NEXT) == 30
    admission.leave(ticket, 60.0, NEXT)
    assert admission.talked_s(70.0, NEXT) == 40
    # A clock that is put back brings no day back.
    assert admission.talked_s(70.0, DAY) == 40


def test_callers_without_a_number_have_minutes_of_their_own() -> None:
    admission = Admission(settings(caps={"minutes_per_day": 10, "minutes_per_day_unknown": 1}), DAY)
    hidden = admitted(admission.enter("default", "anonymous", 0.0, day=DAY))
    admission.answered(hidden, 0.0)
    admitted(admission.enter("default", "", 59.0, day=DAY))
    assert admission.enter("default", "Restricted", 60.0, day=DAY) == "over_daily_minutes_unknown"
    admitted(admission.enter("default", "", 60.0, day=DAY, returned=True))
    shown = admitted(admission.enter("default", "5551", 60.0, day=DAY))
    admission.answered(shown, 60.0)
    assert admission.refusal(1, 60.0, DAY) == ""
    admission.leave(hidden, 60.0, DAY)
    assert admission.talked_s(90.0, DAY) == 90
    assert admission.talked_s(90.0, DAY, unknown=True) == 60
    admitted(admission.enter("default", "", 100.0, day=NEXT))


def test_the_defaults_are_a_day_and_an_hour() -> None:
    admission = Admission(settings(), DAY, 24 * 3600 - 1, talked_unknown_s=3599.0)
    ticket = admitted(admission.enter("default", "", 0.0, day=DAY))
    assert admission.refusal(0, 0.0, DAY) == ""
    admission.answered(ticket, 0.0)
    assert admission.enter("default", "", 1.0, day=DAY) == "over_daily_minutes_unknown"
    assert admission.refusal(1, 1.0, DAY) == "over_daily_minutes"


def test_null_is_no_cap() -> None:
    admission = Admission(settings(caps={"minutes_per_day": None, "minutes_per_day_unknown": None}), DAY, 1e6)
    admitted(admission.enter("default", "", 0.0, day=DAY))
    assert admission.refusal(0, 0.0, DAY) == ""
    assert admission.news(0.0, DAY) == []


def test_a_restart_counts_each_minute_once() -> None:
    """A call in progress counts from its answer, but not what of it was yesterday; one that died counts to its end."""
    admission = Admission(settings(), DAY, 100.0, day_began=1000.0)
    ticket = admitted(admission.enter("default", "5551", 900.0, returned=True))
    admission.answered(ticket, 940.0)
    assert admission.talked_s(1060.0, DAY) == 160
    admission.add(900.0, 1030.0, unknown=True)
    assert admission.talked_s(1060.0, DAY) == 190
    assert admission.talked_s(1060.0, DAY, unknown=True) == 30


def test_each_cap_is_told_once_a_day_when_it_is_near_and_when_it_is_reached() -> None:
    admission = Admission(settings(caps={"minutes_per_day": 1, "minutes_per_day_unknown": None}), DAY)
    ticket = admitted(admission.enter("default", "1", 0.0))
    admission.answered(ticket, 0.0)

    def told(at: float, day: str = DAY) -> list[tuple[str, str]]:
        return [(event, cap.name) for event, cap in admission.news(at, day)]

    assert told(47.0) == []
    assert told(48.0) == [("caps.nearly_reached", "minutes_per_day")]
    assert told(49.0) == []
    assert told(60.0) == [("caps.reached", "minutes_per_day")]
    assert told(61.0) == []
    assert told(62.0, NEXT) == []
    assert told(122.0, NEXT) == [("caps.nearly_reached", "minutes_per_day"), ("caps.reached", "minutes_per_day")]


def test_what_counts_as_a_call() -> None:
    admission = Admission(settings(caps={"calls_per_caller_per_hour": 2}))
    admitted(admission.enter("default", "5551", 0.0))
    admission.count("5551", 1.0)
    assert admission.enter("default", "5551", 2.0) == "caller_often"


def test_no_cap_no_bookkeeping() -> None:
    rate = CallerRate(None)
    assert all(rate.may("1", 0.0) for _ in range(100))
    assert len(rate) == 0


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 900)), max_size=60), st.integers(1, 4))
def test_never_more_than_the_cap_within_any_hour(calls: list[tuple[str, float]], most: int) -> None:
    rate, now = CallerRate(most), 0.0
    taken: dict[str, list[float]] = {}
    for number, pause in calls:
        now += pause
        earlier = [at for at in taken.get(number, []) if at > now - HOUR_S]
        assert rate.may(number, now) == (len(earlier) < most)
        if len(earlier) < most:
            taken.setdefault(number, []).append(now)


def test_who_called_once_is_forgotten() -> None:
    rate = CallerRate(1)
    for n in range(1000):
        rate.may(str(n), 5000.0)
    rate.may("x", 5000.0 + HOUR_S)
    assert len(rate) == 1


@given(st.text())
def test_any_number_has_a_key(number: str) -> None:
    assert number_key(number_key(number)) == number_key(number)

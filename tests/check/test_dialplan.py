"""Findings from the dialplan that Asterisk shows."""

from dataclasses import replace

import pytest

from ariagent import __version__
from ariagent.check.dialplan import Dialplan, judge_app, judge_dialplan, judge_extension, judge_safety
from ariagent.check.report import Status

PLACES = ["seats (01@ariagent-seat)", "7000@ariagent-internal"]


def dialplan(version: str = __version__) -> Dialplan:
    return Dialplan(version, "ariagent", ("7000",), "frontline", "support", "")


def test_everything_is_there() -> None:
    (result,) = judge_dialplan(dialplan(), PLACES, PLACES)
    assert (result.status, result.found) == (
        Status.OK,
        f"version {__version__}, as the package; it has seats (01@ariagent-seat), 7000@ariagent-internal",
    )


def test_nothing_is_there() -> None:
    (result,) = judge_dialplan(dialplan(""), [], PLACES[:1])
    found = "no call can come in: Asterisk's dialplan has no seats (01@ariagent-seat)"
    assert (result.status, result.found) == (Status.FAILED, found)
    assert result.remedy.startswith("Run `ariagent install`")


def test_a_number_is_missing() -> None:
    _, missing = judge_dialplan(dialplan(), PLACES[:1], PLACES)
    assert (missing.status, missing.found) == (Status.WARNING, "missing: 7000@ariagent-internal")


@pytest.mark.parametrize(("version", "found"), [("0.0.9", "it has version 0.0.9"), ("", "its version is unknown")])
def test_a_dialplan_of_another_version(version: str, found: str) -> None:
    (result,) = judge_dialplan(dialplan(version), PLACES, PLACES)
    assert (result.status, result.found) == (Status.WARNING, f"{found}; the package has {__version__}")
    assert "ariagent install --apply" in result.remedy


def test_supervisors_phones_without_the_services_key() -> None:
    old = replace(dialplan(), supervised=True, keyed=False)
    (result,) = judge_safety(old)
    assert (result.status, result.found.partition(":")[0]) == (Status.WARNING, "supervisors' phones get no answer")
    assert "ariagent install" in result.remedy
    assert judge_safety(replace(old, keyed=True)) == judge_safety(replace(old, supervised=False)) == []


def test_words_of_transfers_that_everybody_may_send() -> None:
    (result,) = judge_safety(replace(dialplan(), transfer_data="X-Ariagent-"))
    assert result.status is Status.WARNING
    assert "GET_TRANSFERRER_DATA" in result.found
    assert "docs/transfers-to-ai.md" in result.remedy


def test_whose_the_dialplan_is() -> None:
    assert dialplan().leads_to("ariagent")
    assert not dialplan().leads_to("staging")


def test_another_application() -> None:
    result = judge_app("ariagent", "other", own_seats=False, served=False)
    assert result.status is Status.FAILED
    assert "the application ariagent, but asterisk.app is other: no call reaches the service" in result.found
    assert "--app other" in result.remedy


def test_a_second_service() -> None:
    result = judge_app("ariagent", "staging", own_seats=True, served=False)
    assert (result.status, result.found) == (
        Status.OK,
        "it has the seats ariagent-staging-seat beside those of the application ariagent",
    )


def test_a_second_service_without_seats() -> None:
    result = judge_app("ariagent", "staging", own_seats=False, served=True)
    assert result.status is Status.WARNING
    assert "only extensions that name staging reach this one" in result.found
    assert "docs/queues.md#two-services-on-one-asterisk" in result.remedy


def test_an_extension_that_is_a_destination() -> None:
    assert judge_extension("boss", "1002", "inside", exists=True).status is Status.OK
    missing = judge_extension("boss", "1002", "inside", exists=False)
    assert (missing.status, missing.found) == (
        Status.FAILED,
        "boss: there is no extension 1002 in the context inside",
    )

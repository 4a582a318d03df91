"""The key of the dialplan's events: who makes it, who shares it, and how often it is read."""

import pytest

from ariagent.control.phonekey import AGAIN_S, PhoneKey

OWN = "fedcba9876543210" * 2
KEY = "0123456789abcdef" * 2


def test_before_anything_was_read_nothing_fits() -> None:
    assert not PhoneKey(OWN).fits("")
    assert not PhoneKey(OWN).fits(KEY)


def test_what_another_service_has_set_is_shared() -> None:
    key = PhoneKey(OWN)
    assert key.found(KEY) is None
    assert key.fits(KEY)
    assert not key.fits("")


@pytest.mark.parametrize("odd", ["", "secret", KEY[1:], KEY.upper(), f"{KEY}\n"])
def test_what_is_no_key_is_replaced(odd: str) -> None:
    key = PhoneKey(OWN)
    made = key.found(odd)
    assert made is not None
    assert key.fits(made)
    assert not key.fits(odd)
    assert key.found(made) is None


def test_an_asterisk_that_was_restarted_gets_the_same_again() -> None:
    key = PhoneKey(OWN)
    key.found(KEY)
    assert key.found("") == KEY


def test_two_services_that_start_together_agree() -> None:
    one, two = PhoneKey(OWN), PhoneKey(OWN[::-1])
    asterisk = one.found("") or ""
    assert two.found("") != asterisk  # it had read before the first one wrote, and writes after it
    asterisk = two.found("") or ""
    assert one.found(asterisk) is None
    assert one.fits(asterisk)
    assert two.fits(asterisk)


def test_forged_events_have_it_read_once_a_second() -> None:
    key = PhoneKey(OWN)
    assert key.look_due(10.0)
    assert not key.look_due(10.0 + AGAIN_S / 2)
    assert key.look_due(10.0 + AGAIN_S)

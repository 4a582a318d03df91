"""Findings from a trial of the audio's way."""

from typing import Any

import pytest

from ariagent.audio.format import SLIN24
from ariagent.check.ari import Answer
from ariagent.check.report import Status
from ariagent.check.trial import Heard

YES = Answer(200, {}, {})
NO = Answer(500, {"message": "An internal error prevented this request from being handled"}, {})
PLACE = "10.0.0.5:9092"


def heard(answer: Answer = YES, **found: Any) -> Heard:
    return Heard(PLACE, SLIN24, answer, found.pop("took_s", 0.01), **found)


def test_audio_that_comes() -> None:
    result = heard(connect_ms=2.34, silence=YES, audio=True).result
    assert (result.status, result.figures) == (Status.OK, {"connect_ms": 2.3})
    assert result.found == f"Asterisk connects to {PLACE} in 2 ms and sends audio (slin/24000)"


@pytest.mark.parametrize(("took_s", "how"), [(0.01, "at once"), (2.04, "within 2.0 s")])
def test_an_asterisk_that_cannot_connect(took_s: float, how: str) -> None:
    result = heard(NO, took_s=took_s).result
    assert result.status is Status.FAILED
    assert result.found.startswith(f"Asterisk cannot connect to {PLACE} (it gave up {how}: HTTP 500 An internal error")
    assert "audiosocket.advertise" in result.remedy


def test_one_that_is_not_allowed_to() -> None:
    result = heard(refused=("not_allowed",)).result
    assert result.found.endswith("from an address that is not in audiosocket.allowed")
    assert result.remedy == "Add Asterisk's network to audiosocket.allowed"


def test_one_that_reaches_another_program() -> None:
    result = heard().result
    assert (result.status, result.found) == (Status.FAILED, f"Asterisk connects to {PLACE}, but not to ariagent")


def test_one_whose_audio_does_not_come() -> None:
    result = heard(connect_ms=1.0, silence=Answer(409, {"message": "not in Stasis"}, {})).result
    assert result.status is Status.FAILED
    assert result.found == f"Asterisk connects to {PLACE}, but no audio comes (HTTP 409 not in Stasis)"

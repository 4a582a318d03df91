"""A channel that is given back to the dialplan, with an Asterisk that refuses or does not answer."""

import time
from pathlib import Path

import pytest

from ariagent.ari.client import ConflictError, RefusedError
from ariagent.ari.events import Place
from ariagent.call.dialplan import PAUSES_S, give_back
from ariagent.errors import AriError
from ariagent.termination import Result
from tests.call.incall import Office
from tests.call.virtualtime import virtual_time

REFUSED = RefusedError("HTTP 500")


@virtual_time
async def test_the_dialplan_is_told_and_goes_on(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        office.ari.names |= {"c1": "PJSIP/c1", "c2": "PJSIP/c2"}
        await give_back(office.ari, "c1", Result.PERSON)
        await give_back(office.ari, "c2", Result.DONE, Place("internal", "100", 3))
        assert office.ari.results == {"c1": "person", "c2": "done"}
        assert office.ari.went == {"c1": None, "c2": Place("internal", "100", 3)}
        assert office.ari.peer.requests == ["set c1", "continue c1", "set c2", "continue c2"]


@virtual_time
async def test_one_that_is_gone_is_fine(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        await give_back(office.ari, "c1", Result.ERROR)
        assert office.ari.peer.requests == ["set c1"]


@virtual_time
async def test_going_on_matters_more_than_saying_why(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        office.ari.names["c1"] = "PJSIP/c1"
        office.ari.peer.refused["set c1"] = REFUSED
        await give_back(office.ari, "c1", Result.ERROR)
        assert office.ari.results == {"c1": ""}


@pytest.mark.parametrize("refusal", [REFUSED, AriError("no answer")])
@virtual_time
async def test_is_tried_again_after_each_pause_then_told(refusal: AriError, tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        office.ari.names["c1"] = "PJSIP/c1"
        office.ari.peer.refused["continue c1"] = refusal
        began = time.monotonic()
        with pytest.raises(AriError) as caught:
            await give_back(office.ari, "c1", Result.ERROR)
        assert caught.value is refusal
        assert time.monotonic() - began == pytest.approx(sum(PAUSES_S), abs=0.1)
        assert office.ari.peer.requests.count("continue c1") == len(PAUSES_S) + 1


@virtual_time
async def test_one_that_is_not_in_stasis_yet_is_waited_for_and_one_that_left_is_fine(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        office.ari.names["c1"] = "PJSIP/c1"
        office.ari.peer.refused["continue c1"] = ConflictError("HTTP 409")
        await give_back(office.ari, "c1", Result.ERROR)
        assert office.ari.peer.requests.count("continue c1") == len(PAUSES_S) + 1

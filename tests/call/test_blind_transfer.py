"""Requests to Asterisk for a transfer, and the one limit for all of them."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ariagent.ari.client import RefusedError
from ariagent.ari.events import Channel, Place
from ariagent.call.arrival import Arrival
from ariagent.call.blind_transfer import UnansweredError, first_half, to_human_queue, transfer
from ariagent.call.machine import TRANSFER_TIMEOUT_S
from ariagent.call.variables import LIMIT_S
from ariagent.dialogue.handoff import Handoff
from ariagent.errors import AmiRefusedError, AsteriskError
from tests.call.incall import Office
from tests.call.virtualtime import passes, virtual_time

DIRECT = Arrival(Channel("c1", "PJSIP/c1", "Up"), None, None)
SEAT = Arrival(Channel("s1", "Local/03@seat-1;2", "Up"), None, "03")
FIRST = "Local/03@seat-1;1"


def handoff(office: Office, **changes: Any) -> Handoff:
    return replace(office.handoff("blind", by="model"), **changes)


async def move(office: Office, arrival: Arrival, **changes: Any) -> None:
    office.ari.names[arrival.channel.id] = arrival.channel.name
    office.ari.variables["s1", "ARIAGENT_CALLER"] = "PJSIP/caller-1"
    await transfer(office.context, arrival, arrival.channel.id, handoff(office, **changes), {"__A": "1", "__B": "2"})


@virtual_time
async def test_a_direct_caller_goes_on_in_the_dialplan_with_the_variables_set(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        await move(office, DIRECT)
        assert office.ari.went == {"c1": Place("ariagent-handoff", "support", 1)}
        assert {name: office.ari.variables["c1", name] for name in ("__A", "__B")} == {"__A": "1", "__B": "2"}
        assert office.ari.peer.requests[-1] == "continue c1"


@virtual_time
async def test_a_seats_caller_is_transferred_by_the_half_that_they_talk_with(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        await move(office, SEAT)
        assert first_half(SEAT) == FIRST
        actions = [(each["Action"], each["Channel"]) for each in office.ami.sent]
        assert actions == [
            ("Getvar", FIRST),
            ("Setvar", "PJSIP/caller-1"),
            ("Setvar", "PJSIP/caller-1"),
            ("BlindTransfer", FIRST),
        ]


@virtual_time
async def test_variables_that_cannot_be_set_matter_less_than_the_transfer(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        office.ami.peer.refused["Setvar"] = AmiRefusedError("no such channel")
        await move(office, SEAT)
        assert office.ami.sent[-1]["Action"] == "BlindTransfer"


@virtual_time
async def test_but_not_where_they_say_whom_the_caller_joins(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        office.ami.peer.refused["Setvar"] = AmiRefusedError("no such channel")
        with pytest.raises(AmiRefusedError):
            await move(office, SEAT, joins="Local/x;1")
        assert "BlindTransfer" not in [each["Action"] for each in office.ami.sent]


@virtual_time
async def test_a_caller_whom_a_human_agent_put_through_takes_the_seats_ways_back_along(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        action = office.ami.action

        async def bridged(name: str, /, **fields: Any) -> dict[str, str]:
            found = await action(name, **fields)
            return {"value": "PJSIP/eve-1"} if name == "Getvar" else found

        office.ami.action = bridged  # type: ignore[method-assign]
        office.ari.variables["s1", "ARIAGENT_QUEUE"] = "ai"
        office.ari.variables["s1", "ARIAGENT_HUMAN_QUEUE"] = "sales"
        await move(office, SEAT)
        told = {each["Variable"]: each["Value"] for each in office.ami.sent if each["Action"] == "Setvar"}
        assert {each["Channel"] for each in office.ami.sent if each["Action"] == "Setvar"} == {"PJSIP/eve-1"}
        assert {
            "__A": "1",
            "__B": "2",
            "__ARIAGENT_QUEUE": "ai",
            "__ARIAGENT_HUMAN_QUEUE": "sales",
        }.items() <= told.items()


@virtual_time
async def test_without_the_manager_interface_a_seats_caller_stays(tmp_path: Path) -> None:
    async with Office(tmp_path, ami=False) as office:
        with pytest.raises(AsteriskError, match="manager interface"):
            await move(office, SEAT)
        assert not await to_human_queue(office.context, SEAT, "s1")


@virtual_time
async def test_only_one_whose_last_request_is_not_answered_may_still_be_made(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        office.ami.peer.takes_s["BlindTransfer"] = 1e3
        with pytest.raises(UnansweredError):
            await move(office, SEAT)
        office.ari.peer.takes_s["set"] = 1e3
        with pytest.raises(AsteriskError) as unset:
            await move(office, DIRECT)
        office.ami._logged_in.clear()  # the connection is lost
        with pytest.raises(AsteriskError, match="not connected") as unconnected:
            await move(office, SEAT)
        assert not any(isinstance(each.value, UnansweredError) for each in (unset, unconnected))


@virtual_time
async def test_what_asterisk_refuses_is_raised(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        office.ari.peer.refused["continue"] = RefusedError("HTTP 500")
        with pytest.raises(RefusedError):
            await move(office, DIRECT)


@pytest.mark.parametrize("arrival", [DIRECT, SEAT], ids=["direct", "seat"])
@pytest.mark.parametrize("takes_s", [4.999, 1e3])
@virtual_time
async def test_all_requests_together_have_one_limit(arrival: Arrival, takes_s: float, tmp_path: Path) -> None:
    """Each has one of 5 s of its own, and there are up to four, one after another."""
    async with Office(tmp_path) as office:
        for peer in (office.ari.peer, office.ami.peer):
            peer.takes_s["*"] = takes_s
        began = time.monotonic()
        slow = arrival is SEAT and takes_s < 5.0
        if arrival is DIRECT and takes_s < 5.0:
            await move(office, arrival)
        else:
            with pytest.raises(AsteriskError, match="in time" if slow else "did not answer"):
                await move(office, arrival)
        assert time.monotonic() - began <= TRANSFER_TIMEOUT_S + 0.001
        assert not slow or time.monotonic() - began == pytest.approx(TRANSFER_TIMEOUT_S)


@virtual_time
async def test_to_people_says_whether_asterisk_took_them(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        office.ari.names["s1"] = SEAT.channel.name
        assert await to_human_queue(office.context, SEAT, "s1")
        assert office.ami.sent[-1]["Context"] == "ariagent-human"
        await passes(1.0)
        # The ways back are not worth a long silence.
        office.ari.names["s1"] = SEAT.channel.name
        office.ari.peer.takes_s["*"] = 1e3
        began = time.monotonic()
        assert await to_human_queue(office.context, SEAT, "s1")
        assert time.monotonic() - began < LIMIT_S + 0.1
        office.ami.peer.refused["BlindTransfer"] = AmiRefusedError("no such channel")
        assert not await to_human_queue(office.context, SEAT, "s1")

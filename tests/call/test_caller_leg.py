"""The caller's channel, from Stasis to where it continues."""

import logging
import time
from pathlib import Path

import pytest

from ariagent.ari.client import RefusedError
from ariagent.ari.events import Channel, Place
from ariagent.call.arrival import Arrival
from ariagent.call.caller_leg import REPLACED_S, CallerLeg
from ariagent.call.events import FallbackRequested
from ariagent.call.machine import State
from ariagent.call.recorded_calls import interrupted_calls
from ariagent.call.takeover import InterruptedCall
from ariagent.logs import CallLog
from ariagent.records.events import LegReplaced, NotHungUp, NotReturned
from ariagent.termination import Result
from tests.call.incall import Office
from tests.call.virtualtime import passes, virtual_time

REFUSED = RefusedError("HTTP 500")


class Leg:
    """A leg, and what it says Asterisk did not let go."""

    def __init__(self, office: Office, *, seat: str | None = None) -> None:
        self.kept: list[str] = []
        office.ari.names["c1"] = "PJSIP/c1"
        arrival = Arrival(Channel("c1", "PJSIP/c1", "Up", context="direct", extension="100", priority=2), None, seat)
        log = CallLog(logging.getLogger("ariagent.test"), "c1")
        self.leg = CallerLeg(office.ari, arrival, log, self._not_given_back)

    def _not_given_back(self, event: NotReturned | NotHungUp) -> None:
        self.kept.append(event.NAME)


@virtual_time
async def test_goes_on_behind_stasis(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        await Leg(office).leg.give_back(Result.PERSON)
        assert (office.ari.results, office.ari.went) == ({"c1": "person"}, {"c1": None})


@virtual_time
async def test_one_that_took_anothers_place_goes_on_where_the_first_one_would_have(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        one = Leg(office)
        office.ari.names["c2"] = "Local/_attended@transfer-1;2"
        one.leg.follow("c2")
        await one.leg.give_back(Result.ERROR)
        assert office.ari.went == {"c2": Place("direct", "100", 3)}


@pytest.mark.parametrize("replaced_again", [False, True])
@virtual_time
async def test_also_in_a_call_that_another_process_has_served_since(replaced_again: bool, tmp_path: Path) -> None:
    """A human agent called the AI directly and transferred a caller to it, attended; then the service died."""
    place = Place("direct", "7001", 3)
    async with Office(tmp_path) as office:
        office.ari.names["c2"] = "Local/_attended@transfer-1;2"
        now = time.time()
        record = InterruptedCall("1.1", began=now, answered=now, last_at=now, leg="c2", place=place, agent="default")
        await office.registry.take_over([record])
        (call,) = office.registry.calls
        await office.until(lambda: call.state is State.TALKING)
        if replaced_again:
            await office.joined(call, "c3")
            assert [fields["place"] for fields in office.events(LegReplaced.NAME)] == ["direct,7001,3"]
        call.feed(FallbackRequested("caller_pressed_person"))
        await office.over(call)
        assert office.ari.went == {"c3" if replaced_again else "c2": place}


@virtual_time
async def test_a_call_whose_record_is_lost_has_a_whole_one_from_then_on(tmp_path: Path) -> None:
    """The process before died before it had written anything down, or another database is in its place."""
    async with Office(tmp_path, records=True) as office:
        office.ari.names["c2"] = "PJSIP/c2"
        now = time.time()
        unknown = InterruptedCall("", began=now, answered=now, last_at=now, leg="c2", agent="default")
        await office.registry.take_over([unknown])
        (call,) = office.registry.calls
        await office.until(lambda: call.state is State.TALKING)
        await office.silent(call)
        assert office.context.journal.close()
        (found,) = interrupted_calls(office.settings)
        assert (found.agent, found.caller) == ("default", call.arrival.channel.caller_number)
        memory = found.memory(time.time())
        assert memory is not None
        assert memory.entries


@pytest.mark.parametrize("in_stasis", [True, False])
@virtual_time
async def test_a_replaced_channel_that_stays_in_stasis_is_hung_up_after_a_while(
    in_stasis: bool, tmp_path: Path
) -> None:
    async with Office(tmp_path) as office:
        one = Leg(office)
        office.ari.variables["c1", "CHANNEL(appname)"] = "Stasis" if in_stasis else "Dial"
        one.leg.follow("c2")
        await passes(REPLACED_S - 0.1)
        assert office.ari.peer.requests == []
        await passes(0.2)
        assert ("hang_up c1" in office.ari.peer.requests) == in_stasis


@virtual_time
async def test_or_at_once_when_the_call_is_over(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        one = Leg(office)
        office.ari.variables["c1", "CHANNEL(appname)"] = "Stasis"
        one.leg.follow("c2")
        await one.leg.release()
        assert "hang_up c1" in office.ari.peer.requests


@virtual_time
async def test_what_asterisk_does_not_let_go_is_told(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        one = Leg(office)
        office.ari.peer.refused |= {"continue c1": REFUSED, "hang_up c1": REFUSED}
        await one.leg.give_back(Result.ERROR)
        await one.leg.hang_up()
        assert one.kept == ["call.return_failed", "call.hangup_failed"]
        office.ari.peer.refused.clear()
        await one.leg.hang_up()
        await passes(0.1)
        await one.leg.hang_up()  # it is gone
        assert len(one.kept) == 2


@virtual_time
async def test_is_gone_only_where_asterisk_says_so(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        one = Leg(office)
        assert await one.leg.exists()
        office.ari.peer.refused["name c1"] = REFUSED
        assert await one.leg.exists()
        office.ari.peer.refused.clear()
        del office.ari.names["c1"]
        assert not await one.leg.exists()


@pytest.mark.parametrize(("seat", "answered"), [("03", True), (None, False)])
@virtual_time
async def test_only_a_seat_answers_to_break_off(seat: str | None, answered: bool, tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        one = Leg(office, seat=seat)
        await one.leg.break_off()
        assert office.ari.peer.requests == (["answer c1"] if answered else [])
        office.ari.peer.refused["answer c1"] = REFUSED
        await one.leg.break_off()
        assert one.kept == []

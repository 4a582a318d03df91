"""Whoever talks with the agent transfers it: to another agent, to an echo, into a queue, to a phone. Whole calls.

What Asterisk makes of each kind of transfer is in ``tests/integration/test_refer.py``; here is what follows from it.
"""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ariagent.ami.events import BlindTransferred
from ariagent.call.call import Call
from ariagent.call.far_end import CALLING_LIMIT_S, CALLING_LOOK_S, CONFIRM_S, FIRST_LOOK_S, LOOK_S, twin
from ariagent.call.machine import State
from ariagent.termination import Result, Termination
from tests.call.incall import Office, assert_nothing_left
from tests.call.virtualtime import passes, virtual_time

BOTH_WAYS = pytest.mark.parametrize("leg", ["c1", "s1"], ids=["direct", "seat"])
AWAY = Termination(Result.DONE, "transferred_away")
SOON_S = FIRST_LOOK_S + CONFIRM_S + 1.0
BESIDE = "Local/600@ariagent-internal-00000001;2"
"""The channel that Asterisk puts in the place of a direct caller who transfers the agent."""


class Moved:
    """A call whose agent was transferred by the caller; ``far``: the other end of its leg."""

    def __init__(self, office: Office, call: Call) -> None:
        self.office = office
        self.call = call
        self.far = ""

    @classmethod
    async def of(cls, office: Office, leg: str) -> "Moved":
        return cls(office, await office.answered(leg))

    def blind(self) -> None:
        """The caller transfers the agent, and has left. What is at the other end now is told by ``is_in`` before."""
        office, call = self.office, self.call
        if call.arrival.seat is None:
            office.ari.names["c9"] = BESIDE
            office.ari.tell("StasisStart", "c9", args=[], channel={"state": "Up"}, replace_channel={"id": call.leg})
            office.ari.leaves("c1")
        else:
            office.registry.transferred(BlindTransferred("Success", "PJSIP/a", self.half, "1.1", "default", "600"))

    @property
    def half(self) -> str:
        """The other half of the leg that the call has behind the transfer."""
        return twin(self.call.arrival.channel.name) or twin(BESIDE)

    def is_in(self, application: str = "", *, peers: str = "", state: str = "Up") -> None:
        """The other end, as Asterisk has it."""
        ari, half = self.office.ari, self.half
        ari.names["half"] = half
        ari.variables |= {
            (half, "BRIDGEPEER"): peers,
            (half, "CHANNEL(appname)"): application,
            (half, "CHANNEL(state)"): state,
        }

    async def ends(self) -> None:
        assert await self.office.over(self.call, SOON_S) == AWAY
        self.office.ari.names.pop("half", None)
        assert_nothing_left(self.office, self.call)


@BOTH_WAYS
@pytest.mark.parametrize("application", ["Echo", "Queue", "MusicOnHold"])
@virtual_time
async def test_to_something_that_is_no_person(application: str, leg: str, tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        one = await Moved.of(office, leg)
        one.is_in(application)
        one.blind()
        await one.ends()


def _by_linked_id(office: Office, first: Call, channel_id: str) -> None:
    office.ari.variables[channel_id, "CHANNEL(linkedid)"] = first.call_id


def _by_a_linked_id_of_later(office: Office, first: Call, channel_id: str) -> None:
    first._far_end.linked.add("7.7")
    office.ari.variables[channel_id, "CHANNEL(linkedid)"] = "7.7"


@BOTH_WAYS
@pytest.mark.parametrize("target", ["c2", "s2"], ids=["to a direct agent", "to a seat"])
@pytest.mark.parametrize("related", [_by_linked_id, _by_a_linked_id_of_later])
@virtual_time
async def test_two_agents_never_talk_with_each_other(
    related: Callable[[Office, Call, str], None], target: str, leg: str, tmp_path: Path
) -> None:
    async with Office(tmp_path) as office:
        one = await Moved.of(office, leg)
        related(office, one.call, target)
        second = office.enter_seat(target) if target == "s2" else office.enter(target, "default")
        assert second is not None
        assert await office.over(second) == Termination(Result.BUSY, "own_call")
        assert len(office.events("call.own_call_refused")) == 1
        assert f"hang_up {target}" in office.ari.peer.requests
        assert len(office.events("call.answered")) == 1
        one.is_in()
        one.blind()
        assert await office.over(one.call, SOON_S) == AWAY


@BOTH_WAYS
@virtual_time
async def test_an_agent_of_another_call_is_no_own_call(leg: str, tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        await Moved.of(office, leg)
        second = await office.answered("c2")
        assert second.state is State.TALKING


@BOTH_WAYS
@virtual_time
async def test_two_agents_joined(leg: str, tmp_path: Path) -> None:
    """Behind the Local channels is the other agent's audio, or the first one's again, and no telephone."""
    async with Office(tmp_path) as office:
        one = await Moved.of(office, leg)
        other = "Local/07@ariagent-seat-9;1"
        office.ari.names["other"] = other
        office.ari.names["other-half"] = twin(other)
        office.ari.variables[twin(other), "BRIDGEPEER"] = "AudioSocket/127.0.0.1:9092-2"
        one.is_in(peers=other)
        one.blind()
        assert await office.over(one.call, SOON_S) == AWAY
        # The rest of the chain is ended, too.
        await passes(0.1)
        assert {"other", "other-half"}.isdisjoint(office.ari.names)


@BOTH_WAYS
@virtual_time
async def test_a_person_may_have_the_agent_and_transfers_it_again(leg: str, tmp_path: Path) -> None:
    async with Office(tmp_path, agent={"silence": None}) as office:
        one = await Moved.of(office, leg)
        one.is_in(peers="PJSIP/1002-00000001")
        one.blind()
        await passes(3 * LOOK_S)
        assert one.call.state is State.TALKING
        one.is_in("Echo")
        assert await office.over(one.call, LOOK_S + SOON_S) == AWAY


@BOTH_WAYS
@virtual_time
async def test_a_phone_that_nobody_answers_rings_so_long_and_no_longer(leg: str, tmp_path: Path) -> None:
    async with Office(tmp_path, agent={"silence": None}) as office:
        one = await Moved.of(office, leg)
        one.is_in("AppDial", state="Ringing")
        one.blind()
        began = time.monotonic()
        assert await office.over(one.call) == AWAY
        rang_s = time.monotonic() - began
        assert CALLING_LIMIT_S <= rang_s <= CALLING_LIMIT_S + CALLING_LOOK_S + FIRST_LOOK_S


@BOTH_WAYS
@virtual_time
async def test_a_phone_that_is_answered_in_time_has_the_agent(leg: str, tmp_path: Path) -> None:
    async with Office(tmp_path, agent={"silence": None}) as office:
        one = await Moved.of(office, leg)
        one.is_in("AppDial", state="Ringing")
        one.blind()
        await passes(CALLING_LIMIT_S - CALLING_LOOK_S)
        one.is_in(peers="PJSIP/1002-00000001")
        await passes(2 * CALLING_LIMIT_S)
        assert one.call.state is State.TALKING


@BOTH_WAYS
@virtual_time
async def test_a_transfer_counts_as_a_call(leg: str, tmp_path: Path) -> None:
    async with Office(tmp_path, caps={"calls_per_caller_per_hour": 2}) as office:
        one = await Moved.of(office, leg)
        one.is_in("Echo")
        one.blind()
        await one.ends()
        late = office.enter("c3", "default")
        assert late is not None
        assert await office.over(late) == Termination(Result.BUSY, "caller_often")


@virtual_time
async def test_a_phone_that_does_not_hang_up_after_its_transfer_is_hung_up(tmp_path: Path) -> None:
    """Asterisk would keep its channel in Stasis, where nobody counts it."""
    async with Office(tmp_path) as office:
        one = await Moved.of(office, "c1")
        office.ari.variables["c1", "CHANNEL(appname)"] = "Stasis"
        one.is_in(peers="PJSIP/1002-00000001")
        office.ari.names["c9"] = BESIDE
        office.ari.tell("StasisStart", "c9", args=[], channel={"state": "Up"}, replace_channel={"id": "c1"})
        await passes(5.0)
        assert "c1" not in office.ari.names
        assert one.call.state is State.TALKING, "the agent talks with the person"

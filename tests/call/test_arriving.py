"""Steps before a call is served: its id, its record, the caps, its agent."""

import logging
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from ariagent.ari.client import NotFoundError
from ariagent.ari.events import Channel
from ariagent.call.arrival import OWN_CALL, Arrival, ArrivingCall
from ariagent.dialogue.memory import Memory
from ariagent.errors import TurnedAwayError, UnknownAgentError
from ariagent.logs import CallLog
from ariagent.metrics import NO_AGENT
from tests.call.incall import Office
from tests.call.virtualtime import virtual_time


def reception(
    office: Office, *, agent: str | None = "default", number: str = "5551000", own: bool = False, **variables: str
) -> ArrivingCall:
    office.ari.names["c1"] = "PJSIP/c1"
    named = {"linked": "CHANNEL(linkedid)", "pres": "CALLERID(num-pres)", "before": "ARIAGENT_CALL"}
    for name, value in variables.items():
        office.ari.variables["c1", named[name]] = value
    arrival = Arrival(Channel("c1", "PJSIP/c1", "Ring", number, "Eve"), agent, None)
    log = CallLog(logging.getLogger("ariagent.test"), "c1")
    return ArrivingCall(office.context, arrival, log, lambda linked_id, name: own)


def started(office: Office) -> dict[str, Any]:
    (fields,) = office.events("call.started")
    return fields


@virtual_time
async def test_the_call_is_known_by_the_linked_id_and_gets_its_agent(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        one = reception(office, linked="9.9")
        assert (one.call_id, one.agent, one.role) == ("c1", NO_AGENT, None)
        role = await one.receive(uuid4())
        assert one.role is role
        assert (one.call_id, one.agent, role.name) == ("9.9", "default", "default")
        assert (role.facts.caller_number, role.facts.caller_name) == ("5551000", "Eve")
        assert {name: started(office)[name] for name in ("call", "leg", "agent", "seat", "caller")} == {
            "call": "9.9",
            "leg": "c1",
            "agent": "default",
            "seat": "-",
            "caller": "5551000",
        }


@virtual_time
async def test_a_withheld_number_is_nobodys(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        one = reception(office, pres="prohib_passed_screen")
        role = await one.receive(uuid4())
        assert (role.facts.caller_number, role.facts.caller_name) == ("", "")
        assert started(office)["caller"] == "-"
        assert one.arrival.channel.caller_number == ""


@virtual_time
async def test_an_agent_that_the_settings_do_not_have(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        one = reception(office, agent="nobody")
        with pytest.raises(UnknownAgentError):
            await one.receive(uuid4())
        assert started(office)["agent"] == "nobody"
        assert one.agent == NO_AGENT
        one.leave()


@virtual_time
async def test_a_call_of_our_own_is_refused(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        with pytest.raises(TurnedAwayError) as caught:
            await reception(office, own=True).receive(uuid4())
        assert caught.value.reason == OWN_CALL
        assert len(office.events("call.own_call_refused")) == 1


@virtual_time
async def test_what_it_takes_of_the_caps_is_given_back_once(tmp_path: Path) -> None:
    async with Office(tmp_path, agent={"max_calls": 1}) as office:
        first = reception(office)
        await first.receive(uuid4())
        for _ in range(2):
            with pytest.raises(TurnedAwayError) as caught:
                await reception(office).receive(uuid4())
            assert caught.value.reason == "agent_full"
        first.leave()
        first.leave()
        await reception(office).receive(uuid4())


@virtual_time
async def test_a_caller_who_comes_back_from_human_agents_was_let_in_before(tmp_path: Path) -> None:
    async with Office(tmp_path, agent={"max_calls": 1}) as office:
        await reception(office).receive(uuid4())
        memory = Memory((), "humans", "5551000")
        office.context.memories.keep("8.8", memory, 1000.0)
        role = await reception(office, before="8.8", linked="8.8").receive(uuid4())
        assert role.memory is memory


@virtual_time
async def test_a_transfer_of_the_agent_counts_as_a_call(tmp_path: Path) -> None:
    async with Office(tmp_path, caps={"calls_per_caller_per_hour": 2}) as office:
        one = reception(office)
        await one.receive(uuid4())
        one.count()
        with pytest.raises(TurnedAwayError) as caught:
            await reception(office).receive(uuid4())
        assert caught.value.reason == "caller_often"


@virtual_time
async def test_a_caller_who_is_gone_is_told(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        one = reception(office)
        office.ari.names.clear()
        with pytest.raises(NotFoundError):
            await one.receive(uuid4())
        assert office.events("call.started") == []
        one.leave()

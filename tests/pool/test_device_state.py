"""The device state that says whether the seats take calls, against an Asterisk in memory."""

import asyncio
from typing import Any

import pytest

from ariagent.errors import AriError
from ariagent.pool import device_state as device_state_module
from ariagent.pool.device_state import CLOSED, OPEN, SeatDeviceState
from lab.waiting import until

LIMIT_S = 10.0
NAME = "Custom:desk"


class States:
    """Asterisk's device states. ``broken``: it does not answer; ``deaf``: it has no DEVICE_STATE function."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}
        self.sets: list[str] = []
        self.broken = self.deaf = False

    async def device_state(self, name: str) -> str:
        await asyncio.sleep(0)
        if self.broken:
            raise AriError("no answer")
        return self.kept.get(name, "UNKNOWN")

    async def set_device_state(self, name: str, state: str) -> None:
        await asyncio.sleep(0)
        if self.broken:
            raise AriError("no answer")
        self.sets.append(state)
        if not self.deaf:
            self.kept[name] = state


class House:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(device_state_module, "LOOK_S", 0.01)
        monkeypatch.setattr(device_state_module, "AGAIN_S", 0.01)
        self.states = States()
        self.device_state = SeatDeviceState(self.states, "desk")

    async def __aenter__(self) -> "House":
        self._running = asyncio.create_task(self.device_state.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._running.cancel()
        await asyncio.wait([self._running])

    async def shows(self, state: str) -> None:
        await until(lambda: self.states.kept.get(NAME) == state, state, limit_s=LIMIT_S)

    async def settled(self) -> None:
        await asyncio.wait_for(self.device_state.settled.wait(), LIMIT_S)


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> House:
    return House(monkeypatch)


async def test_the_state_has_the_applications_name_and_is_set_once_for_each_change(house: House) -> None:
    async with house:
        assert house.states.kept == {}
        for wanted in (True, True, False, True):
            house.device_state.want(wanted)
            await house.settled()
            assert house.device_state.open is wanted
    assert house.states.kept == {NAME: OPEN}
    assert house.states.sets == [OPEN, CLOSED, OPEN]


async def test_what_a_former_process_left_is_taken_over(house: House, caplog: Any) -> None:
    caplog.set_level("INFO")
    house.states.kept[NAME] = OPEN
    async with house:
        house.device_state.want(True)
        await house.settled()
    assert house.states.sets == []
    assert [record.message for record in caplog.records] == ["seats.opened"]


async def test_what_the_dialplan_closed_is_opened_again(house: House) -> None:
    async with house:
        house.device_state.want(True)
        await house.settled()
        house.states.kept[NAME] = CLOSED
        await house.shows(OPEN)


async def test_an_asterisk_that_does_not_answer_is_asked_again_and_told_once(house: House, caplog: Any) -> None:
    caplog.set_level("INFO")
    house.states.broken = True
    async with house:
        house.device_state.want(True)
        await until(lambda: caplog.records, "a warning", limit_s=LIMIT_S)
        assert not house.device_state.open
        house.states.broken = False
        await house.settled()
    assert [record.message for record in caplog.records] == ["seats.state_not_set", "seats.opened"]


async def test_an_asterisk_without_the_function_is_said_with_the_remedy(house: House, caplog: Any) -> None:
    house.states.deaf = True
    async with house:
        house.device_state.want(True)
        await until(lambda: caplog.records, "a warning", limit_s=LIMIT_S)
    (record,) = caplog.records
    assert record.fields["cause"] == "Asterisk keeps Custom:desk at UNKNOWN, not NOT_INUSE"
    assert record.fields["remedy"] == "Load func_devstate.so"
    assert not house.device_state.settled.is_set()


async def test_the_end_closes_it_whether_or_not_it_runs(house: House) -> None:
    house.states.kept[NAME] = OPEN
    await house.device_state.leave()
    assert house.states.kept == {NAME: CLOSED}


async def test_the_end_does_not_wait_for_an_asterisk_that_hangs(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_state_module, "LEAVE_LIMIT_S", 0.05)

    async def hang(name: str) -> str:
        await asyncio.Event().wait()
        return name

    monkeypatch.setattr(house.states, "device_state", hang)
    await asyncio.wait_for(house.device_state.leave(), LIMIT_S)

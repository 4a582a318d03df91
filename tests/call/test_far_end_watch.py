"""When a call that nobody is left in ends: with channels as Asterisk has them, at literal times."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ariagent.ari.client import RefusedError
from ariagent.call.far_end import CONFIRM_S, FIRST_LOOK_S, LOOK_S
from ariagent.call.far_end_watch import FarEndWatch
from ariagent.errors import AriError
from tests.call.incall import Office
from tests.call.virtualtime import passes, virtual_time

LEG, HALF = "Local/03@ariagent-seat-1;2", "Local/03@ariagent-seat-1;1"


class Watching:
    """The watch of one call's far end. ``ends``: what the call answers when nobody is there."""

    def __init__(self, office: Office, *, name: str = LEG, polls: bool = False, moved: bool = False) -> None:
        self.alone: list[float] = []
        self.ends = True
        self.began = time.monotonic()
        office.ari.names |= {"leg": LEG, "half": HALF}
        self.watch = FarEndWatch(office.ari, name, alone=self._alone, polls=polls, moved=moved)
        self.task = asyncio.ensure_future(self.watch.run())

    def _alone(self) -> bool:
        self.alone.append(round(time.monotonic() - self.began, 1))
        return self.ends


@asynccontextmanager
async def watching(folder: Path, *, peers: str = "", **options: bool | str) -> AsyncIterator[tuple[Office, Watching]]:
    async with Office(folder) as office:
        office.ari.variables[HALF, "BRIDGEPEER"] = peers
        office.ari.variables[HALF, "CHANNEL(appname)"] = "Echo"
        one = Watching(office, **options)  # type: ignore[arg-type]
        try:
            yield office, one
        finally:
            one.task.cancel()


@virtual_time
async def test_a_call_that_was_not_transferred_is_not_looked_at(tmp_path: Path) -> None:
    async with watching(tmp_path) as (office, one):
        await passes(3600.0)
        assert (one.alone, office.ari.peer.requests) == ([], [])


@virtual_time
async def test_a_transferred_one_ends_when_nobody_was_there_twice(tmp_path: Path) -> None:
    async with watching(tmp_path, moved=True) as (_, one):
        await passes(FIRST_LOOK_S + CONFIRM_S + 0.2)
        assert one.alone == [FIRST_LOOK_S + CONFIRM_S]
        assert one.task.done()


@virtual_time
async def test_is_asked_again_each_second_while_the_call_does_not_end(tmp_path: Path) -> None:
    async with watching(tmp_path, moved=True) as (_, one):
        one.ends = False
        await passes(4.0)
        assert len(one.alone) == 3
        assert not one.task.done()


@virtual_time
async def test_with_somebody_there_it_goes_on_and_is_looked_at_now_and_then(tmp_path: Path) -> None:
    async with watching(tmp_path, peers="PJSIP/eve-1", moved=True) as (office, one):
        office.ari.variables[LEG, "CHANNEL(linkedid)"] = "7.7"
        await passes(3 * LOOK_S)
        assert one.alone == []
        assert one.watch.linked == {"7.7"}
        office.ari.variables[HALF, "BRIDGEPEER"] = ""
        await passes(LOOK_S + CONFIRM_S + 0.5)
        assert len(one.alone) == 1


@virtual_time
async def test_a_new_transfer_is_looked_at_at_once(tmp_path: Path) -> None:
    async with watching(tmp_path, peers="PJSIP/eve-1", moved=True) as (office, one):
        await passes(FIRST_LOOK_S + 1.0)
        office.ari.variables[HALF, "BRIDGEPEER"] = ""
        one.watch.moved()
        await passes(FIRST_LOOK_S + CONFIRM_S + 0.2)
        assert len(one.alone) == 1


@virtual_time
async def test_without_the_manager_interface_a_seat_is_looked_at_all_the_same(tmp_path: Path) -> None:
    async with watching(tmp_path, polls=True) as (_, one):
        await passes(LOOK_S + CONFIRM_S + 0.5)
        assert one.alone == [LOOK_S + CONFIRM_S]


@virtual_time
async def test_a_telephone_is_nobody_to_look_for(tmp_path: Path) -> None:
    async with watching(tmp_path, name="PJSIP/c1", polls=True, moved=True) as (office, one):
        await passes(60.0)
        assert (one.alone, office.ari.peer.requests) == ([], [])


@virtual_time
async def test_an_asterisk_that_does_not_answer_says_nothing(tmp_path: Path) -> None:
    async with watching(tmp_path, moved=True) as (office, one):
        office.ari.peer.refused["get"] = AriError("no answer")
        await passes(3 * LOOK_S)
        assert one.alone == []
        office.ari.peer.refused["get"] = RefusedError("no such channel")  # which is nobody
        await passes(LOOK_S + CONFIRM_S + 0.5)
        assert len(one.alone) == 1


@virtual_time
async def test_a_ring_of_local_channels_behind_it_is_hung_up(tmp_path: Path) -> None:
    async with watching(tmp_path, peers="Local/_attended@x-9;1", moved=True) as (office, _):
        office.ari.names |= {"a": "Local/_attended@x-9;1", "b": "Local/_attended@x-9;2"}
        office.ari.variables["Local/_attended@x-9;2", "BRIDGEPEER"] = HALF
        await passes(3.0)
        assert set(office.ari.names) == {"leg", "half"}


@pytest.mark.parametrize(
    ("name", "blind"),
    [("Local/100@internal-2;2", True), ("Local/_attended@transfer-2;2", False), ("PJSIP/eve-2", False)],
)
@virtual_time
async def test_tells_a_blind_transfer_from_an_attended_one(name: str, blind: bool, tmp_path: Path) -> None:
    async with watching(tmp_path) as (_, one):
        assert one.watch.follow(name) is blind
        assert one.watch.name == name

"""Detection of machines on a consult leg: a machine does not get the caller, a human agent does."""

import time
from pathlib import Path

import numpy as np
import pytest

from tests.call.incall import Office
from tests.call.test_warm_transfer import REFUSED, Desk
from tests.call.virtualtime import passes, virtual_time


def tone(*parts: tuple[float, float]) -> list[bytes]:
    """20 ms frames at 8 kHz of these: frequency (Hz; 0: silence) and seconds."""
    pieces = [4000 * np.sin(2 * np.pi * hz * np.arange(round(8000 * s)) / 8000) for hz, s in parts]
    pcm = np.concatenate(pieces).astype("<i2").tobytes()
    return [pcm[n : n + 320] for n in range(0, len(pcm), 320)]


@pytest.mark.parametrize(
    ("machine", "parts"),
    [
        ("voicemail", [(1000.0, 0.4)]),
        ("voicemail", [(0.0, 1.3), (440.0, 1.0)]),
        ("fax", [(2100.0, 2.6)]),
        ("fax", [(1100.0, 0.5), (0.0, 3.0)]),
    ],
)
@pytest.mark.parametrize("accept", ["1", None])
@virtual_time
async def test_a_machine_is_hung_up_and_the_caller_stays(
    accept: str | None, machine: str, parts: list[tuple[float, float]], tmp_path: Path
) -> None:
    async with Office(tmp_path) as office:
        desk = Desk(office, accept=accept)
        office.ari.sound_lasts_s = 10.0
        desk.begin()
        line = await desk.ear()
        line.sounds.extend(tone(*parts))
        began = time.monotonic()
        assert await desk.ended() == "MACHINE"
        assert time.monotonic() - began < 6.0, "it does not wait for the announcement's end"
        assert [fields["machine"] for fields in office.events("consult.machine_answered")] == [machine]
        assert [fields["why"] for fields in office.events("consult.dropped")] == ["MACHINE"]
        await passes(0.1)
        assert (desk.legs, desk.listens) == ([], [])


@virtual_time
async def test_whoever_pressed_the_key_is_a_person_whatever_sounds_there(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        desk = Desk(office, accept="1")
        office.ari.sound_lasts_s = 8.0
        desk.begin()
        line = await desk.ear()
        await passes(1.0)
        office.ari.tell("ChannelDtmfReceived", desk.legs[0], digit="1")
        await passes(1.0)
        line.sounds.extend(tone((0.0, 0.5), (1000.0, 0.4), (0.0, 1.0)))
        assert await desk.ended() == ""
        office.ari.names.clear()


@pytest.mark.parametrize("slow", ["destroy", "hangup"])
@virtual_time
async def test_a_human_agent_gets_the_caller_before_what_listened_is_given_back(slow: str, tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        desk = Desk(office)
        desk.begin()
        await desk.ear()
        await passes(1.0)
        office.ari.peer.takes_s[slow] = 5.0
        began = time.monotonic()
        assert await desk.ended() == ""
        assert time.monotonic() - began < office.ari.sound_lasts_s + 0.5
        await passes(20.0)
        assert desk.listens == []
        office.ari.names.clear()


@virtual_time
async def test_an_ear_that_is_cut_off_is_told(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        desk = Desk(office)
        desk.begin()
        await desk.ear()
        assert office.events("consult.audio_unavailable") == []
        leg = desk.warm._leg
        assert leg is not None
        assert leg.ear is not None
        leg.ear.disconnected("peer_error")
        assert len(office.events("consult.audio_unavailable")) == 1
        assert await desk.ended() == ""
        office.ari.names.clear()


@virtual_time
async def test_a_beep_while_the_key_is_waited_for(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        desk = Desk(office, accept="1")
        desk.begin()
        await passes(2.0 + office.ari.sound_lasts_s + 1.0)
        (await desk.ear()).sounds.extend(tone((1000.0, 0.4)))
        assert await desk.ended() == "MACHINE"


@virtual_time
async def test_a_person_and_what_is_left_of_the_listening_when_they_have_the_caller(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        desk = Desk(office)
        desk.begin()
        line = await desk.ear()
        line.speaks(1.0)
        assert desk.warm.owns(desk.listens[0]), "it is not left over"
        assert await desk.ended() == ""
        await passes(0.1)
        assert desk.listens == []
        assert line.over
        office.ari.names.clear()


@virtual_time
async def test_where_machines_are_ignored_nobody_listens(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        desk = Desk(office, machines="ignore")
        desk.begin()
        assert await desk.ended() == ""
        assert not any(request.startswith("snoop") for request in office.ari.peer.requests)


@pytest.mark.parametrize("request_", ["snoop", "bridge", "media"])
@virtual_time
async def test_where_asterisk_cannot_listen_a_person_still_gets_the_caller(request_: str, tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        desk = Desk(office)
        office.ari.peer.refused[request_] = REFUSED
        desk.begin()
        assert await desk.ended() == ""
        assert len(office.events("consult.audio_unavailable")) == 1
        await passes(15.0)
        assert desk.listens == []


@pytest.mark.parametrize("after_s", [2.0, 2.001, 2.003, 2.006, 3.0])
@virtual_time
async def test_is_cancelled_at_any_moment_of_beginning_to_listen(after_s: float, tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        desk = Desk(office)
        desk.begin()
        await passes(after_s)
        desk.warm.cancel()
        await desk.warm.end("CANCELLED")
        await passes(30.0)
        assert (desk.legs, desk.listens) == ([], [])
        assert office.events("consult.audio_unavailable") == []

"""The media channel and its bridge: made by preset ids, and given back whatever became of a request."""

import asyncio
import time
from pathlib import Path

import pytest

from ariagent.ari.client import NotFoundError, RefusedError
from ariagent.call.media_leg import AUDIO_HERE_S, LATE_PAUSES_S, MEDIA_TIMEOUT_S, MediaLeg, NoAudioError
from ariagent.errors import AriError
from tests.call.incall import Office
from tests.call.virtualtime import passes, virtual_time

REFUSED = RefusedError("HTTP 500")


class Leg:
    """A media leg whose channel's events reach it, and whose audio comes (or does not)."""

    def __init__(self, office: Office, *, audio: bool = True) -> None:
        office.ari.names["c1"] = "PJSIP/c1"
        self.media = MediaLeg(office.ari)
        office.router.register(self.media.channel, lambda event: self.media.entered())
        if audio:
            self.media.connected.set()

    def connect(self) -> "asyncio.Task[bool]":
        return asyncio.ensure_future(self.media.connect("c1", address="127.0.0.1:9092", rate_hz=24_000))


@virtual_time
async def test_bridges_the_caller_once_the_audio_is_here(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        one = Leg(office)
        assert await one.connect()
        requests = office.ari.peer.requests
        assert sorted(requests[:2]) == [f"bridge {one.media.bridge}", f"media {one.media.channel}"]
        assert requests[2:] == ["join c1", f"join {one.media.channel}"]
        assert await one.media.release() == []
        await passes(0.1)
        assert (office.ari.bridges, list(office.ari.names)) == (set(), ["c1"])


@virtual_time
async def test_audio_that_does_not_come_to_us_is_of_no_call(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        began = time.monotonic()
        with pytest.raises(NoAudioError, match="not to ariagent"):
            await Leg(office, audio=False).connect()
        assert time.monotonic() - began == pytest.approx(AUDIO_HERE_S, abs=0.1)


@virtual_time
async def test_a_channel_that_asterisk_refuses_is_of_no_call_either(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        office.ari.peer.refused["media"] = REFUSED
        with pytest.raises(NoAudioError) as caught:
            await Leg(office).connect()
        assert "advertise" in caught.value.remedy


@pytest.mark.parametrize("refusal", [REFUSED, AriError("no answer"), NotFoundError("HTTP 404")])
@virtual_time
async def test_a_bridge_that_cannot_be_made_is_this_calls(refusal: AriError, tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        office.ari.peer.refused["bridge"] = refusal
        with pytest.raises(AriError) as caught:
            await Leg(office).connect()
        assert caught.value is refusal


@virtual_time
async def test_a_channel_that_does_not_enter_is_waited_for_until_the_limit(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        one = Leg(office)
        office.router.register(one.media.channel, lambda event: None)
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            await one.connect()
        assert time.monotonic() - began == pytest.approx(MEDIA_TIMEOUT_S)


@virtual_time
async def test_is_given_up_at_once(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        one = Leg(office)
        office.router.register(one.media.channel, lambda event: None)
        connecting = one.connect()
        await passes(0.5)
        one.media.give_up()
        assert await connecting is False
        assert "join c1" not in office.ari.peer.requests


@virtual_time
async def test_a_caller_is_put_into_the_bridge_anew_with_one_request(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        one = Leg(office)
        await one.connect()
        before = len(office.ari.peer.requests)
        await one.media.rejoin("c1")
        assert office.ari.peer.requests[before:] == ["join c1"]


@virtual_time
async def test_what_asterisk_refuses_to_give_back_is_told(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        one = Leg(office)
        await one.connect()
        office.ari.peer.refused["destroy"] = REFUSED
        assert await one.media.release() == [REFUSED]


@virtual_time
async def test_a_bridge_that_comes_late_is_destroyed(tmp_path: Path) -> None:
    """Nobody heard an answer to the request, and Asterisk carries it out seconds later."""
    async with Office(tmp_path) as office:
        one = Leg(office)
        office.ari.peer.takes_s["bridge"] = 1e3
        with pytest.raises(AriError):
            await one.connect()
        releasing = asyncio.ensure_future(one.media.release())
        await passes(LATE_PAUSES_S[0] + 1.0)
        office.ari.bridges.add(one.media.bridge)
        await releasing
        assert office.ari.bridges == set()

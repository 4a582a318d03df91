"""The consult leg of a warm transfer: found, announced, joined or given up. Whole ones are in ``test_call``."""

import logging
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from ariagent.ari.client import NotFoundError, RefusedError
from ariagent.audio.rates import ModelCodec
from ariagent.call.announcement import Announcement
from ariagent.call.warm_transfer import (
    ACCEPT_ASKS,
    ACCEPT_WAIT_S,
    ANNOUNCEMENT_LIMIT_S,
    ANNOUNCEMENT_WAIT_S,
    LATE_S,
    STATUS,
    WarmTransfer,
)
from ariagent.config.handoff import DestinationSettings
from ariagent.dialogue.handoff import Handoff
from ariagent.dialogue.notes import announcement_instructions, not_found_note
from ariagent.errors import AsteriskError
from ariagent.logs import CallLog
from ariagent.realtime.events import OutOfBandEnded, Usage
from tests.call.incall import PROMPT_S, WARM_PREFIX, Line, Office
from tests.call.virtualtime import passes, virtual_time

TIMEOUT_S = 20.0
REFUSED = RefusedError("HTTP 500")


class Desk:
    """A warm transfer for the caller ``c1``, and what it tells its call."""

    def __init__(self, office: Office, **changes: Any) -> None:
        self.office = office
        self.told: list[tuple[str, ...]] = []
        self.faults: list[Exception] = []
        office.ari.names["c1"] = "PJSIP/c1"
        place = office.settings.destinations["warm"].model_copy(update=changes)
        self.handoff = Handoff("warm", place, "model")
        log = CallLog(logging.getLogger("ariagent.test"), "c1")
        self.warm = WarmTransfer(
            office.context,
            log,
            changed=lambda: self.told.append(("changed",)),
            answered=lambda: self.told.append(("answered",)),
            ended=lambda handoff, why, channel: self.told.append(("ended", handoff.name, why, channel)),
            fault=self.faults.append,
            not_given_back=log.tell,
        )
        codec = ModelCodec(office.context.format, "pcm")
        self.announcement = Announcement(office.context.announcements, codec, self.handoff)

    def begin(self, *, spoken: bool = True, answers_s: float | None = 2.0) -> None:
        self.office.ari.human_answers_s = answers_s
        if spoken:
            self.announcement.spoken(OutOfBandEnded(self.announcement.key, bytes(48_000), "", Usage()))
        self.warm.begin(
            self.handoff,
            self.announcement,
            caller_leg="c1",
            shown=("Eve", "5551000"),
            variables={"__ARIAGENT_CALL": "c1", "ARIAGENT_TIMEOUT": "20"},
        )

    async def ended(self) -> str:
        """Why it came to nothing; empty: it did not."""
        await self.office.until(lambda: any(each[0] == "ended" for each in self.told))
        (end,) = [each for each in self.told if each[0] == "ended"]
        return end[2]

    @property
    def working(self) -> bool:
        """One is under way, or has not been cleared away yet."""
        return self.warm._task is not None and not self.warm._task.done()

    @property
    def legs(self) -> list[str]:
        """The consult legs that there are."""
        names = self.office.ari.names
        return [channel for channel in names if channel.startswith(WARM_PREFIX) and not channel.endswith("-ear")]

    @property
    def listens(self) -> list[str]:
        """Resources in Asterisk, the router and the audio server for listening to a consult leg."""
        office = self.office
        known = [*office.ari.names, *office.ari.bridges, *office.router._sinks, *map(str, office.media._expected)]
        return [name for name in known if name not in ("c1", *self.legs)]

    async def ear(self) -> Line:
        """The audio connection by which the consult leg is heard."""
        await self.office.until(lambda: self.office.lines)
        (line,) = self.office.lines.values()
        return line


@virtual_time
async def test_somebody_answers_hears_the_announcement_and_can_be_joined(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        desk, began = Desk(office), time.monotonic()
        desk.begin()
        assert (desk.warm.in_progress, desk.working) == (True, True)
        assert await desk.ended() == ""
        assert time.monotonic() - began == pytest.approx(2.0 + office.ari.sound_lasts_s, abs=0.1)
        assert desk.told[0] == ("changed",)
        assert ("answered",) in desk.told
        assert desk.told[-1] == ("ended", "warm", "", "Local/support@ariagent-warm/n;1")
        (leg,) = desk.legs
        assert desk.warm.owns(leg)
        queue_call = desk.warm.join()
        assert queue_call.startswith("warm-")
        assert desk.warm.owns(queue_call)
        # It is the caller's now: the end of the call is not its end.
        office.ari.joins(office.ari.names[leg])
        await desk.warm.end("ENDED")
        assert desk.legs == [leg]
        assert not desk.warm.in_progress
        office.ari.names.clear()


@virtual_time
async def test_a_join_that_fails_hangs_up_on_the_human_agent(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        desk = Desk(office)
        desk.begin()
        await desk.ended()
        desk.warm.join()
        await desk.warm.end("FAILED")
        await passes(0.1)
        assert desk.legs == []


@virtual_time
async def test_a_human_agent_who_is_gone_again_cannot_be_joined(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        desk = Desk(office)
        with pytest.raises(AsteriskError, match="hung up again"):
            desk.warm.join()
        desk.begin()
        await desk.ended()
        (leg,) = desk.legs
        office.ari.leaves(leg)
        with pytest.raises(AsteriskError, match="hung up again"):
            desk.warm.join()


@pytest.mark.parametrize(("status", "why"), [("", "NOANSWER"), ("FULL", "FULL")])
@virtual_time
async def test_nobody_answers_in_the_queue_and_it_says_why(status: str, why: str, tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        desk = Desk(office)
        office.ari.variables["c1", STATUS] = status
        desk.begin(answers_s=None)
        assert await desk.ended() == why
        assert desk.legs == []


@virtual_time
async def test_nobody_answers_at_an_extension(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        desk = Desk(office, queue=None, extension="1001")
        desk.begin(answers_s=None)
        assert await desk.ended() == "NOANSWER"
        assert "originate Local/1001@ariagent-internal/n" in office.ari.peer.requests


@virtual_time
async def test_a_dialplan_that_does_not_give_up_is_given_up(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        desk, began = Desk(office), time.monotonic()
        desk.begin(answers_s=1e3)
        assert await desk.ended() == "TIMEOUT"
        assert time.monotonic() - began == pytest.approx(TIMEOUT_S + LATE_S, abs=0.1)
        await passes(0.1)
        assert desk.legs == []


@pytest.mark.parametrize("request_", ["originate", "name c1"])
@virtual_time
async def test_what_asterisk_refuses(request_: str, tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        desk = Desk(office)
        office.ari.peer.refused[request_] = REFUSED
        desk.begin()
        assert await desk.ended() == "FAILED"
        assert desk.legs == []


@pytest.mark.parametrize("key", ["1", "2", ""])
@virtual_time
async def test_without_an_announcement_the_caller_is_joined_only_if_the_key_is_pressed(
    key: str, tmp_path: Path
) -> None:
    async with Office(tmp_path) as office:
        desk, began = Desk(office), time.monotonic()
        office.ari.human_presses = key
        desk.begin(spoken=False)
        assert await desk.ended() == ("" if key == "1" else "UNHEARD")
        asked_s = PROMPT_S / 2 if key == "1" else ACCEPT_ASKS * ACCEPT_WAIT_S
        assert time.monotonic() - began == pytest.approx(2.0 + ANNOUNCEMENT_WAIT_S + asked_s, abs=0.1)
        assert len(office.events("announcement.not_spoken")) == 1
        assert not desk.warm.announcement_failed
        # The prompt for the key ends when the caller is there.
        assert any(request.startswith("stop ") for request in office.ari.peer.requests) == (key == "1")
        await passes(0.1)
        assert len(desk.legs) == (key == "1")


@pytest.mark.parametrize("key", ["1", ""])
@pytest.mark.parametrize("refused", [True, False])
@virtual_time
async def test_one_that_asterisk_cannot_play_is_known_and_needs_the_key(
    refused: bool, key: str, tmp_path: Path
) -> None:
    async with Office(tmp_path) as office:
        desk = Desk(office)
        office.ari.human_presses = key
        if refused:
            office.ari.peer.refused["play"] = REFUSED
        office.ari.sound_lasts_s = 0.0
        desk.begin()
        assert await desk.ended() == ("" if key else "UNHEARD")
        assert desk.warm.announcement_failed == bool(key)
        assert len(office.events("announcement.failed")) == 1
        assert not office.context.announcements.playable
        failed = office.metrics.registry.get_sample_value(
            "ariagent_transfers_total", {"kind": "warm", "result": "failed"}
        )
        assert failed == (None if key else 1)


@virtual_time
async def test_one_whose_end_is_not_told_is_waited_for_until_the_limit_and_then_the_key(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        desk, began = Desk(office), time.monotonic()
        office.ari.sound_lasts_s = 1e3
        office.ari.human_presses = "1"
        desk.begin()
        assert await desk.ended() == ""
        assert time.monotonic() - began == pytest.approx(2.0 + ANNOUNCEMENT_LIMIT_S + PROMPT_S / 2, abs=0.1)


@virtual_time
async def test_without_its_own_words_for_the_key_asterisk_still_takes_it(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        desk = Desk(office, accept="5")
        office.ari.peer.refused["say"] = REFUSED
        desk.begin()
        await passes(2.0 + office.ari.sound_lasts_s + 1.0)
        (leg,) = desk.legs
        office.ari.tell("ChannelDtmfReceived", leg, digit="5")
        assert await desk.ended() == ""


@virtual_time
async def test_a_human_agent_who_hangs_up_during_it_is_gone(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        desk = Desk(office)
        desk.begin()
        await passes(4.0)
        (leg,) = desk.legs
        office.ari.leaves(leg)
        assert await desk.ended() == "GONE"


@pytest.mark.parametrize("after_s", [0.0, 0.0005, 1.0, 4.0])
@virtual_time
async def test_is_cancelled_at_any_moment(after_s: float, tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        desk = Desk(office)
        desk.begin()
        await passes(after_s)
        desk.warm.cancel()
        await office.until(lambda: not desk.working)
        await passes(30.0)
        assert desk.legs == []
        assert not desk.warm.in_progress
        assert [each for each in desk.told if each[0] == "ended"] == []


@virtual_time
async def test_a_leg_that_is_gone_already_is_fine_and_one_that_stays_is_told(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        desk = Desk(office)
        for refusal in (NotFoundError("HTTP 404"), REFUSED):
            office.ari.peer.refused["hang_up"] = refusal
            desk.begin()
            await passes(0.5)
            await desk.warm.end("CANCELLED")
            assert len(office.events("call.release_failed")) == (refusal is REFUSED)


@virtual_time
async def test_a_fault_is_handed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Office(tmp_path) as office:
        desk = Desk(office)
        fault = ZeroDivisionError("a bug of ours")

        def boom(played: bool | None) -> None:
            raise fault

        monkeypatch.setattr(office.context.announcements, "tried", boom)
        desk.begin()
        await office.until(lambda: desk.faults)
        assert desk.faults == [fault]
        await office.until(lambda: not desk.legs)


@virtual_time
async def test_another_one_begins_when_the_former_is_hung_up(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        desk = Desk(office)
        desk.begin(answers_s=60.0)
        await passes(1.0)
        (former,) = desk.legs
        office.ari.peer.takes_s["hang_up"] = 2.0
        desk.warm.cancel()
        assert (desk.warm.in_progress, desk.working) == (False, True)
        desk.begin(answers_s=2.0)
        assert desk.warm.in_progress
        await passes(1.0)
        assert desk.legs == [former]
        assert await desk.ended() == ""
        (leg,) = desk.legs
        assert leg != former
        assert desk.warm.owns(leg)
        await desk.warm.end("CANCELLED")
        await passes(0.1)
        assert desk.legs == []


@virtual_time
async def test_one_that_is_cancelled_behind_another_never_begins(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        desk = Desk(office)
        desk.begin(answers_s=60.0)
        await passes(1.0)
        desk.warm.cancel()
        desk.begin()
        await passes(0.0)
        await desk.warm.end("CANCELLED")
        await passes(0.1)
        assert desk.legs == []
        assert len([each for each in office.ari.peer.requests if each.startswith("originate")]) == 1


class TestKey:
    """Where whoever answers takes the call by a key, a machine that answers never gets it."""

    @staticmethod
    async def answered(office: Office, **changes: Any) -> Desk:
        """Somebody has answered, and hears the announcement."""
        desk = Desk(office, accept="1", **changes)
        desk.begin()
        await office.until(lambda: any(each.startswith("play ") for each in office.ari.peer.requests))
        return desk

    @staticmethod
    async def presses(desk: Desk, keys: str) -> None:
        (leg,) = desk.legs
        for digit in keys:
            desk.office.ari.tell("ChannelDtmfReceived", leg, digit=digit)
            await passes(0.2)

    @pytest.mark.parametrize("hears_s", [1.0, 5.0])
    @virtual_time
    async def test_takes_the_call_during_the_announcement_and_after_it(self, hears_s: float, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            desk = await self.answered(office)
            await passes(hears_s)
            assert ("answered",) not in desk.told
            await self.presses(desk, "1")
            assert await desk.ended() == ""
            assert ("answered",) in desk.told
            assert len(desk.legs) == 1

    @pytest.mark.parametrize("keys", ["", "2", "23#"])
    @virtual_time
    async def test_nothing_else_does(self, keys: str, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            desk, began = await self.answered(office), time.monotonic()
            await passes(office.ari.sound_lasts_s)
            await self.presses(desk, keys)
            assert await desk.ended() == "NOTACCEPTED"
            waited_s = time.monotonic() - began
            asked_s = ACCEPT_ASKS * ACCEPT_WAIT_S
            assert waited_s == pytest.approx(office.ari.sound_lasts_s + asked_s, abs=0.5)
            assert ("answered",) not in desk.told
            await passes(0.1)
            assert desk.legs == []

    @pytest.mark.parametrize("keys", ["", "1"])
    @virtual_time
    async def test_whoever_hangs_up_does_not_take_it(self, keys: str, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            desk = await self.answered(office)
            await self.presses(desk, keys)
            office.ari.leaves(desk.legs[0])
            assert await desk.ended() == "GONE"

    @virtual_time
    async def test_nor_one_who_hangs_up_as_they_press_it(self, tmp_path: Path) -> None:
        async with Office(tmp_path) as office:
            desk = await self.answered(office)
            await passes(office.ari.sound_lasts_s + 1.0)
            (leg,) = desk.legs
            office.ari.tell("ChannelDtmfReceived", leg, digit="1")
            office.ari.leaves(leg)
            assert await desk.ended() == "GONE"

    @pytest.mark.parametrize("accept", ["5", None])
    @pytest.mark.parametrize("spoken", [True, False])
    @pytest.mark.parametrize("presses", ["", "the key", "9"])
    @virtual_time
    async def test_is_asked_for_three_times_of_whoever_could_not_hear_the_announcement(
        self, presses: str, spoken: bool, accept: str | None, tmp_path: Path
    ) -> None:
        key = accept or "1"
        async with Office(tmp_path) as office:
            desk = Desk(office, accept=accept, machines="ignore")
            office.ari.sound_lasts_s = 0.0
            office.ari.human_presses = key if presses == "the key" else presses
            desk.begin(spoken=spoken)
            assert await desk.ended() == ("" if presses == "the key" else "UNHEARD")
            assert office.ari.prompts == [f"vm-press {key}"] * (1 if presses == "the key" else 3)
            await passes(0.1)
            assert len(desk.legs) == (presses == "the key")
            office.ari.names.clear()

    def test_who_could_not_hear_it_and_did_not_press_is_told_to_the_model(self) -> None:
        assert "could not be told" in not_found_note("desk", "UNHEARD")

    @pytest.mark.parametrize("summary", ["", "Ann asks for a refund."])
    def test_is_named_in_the_announcement(self, summary: str) -> None:
        place = DestinationSettings(description="human agents", queue="support", kind="warm", accept="5")
        words, _ = announcement_instructions(Handoff("desk", place, "model", summary=summary), "en")
        assert "pressing 5 takes the call" in words

    def test_that_is_not_pressed_is_told_to_the_model(self) -> None:
        assert "the human agent who answered did not take the call" in not_found_note("desk", "NOTACCEPTED")

    @pytest.mark.parametrize(("kind", "accept"), [("blind", "1"), ("briefed", ""), ("warm", "12"), ("warm", "a")])
    def test_settings_allow_one_key_for_a_warm_transfer(self, kind: Any, accept: str) -> None:
        with pytest.raises(ValidationError):
            DestinationSettings(description="human agents", queue="support", kind=kind, accept=accept)

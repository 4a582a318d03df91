"""Warm transfers that a human agent takes by a key, in memory: a scripted Asterisk, and nothing that waits."""

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from ariagent.ari import events as ari
from ariagent.ari.client import NotFoundError
from ariagent.call import warm_transfer
from ariagent.call.warm_transfer import WarmTransfer
from ariagent.config.handoff import DestinationSettings
from ariagent.dialogue.handoff import Handoff
from ariagent.dialogue.notes import announcement_instructions, not_found_note
from ariagent.logs import CallLog

LIMIT_S = 20.0


class Asterisk:
    """Answers the consult leg; what happens when the announcement is played is the test's."""

    def __init__(self, *during: str, after: str = "", plays: bool = True) -> None:
        self.during, self.after, self.plays = during, after, plays
        self.hung_up: list[str] = []
        self.on_ari: Any = None
        self.asked: list[str] = []

    def register(self, channel: str, on_ari: Any) -> None:
        self.channel, self.on_ari = channel, on_ari

    def unregister(self, channel: str) -> None:
        self.on_ari = None

    async def channel_name(self, channel: str) -> str:
        return "PJSIP/caller-1"

    async def originate(self, channel: str, **given: Any) -> None:
        self.on_ari(ari.StasisStarted(SimpleNamespace(id=channel, name="Local/x;1"), ()))  # type: ignore[arg-type]

    async def play(self, channel: str, playback: str, sound: str, digits: str = "") -> None:
        if digits:
            self.asked.append(f"{sound} {digits}")
            return
        self.press(*self.during)
        self.on_ari(ari.PlaybackEnded(channel, playback, failed=not self.plays))
        self.press(*self.after)

    async def stop_playing(self, playback: str) -> None:
        raise NotFoundError("HTTP 404")

    def press(self, *digits: str) -> None:
        for digit in digits:
            if digit == "!":
                self.on_ari(ari.ChannelDestroyed(self.channel, 16))
            else:
                self.on_ari(ari.DigitReceived(self.channel, digit))

    async def hang_up(self, channel: str) -> None:
        self.hung_up.append(channel)


class PressesWhenAsked(Asterisk):
    """A human agent who hears nothing but Asterisk's own words."""

    def __init__(self, key: str) -> None:
        super().__init__(plays=False)
        self.key = key

    async def play(self, channel: str, playback: str, sound: str, digits: str = "") -> None:
        await super().play(channel, playback, sound, digits)
        if digits:
            self.press(self.key)


async def outcome(asterisk: Asterisk, accept: str | None = "1", *, spoken: bool = True) -> tuple[str, bool]:
    """Why the transfer came to nothing ("": it did not), and whether the caller was told of the human agent.

    ``spoken``: the model has spoken the announcement.
    """
    place = DestinationSettings(description="people", queue="support", kind="warm", accept=accept, machines="ignore")
    announcements = SimpleNamespace(tried=lambda ok: None, failed=lambda log: None)
    counter = SimpleNamespace(labels=lambda *labels: SimpleNamespace(inc=lambda: None))
    metrics = SimpleNamespace(transfers=counter)
    context = SimpleNamespace(ari=asterisk, router=asterisk, announcements=announcements, metrics=metrics)
    ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    told: list[bool] = []

    async def written(limit_s: float) -> bool:
        return spoken

    transfer = WarmTransfer(
        context,  # type: ignore[arg-type]
        CallLog(logging.getLogger("test"), "c1"),
        changed=lambda: None,
        answered=lambda: told.append(True),
        ended=lambda handoff, why, name: ended.set_result(why),
        fault=ended.set_exception,
    )
    announcement: Any = SimpleNamespace(written=written, path="/brief")
    handoff = Handoff("desk", place, "model")
    transfer.begin(handoff, announcement, caller_leg="leg", shown=("", "100"), variables={})
    async with asyncio.timeout(LIMIT_S):
        return await ended, bool(told)


async def test_the_key_takes_the_call() -> None:
    asterisk = Asterisk(after="1")
    assert await outcome(asterisk) == ("", True)
    assert asterisk.hung_up == []


async def test_also_while_the_summary_is_being_heard() -> None:
    assert await outcome(Asterisk("1")) == ("", True)


@pytest.mark.parametrize("keys", ["", "2", "23#"])
async def test_a_machine_never_gets_the_caller(monkeypatch: pytest.MonkeyPatch, keys: str) -> None:
    monkeypatch.setattr(warm_transfer, "ACCEPT_WAIT_S", 0.0)
    asterisk = Asterisk(after=keys)
    assert await outcome(asterisk) == ("NOTACCEPTED", False)
    assert asterisk.hung_up == [asterisk.channel]
    assert "whoever answered did not take the call" in not_found_note("desk", "NOTACCEPTED")


@pytest.mark.parametrize("keys", ["!", "1!"])
async def test_one_who_hangs_up_does_not(keys: str) -> None:
    assert (await outcome(Asterisk(after=keys)))[0] == "GONE"


@pytest.mark.parametrize("accept", ["5", None])
@pytest.mark.parametrize("spoken", [True, False])
async def test_who_could_not_hear_the_announcement_gets_the_caller_by_the_key_only(
    spoken: bool, accept: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm_transfer, "ACCEPT_WAIT_S", 0.0)
    key = accept or "1"
    asterisk = Asterisk(plays=False)
    assert (await outcome(asterisk, accept, spoken=spoken))[0] == "UNHEARD"
    assert asterisk.asked == [f"vm-press {key}"] * 3
    assert asterisk.hung_up == [asterisk.channel]
    assert "could not be told" in not_found_note("desk", "UNHEARD")
    assert (await outcome(PressesWhenAsked(key), accept, spoken=spoken))[0] == ""
    assert (await outcome(PressesWhenAsked("9"), accept, spoken=spoken))[0] == "UNHEARD"


async def test_without_the_setting_whoever_answers_takes_it() -> None:
    assert await outcome(Asterisk(), accept=None) == ("", True)


@pytest.mark.parametrize("summary", ["", "Ann asks for a refund."])
def test_the_summary_names_the_key(summary: str) -> None:
    place = DestinationSettings(description="people", queue="support", kind="warm", accept="5")
    words, _ = announcement_instructions(Handoff("desk", place, "model", summary=summary), "en")
    assert "pressing 5 takes the call" in words


@pytest.mark.parametrize(("kind", "accept"), [("blind", "1"), ("briefed", ""), ("warm", "12"), ("warm", "a")])
def test_what_the_settings_refuse(kind: Any, accept: str) -> None:
    with pytest.raises(ValidationError):
        DestinationSettings(description="people", queue="support", kind=kind, accept=accept)

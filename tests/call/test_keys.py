"""The caller's keys: as text for the model, bound to actions, collected as a number; whole calls, in memory."""

from pathlib import Path
from typing import Any

import pytest

from ariagent.call.call import Call
from ariagent.termination import Result, Termination
from tests.call.incall import Office
from tests.call.virtualtime import passes, virtual_time

BOTH_WAYS = pytest.mark.parametrize("leg", ["c1", "s1"], ids=["direct", "seat"])
KEYPAD = {"pause_ms": 1500, "actions": {"0": "person", "*9": "end_call", "*1": "ignore"}}


def office(folder: Path, **agent: Any) -> Office:
    return Office(folder, agent={"keypad": KEYPAD, "handoff": [], **agent})


async def answered(office: Office, leg: str = "c1") -> Call:
    return await office.answered(leg)


async def press(office: Office, call: Call, digits: str) -> None:
    """Quickly, one after another. Asterisk tells of each by its event and on the audio connection."""
    for digit in digits:
        office.ari.tell("ChannelDtmfReceived", call.leg, digit=digit)
        office.line(call).endpoint.digit_received(digit)
        await passes(0.2)


def told(office: Office) -> list[str]:
    """Notes about keys that the model got."""
    texts = [
        part["text"]
        for message in office.model.session.heard
        for part in message.get("item", {}).get("content", ())
        if "text" in part
    ]
    return [text for text in texts if text.startswith("[The caller pressed")]


def pressed(*keys: str) -> list[str]:
    return [f"[The caller pressed {each} on the keypad.]" for each in keys]


def requests(office: Office) -> int:
    return [message["type"] for message in office.model.session.heard].count("response.create")


class TestText:
    @BOTH_WAYS
    @virtual_time
    async def test_a_pause_or_the_terminator_ends_it(self, leg: str, tmp_path: Path) -> None:
        async with office(tmp_path) as here:
            call = await answered(here, leg)
            asked = requests(here)
            await press(here, call, "47")
            assert told(here) == []
            await passes(1.5)
            assert told(here) == pressed("47")
            await press(here, call, "4711#")
            assert told(here) == pressed("47", "4711#")  # at once
            assert requests(here) == asked + 2
            assert [fields["count"] for fields in here.events("call.digits")] == [2, 5]
            assert "4711" not in repr(here.events("call.digits"))  # digits may be a card's

    @virtual_time
    async def test_what_is_bound_to_ignore_is_not_told(self, tmp_path: Path) -> None:
        async with office(tmp_path) as here:
            call = await answered(here)
            await press(here, call, "*1")
            await passes(3.0)
            assert told(here) == []

    @BOTH_WAYS
    @virtual_time
    async def test_a_zero_inside_a_number_brings_nobody(self, leg: str, tmp_path: Path) -> None:
        async with office(tmp_path) as here:
            call = await answered(here, leg)
            await press(here, call, "4010#")
            assert told(here) == pressed("4010#")
            assert call in here.registry.calls

    @virtual_time
    async def test_one_cuts_the_agent_off_and_the_model_knows_what_was_heard(self, tmp_path: Path) -> None:
        async with office(tmp_path) as here:
            call = await answered(here)
            here.model.session.speaks(8.0)
            item = f"item_{here.model.number}"
            await passes(2.0)
            await press(here, call, "5")
            assert not here.events("turn.interrupted")  # it may be the first of several
            await here.until(lambda: here.events("turn.interrupted"), 2.0)
            (truncated,) = [m for m in here.model.session.heard if m["type"] == "conversation.item.truncate"]
            assert truncated["item_id"] == item
            assert truncated["audio_end_ms"] == pytest.approx(3500, abs=60)
            assert told(here) == pressed("5")
            await here.silent(call)
            # The caller heard no more than that of the 8 s, and the answer behind it.
            began, ended = here.line(call).stretches[-1]
            assert ended - began == pytest.approx(3.5 + 0.4, abs=0.06)


class TestActions:
    @BOTH_WAYS
    @virtual_time
    async def test_ends_the_call(self, leg: str, tmp_path: Path) -> None:
        async with office(tmp_path) as here:
            call = await answered(here, leg)
            await press(here, call, "*9")
            assert await here.over(call) == Termination(Result.DONE, "caller_pressed_end")
            assert told(here) == []
            assert (leg in here.ari.results, f"hang_up {leg}" in here.ari.peer.requests) == (leg == "c1", leg == "s1")

    @BOTH_WAYS
    @virtual_time
    async def test_brings_a_person(self, leg: str, tmp_path: Path) -> None:
        async with office(tmp_path) as here:
            call = await answered(here, leg)
            here.ari.tell("ChannelDtmfReceived", leg, digit="0")
            await passes(2.0)
            assert await here.over(call) == Termination(Result.PERSON, "caller_pressed_person")
            assert here.ari.results == {leg: "person"}
            assert told(here) == []
            assert here.ended() == {"person/caller_pressed_person": 1}


class TestCollectedDigits:
    ASKED = {"length": 4, "timeout_s": 5, "retries": 1, "read_back": True}  # noqa: RUF012

    @BOTH_WAYS
    @virtual_time
    async def test_are_the_functions_result_whatever_else_they_are_bound_to(self, leg: str, tmp_path: Path) -> None:
        async with office(tmp_path) as here:
            call = await answered(here, leg)
            function_call = here.model.session.calls_tool("collect_digits", **self.ASKED)
            await passes(1.0)
            asked = requests(here)
            await press(here, call, "0471")
            result = here.model.session.result(function_call)
            assert result["digits"] == "0471"
            assert "Read the digits back" in result["next"]
            assert (told(here), requests(here)) == ([], asked + 1)
            assert call in here.registry.calls

    @virtual_time
    async def test_too_few_are_asked_for_again(self, tmp_path: Path) -> None:
        async with office(tmp_path) as here:
            call = await answered(here)
            wanted = {"min_length": 3, "max_length": 12, "timeout_s": 5}
            function_call = here.model.session.calls_tool("collect_digits", **wanted)
            await passes(1.0)
            asked = requests(here)
            await press(here, call, "12#")
            assert here.model.session.result(function_call) is None
            assert requests(here) == asked + 1
            await passes(1.0)
            await press(here, call, "1234*56#")
            assert here.model.session.result(function_call) == {"digits": "1234*56"}

    @virtual_time
    async def test_that_never_come_are_asked_for_again_once(self, tmp_path: Path) -> None:
        """Nobody asks whether the caller is there meanwhile."""
        async with office(tmp_path, silence={"ask_after_s": 3, "ask_again_after_s": 60}) as here:
            call = await answered(here)
            function_call = here.model.session.calls_tool("collect_digits", **self.ASKED)
            await passes(1.0)
            asked = requests(here)
            await passes(4.0)
            assert requests(here) == asked
            await passes(1.0)
            assert requests(here) == asked + 1
            await passes(4.5)
            assert here.model.session.result(function_call) is None
            await passes(1.5)
            assert "typed nothing" in here.model.session.result(function_call)["error"]
            assert requests(here) == asked + 2
            # From now on silence counts again.
            await here.silent(call)
            await passes(3.5)
            assert requests(here) == asked + 3

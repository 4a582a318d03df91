"""Callers who say nothing, who ask the agent to wait, and calls that last too long; whole calls, in memory."""

import itertools
import time
from pathlib import Path
from typing import Any

import pytest

from ariagent.call.call import Call
from ariagent.call.machine import State
from ariagent.call.takeover import InterruptedCall
from ariagent.dialogue import notes
from ariagent.termination import Result, Termination
from tests.call.incall import Office, assert_nothing_left
from tests.call.virtualtime import passes, virtual_time

BOTH_WAYS = pytest.mark.parametrize("leg", ["c1", "s1"], ids=["direct", "seat"])
SILENCE = {"ask_after_s": 10, "ask_again_after_s": 8, "goodbye_after_s": 6, "hold_on_s": 100}
NEVER = {"ask_after_s": 3000, "ask_again_after_s": 3000, "goodbye_after_s": 3000}
WORDS_S = 0.4
"""How long the model speaks when it is asked."""


def office(folder: Path, **agent: Any) -> Office:
    return Office(folder, agent={"silence": SILENCE, **agent})


async def answered(office: Office, leg: str = "c1") -> Call:
    return await office.answered(leg)


def asked(office: Office) -> list[str]:
    """Notes about silence and length that the model got, in order."""
    known = (notes.NOTE_ASK, notes.NOTE_ASK_AGAIN, notes.NOTE_GOODBYE, notes.NOTE_LENGTH)
    texts = [
        part["text"]
        for message in office.model.session.heard
        for part in message.get("item", {}).get("content", ())
        if "text" in part
    ]
    return [text for text in texts if text in known]


async def says(office: Office, call: Call, by: str) -> None:
    """The caller says something, and is answered."""
    if by == "key":
        office.ari.tell("ChannelDtmfReceived", call.leg, digit="*")
        return
    office.model.session.caller_begins()
    office.line(call).speaks(1.0)
    await passes(1.5)
    office.model.session.caller_ends("Yes?")
    office.model.session.speaks(WORDS_S)


@BOTH_WAYS
@virtual_time
async def test_is_asked_twice_and_told_goodbye(leg: str, tmp_path: Path) -> None:
    async with office(tmp_path) as here:
        call = await answered(here, leg)
        assert await here.over(call) == Termination(Result.DONE, "caller_silent")
        heard = here.line(call).stretches
        pauses = [after - before for (_, before), (after, _) in itertools.pairwise(heard)]
        assert pauses == pytest.approx([10, 8, 6], abs=0.1)
        assert asked(here) == [notes.NOTE_ASK, notes.NOTE_ASK_AGAIN, notes.NOTE_GOODBYE]
        # The goodbye was heard whole.
        assert heard[-1][1] - heard[-1][0] == pytest.approx(WORDS_S)
        assert_nothing_left(here, call)


@virtual_time
async def test_to_listen_to_a_long_reply_is_no_silence(tmp_path: Path) -> None:
    async with office(tmp_path) as here:
        await answered(here)
        here.model.session.speaks(40.0)
        await passes(49.0)
        assert asked(here) == []
        await passes(2.0)
        assert asked(here) == [notes.NOTE_ASK]


@pytest.mark.parametrize("by", ["voice", "key"])
@BOTH_WAYS
@virtual_time
async def test_who_answers_a_question_is_asked_anew_later(leg: str, by: str, tmp_path: Path) -> None:
    async with office(tmp_path) as here:
        call = await answered(here, leg)
        await here.until(lambda: len(asked(here)) == 2)
        await here.silent(call)
        await says(here, call, by)
        await passes(9.0)
        assert len(asked(here)) == 2
        await passes(6.0)
        assert asked(here)[2:] == [notes.NOTE_ASK]
        assert call.state is State.TALKING


@pytest.mark.parametrize("by", ["voice", "key"])
@BOTH_WAYS
@virtual_time
async def test_who_answers_the_goodbye_stays(leg: str, by: str, tmp_path: Path) -> None:
    async with office(tmp_path) as here:
        call = await answered(here, leg)
        await here.until(lambda: len(asked(here)) == 2)
        await passes(1.0)  # the second question is said
        here.model.script.append(lambda session: session.speaks(5.0))
        await here.until(lambda: call.state is State.SAYING_GOODBYE)
        await passes(1.0)
        await says(here, call, by)
        await here.until(lambda: here.events("turn.interrupted"), 3.0)
        await here.silent(call)
        await passes(9.0)
        assert (call.state, len(asked(here))) == (State.TALKING, 3)
        await passes(8.0)
        assert asked(here)[3:] == [notes.NOTE_ASK]


@virtual_time
async def test_who_asked_the_agent_to_wait_has_longer(tmp_path: Path) -> None:
    async with office(tmp_path) as here:
        call = await answered(here)
        requests = [m["type"] for m in here.model.session.heard].count("response.create")
        function_call = here.model.session.calls_tool("hold_on")
        await here.silent(call)
        assert here.model.session.result(function_call) is not None
        await passes(95.0)
        assert asked(here) == []
        # The function was answered, and the model not asked to continue.
        assert [m["type"] for m in here.model.session.heard].count("response.create") == requests
        await passes(6.0)
        assert asked(here) == [notes.NOTE_ASK]


@virtual_time
async def test_a_phone_on_hold_that_sends_nothing_is_not_asked(tmp_path: Path) -> None:
    async with Office(tmp_path, watchdog={"no_audio_s": 200.0}, agent={"silence": SILENCE}) as here:
        call = await answered(here)
        await here.until(lambda: len(asked(here)) == 1)
        here.ari.tell("ChannelHold", call.leg)
        here.line(call).sends = False
        await passes(190.0)
        assert (asked(here), call.state) == ([notes.NOTE_ASK], State.TALKING)
        here.ari.tell("ChannelUnhold", call.leg)
        here.line(call).sends = True
        await passes(9.0)
        assert asked(here) == [notes.NOTE_ASK]
        await passes(2.0)
        assert asked(here) == [notes.NOTE_ASK] * 2
        here.ari.tell("ChannelHold", call.leg)
        here.line(call).sends = False
        assert await here.over(call) == Termination(Result.PERSON, "no_audio")


@pytest.mark.parametrize("sends", [False, True])
@virtual_time
async def test_nor_after_another_process_has_taken_the_call_over(sends: bool, tmp_path: Path) -> None:
    """Asterisk told the first one of the hold, and does not tell again."""
    async with Office(tmp_path, watchdog={"no_audio_s": 200.0}, agent={"silence": SILENCE}) as here:
        here.ari.names["c1"] = "PJSIP/c1"
        here.ari.variables["c1", "CHANNEL(rtp,hold)"] = "1"
        now = time.time()
        left = InterruptedCall("c1", began=now, answered=now, last_at=now, leg="c1", agent="default")
        await here.registry.take_over([left])
        (call,) = here.registry.calls
        await here.until(lambda: call.media.channel in here.lines)
        here.line(call).sends = sends
        await passes(95.0 if sends else 190.0)
        assert (asked(here), call.state) == ([], State.TALKING)
        here.ari.tell("ChannelUnhold", call.leg)
        here.line(call).sends = True
        await passes(11.0)
        assert asked(here) == [notes.NOTE_ASK]


@virtual_time
async def test_a_phone_on_hold_that_sends_audio_has_the_long_wait(tmp_path: Path) -> None:
    async with office(tmp_path) as here:
        call = await answered(here)
        await here.silent(call)
        here.ari.tell("ChannelHold", call.leg)
        await passes(95.0)
        assert asked(here) == []
        await passes(6.0)
        assert asked(here) == [notes.NOTE_ASK]


@virtual_time
async def test_a_phone_that_does_not_send_silence_is_a_silent_callers(tmp_path: Path) -> None:
    async with office(tmp_path) as here:
        call = await answered(here)
        here.line(call).sends = False
        assert await here.over(call) == Termination(Result.DONE, "caller_silent")


@virtual_time
async def test_the_hold_of_a_phone_ends_with_its_part_in_the_call(tmp_path: Path) -> None:
    """A human agent has put the call on hold to transfer a caller to it, who says nothing."""
    async with office(tmp_path) as here:
        call = await answered(here)
        here.ari.tell("ChannelHold", call.leg)
        here.line(call).sends = False
        await passes(30.0)
        assert asked(here) == []
        await here.joined(call)
        await here.until(lambda: len(asked(here)) == 1, 15.0)


@BOTH_WAYS
@virtual_time
async def test_the_longest_call_is_warned_of_and_ended(leg: str, tmp_path: Path) -> None:
    async with office(tmp_path, silence=NEVER, length={"longest_s": 90, "warn_before_s": 30}) as here:
        call = await answered(here, leg)
        began = here.line(call).stretches[0][0]
        assert await here.over(call, 120.0) == Termination(Result.DONE, "too_long")
        warning, goodbye = here.line(call).stretches[1:]
        assert (warning[0] - began, goodbye[0] - began) == pytest.approx((60, 90), abs=1.0)
        assert goodbye[1] - goodbye[0] == pytest.approx(WORDS_S)
        assert asked(here) == [notes.NOTE_LENGTH]
        assert here.events("call.ended")[0]["talk_s"] > 90


@pytest.mark.parametrize("by", ["voice", "key"])
@virtual_time
async def test_to_talk_into_its_goodbye_makes_it_no_longer(by: str, tmp_path: Path) -> None:
    async with office(tmp_path, silence=NEVER, length={"longest_s": 90, "warn_before_s": 30}) as here:
        call = await answered(here)
        await passes(70.0)
        here.model.script.append(lambda session: session.speaks(5.0))
        await here.until(lambda: call.state is State.SAYING_GOODBYE, 60.0)
        await passes(1.0)
        await says(here, call, by)
        assert await here.over(call, 30.0) == Termination(Result.DONE, "too_long")

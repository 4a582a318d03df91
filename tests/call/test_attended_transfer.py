"""Who is on the line, by what Asterisk tells of channels."""

import asyncio

from ariagent.ari.events import Channel
from ariagent.call.attended_transfer import Newcomers
from ariagent.dialogue.introduction import Party

COLLEAGUE, CALLER = Party("1001", "Anna"), Party("5551000")


class Line:
    """Newcomers, and whom they had the agent meet."""

    def __init__(self) -> None:
        self.met: asyncio.Queue[Party] = asyncio.Queue()
        self.newcomers = Newcomers(COLLEAGUE, self.met.put_nowait)

    async def next(self) -> Party:
        return await asyncio.wait_for(self.met.get(), 10)


def channel(state: str, number: str = "") -> Channel:
    return Channel("leg-2", "Local/_attended@transfer-1;2", state, caller_number=number)


async def test_the_number_comes_behind_the_channel() -> None:
    line = Line()
    line.newcomers.shown(COLLEAGUE)
    line.newcomers.replaced(channel("Up"))
    line.newcomers.shown(CALLER)
    assert await line.next() == CALLER


async def test_the_channels_own_number_where_nothing_comes() -> None:
    line = Line()
    line.newcomers.shown(COLLEAGUE)
    line.newcomers.replaced(channel("Up", "5551000"))
    assert await line.next() == CALLER


async def test_whose_phone_rings_is_met_when_they_answer() -> None:
    line = Line()
    line.newcomers.replaced(channel("Down"))
    line.newcomers.shown(CALLER)
    line.newcomers.up("another")
    assert line.newcomers._timer is None
    line.newcomers.up("leg-2")
    assert await line.next() == CALLER


async def test_two_in_a_row_are_met_once() -> None:
    line = Line()
    line.newcomers.replaced(channel("Up", "1002"))
    line.newcomers.replaced(channel("Up", "5551000"))
    assert await line.next() == CALLER
    assert line.met.empty()


async def test_nobody_is_met_when_the_call_is_over() -> None:
    line = Line()
    line.newcomers.replaced(channel("Up"))
    line.newcomers.close()
    await asyncio.sleep(0)
    assert line.newcomers._timer is None
    assert line.met.empty()


class TestTalkTime:
    def test_is_one_number_without_a_swap(self) -> None:
        line = Newcomers(COLLEAGUE, lambda _: None)
        assert line.talk_s(5.0) == {"talk_s": 0}
        line.answered(10.0)
        assert line.talk_s(15.0) == {"talk_s": 5.0}

    def test_is_split_at_the_swap(self) -> None:
        line = Newcomers(COLLEAGUE, lambda _: None)
        line.answered(10.0)
        line.joined(CALLER, 12.0)
        assert line.current == CALLER
        assert line.talk_s(20.0) == {"talk_s": 10.0, "talk_colleague_s": 2.0, "talk_caller_s": 8.0}

    def test_counts_the_first_swap(self) -> None:
        line = Newcomers(COLLEAGUE, lambda _: None)
        line.answered(10.0)
        line.joined(CALLER, 12.0)
        line.joined(Party("1002"), 15.0)
        assert line.talk_s(20.0) == {"talk_s": 10.0, "talk_colleague_s": 2.0, "talk_caller_s": 8.0}

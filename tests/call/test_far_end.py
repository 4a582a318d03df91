"""The far end of a call whose leg is half of a Local channel."""

import pytest

from ariagent.call.far_end import CALLING_LIMIT_S, LONGEST_CHAIN, FarEnd, Watch, find_far_end, twin

LEG, OTHER = "Local/01@ariagent-seat-00000001;2", "Local/01@ariagent-seat-00000001;1"
PERSON = "PJSIP/1002-00000003"
CASES = {
    "a caller": ({OTHER: {"BRIDGEPEER": PERSON}}, FarEnd.PERSON),
    "one of several": ({OTHER: {"BRIDGEPEER": f"AudioSocket/1,{PERSON}"}}, FarEnd.PERSON),
    "an echo": ({OTHER: {"CHANNEL(appname)": "Echo", "CHANNEL(state)": "Up"}}, FarEnd.NOBODY),
    "music of a queue that did not answer": (
        {OTHER: {"CHANNEL(appname)": "Queue", "CHANNEL(state)": "Ring"}},
        FarEnd.NOBODY,
    ),
    "a prompt": ({OTHER: {"CHANNEL(appname)": "Playback", "CHANNEL(state)": "Up"}}, FarEnd.NOBODY),
    "a phone that rings": ({OTHER: {"CHANNEL(appname)": "Dial", "CHANNEL(state)": "Up"}}, FarEnd.RINGING),
    "before it rings": ({OTHER: {"CHANNEL(appname)": "Wait", "CHANNEL(state)": "Ring"}}, FarEnd.RINGING),
    "gone": ({}, FarEnd.NOBODY),
    "another agent": ({OTHER: {"BRIDGEPEER": "AudioSocket/127.0.0.1:9092-x"}}, FarEnd.NOBODY),
    "another agent's seat": (
        {OTHER: {"BRIDGEPEER": "Local/02@s-2;1"}, "Local/02@s-2;2": {"BRIDGEPEER": "AudioSocket/x"}},
        FarEnd.NOBODY,
    ),
    "a person behind another Local channel": (
        {OTHER: {"BRIDGEPEER": "Local/5@c-2;1"}, "Local/5@c-2;2": {"BRIDGEPEER": PERSON}},
        FarEnd.PERSON,
    ),
    "a phone that rings behind another": (
        {OTHER: {"BRIDGEPEER": "Local/5@c-2;1"}, "Local/5@c-2;2": {"CHANNEL(appname)": "Dial"}},
        FarEnd.RINGING,
    ),
    "a ring": ({OTHER: {"BRIDGEPEER": "Local/5@c-2;1"}, "Local/5@c-2;2": {"BRIDGEPEER": OTHER}}, FarEnd.NOBODY),
}


async def look(channels: dict[str, dict[str, str]], leg: str = LEG) -> FarEnd:
    async def read(name: str, variable: str) -> str:
        return channels.get(name, {}).get(variable, "")

    return await find_far_end(leg, read, set())


@pytest.mark.parametrize("name", CASES)
async def test_who_is_there(name: str) -> None:
    channels, expected = CASES[name]
    assert await look(channels) is expected


async def test_a_telephone_needs_no_look() -> None:
    assert await look({}, PERSON) is FarEnd.PERSON


async def test_a_chain_without_end() -> None:
    links = {f"Local/n@c-{n};2": {"BRIDGEPEER": f"Local/n@c-{n + 1};1"} for n in range(100)}
    seen: set[str] = set()

    async def read(name: str, variable: str) -> str:
        return links.get(name, {}).get(variable, "")

    assert await find_far_end("Local/n@c-0;1", read, seen) is FarEnd.NOBODY
    assert len(seen) <= 2 * LONGEST_CHAIN + 4


@pytest.mark.parametrize(
    ("name", "other"), [(LEG, OTHER), (OTHER, LEG), (PERSON, ""), ("Local/x", ""), ("", ""), ("PJSIP/a;1", "")]
)
def test_the_other_half(name: str, other: str) -> None:
    assert twin(name) == other


class TestWatch:
    def test_nothing_is_looked_at_before_something_happens(self) -> None:
        assert Watch().next_look is None

    def test_a_call_ends_when_two_looks_have_found_nobody(self) -> None:
        watch = Watch()
        watch.moved(100.0)
        assert watch.next_look == 100.5
        assert not watch.saw(FarEnd.NOBODY, 100.5)
        assert watch.next_look == 101.5
        assert watch.saw(FarEnd.NOBODY, 101.5)
        assert watch.saw(FarEnd.NOBODY, 102.5), "until the call is over"

    def test_a_moment_between_two_bridges_is_none(self) -> None:
        watch = Watch()
        watch.moved(100.0)
        assert not watch.saw(FarEnd.NOBODY, 100.5)
        assert not watch.saw(FarEnd.PERSON, 101.5)
        assert not watch.saw(FarEnd.NOBODY, 111.5)

    def test_a_phone_may_ring_for_a_while(self) -> None:
        watch = Watch()
        watch.moved(0.0)
        assert not watch.saw(FarEnd.RINGING, 1.0)
        assert not watch.saw(FarEnd.RINGING, CALLING_LIMIT_S)
        assert watch.saw(FarEnd.RINGING, CALLING_LIMIT_S + 1.0)

    def test_another_transfer_begins_anew(self) -> None:
        watch = Watch()
        watch.moved(0.0)
        watch.saw(FarEnd.NOBODY, 0.5)
        watch.moved(1.0)
        assert not watch.saw(FarEnd.NOBODY, 1.5)

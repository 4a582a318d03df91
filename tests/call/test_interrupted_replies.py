"""The agent is interrupted, or is not: what the caller hears, and when the model knows of it; whole calls, in memory.

When somebody interrupts is decided in ``tests/dialogue/test_interruption.py``; with a recogniser's ears, in
``tests/integration/test_interruptions.py``.
"""

import base64
from pathlib import Path
from typing import Any

import pytest

from ariagent.call.call import Call
from tests.call.incall import Office, Session
from tests.call.virtualtime import passes, virtual_time

BOTH_WAYS = pytest.mark.parametrize("leg", ["c1", "s1"], ids=["direct", "seat"])
CONFIRMS = {"interruptions": {"confirm": True}}


class Reply:
    """A reply that is generated as fast as it is told: all at once, or with the rest still to come."""

    def __init__(self, session: Session, seconds: float, *, complete: bool) -> None:
        self.session = session
        session.says("response.created", response={"id": "long", "conversation_id": "conv"})
        self.more(seconds)
        if complete:
            self.ends("completed")

    def more(self, seconds: float) -> None:
        delta = base64.b64encode(bytes(round(48_000 * seconds))).decode()
        self.session.says("response.output_audio.delta", response_id="long", item_id="story", delta=delta)

    def ends(self, status: str) -> None:
        self.session.says("response.output_audio.done", response_id="long", item_id="story")
        self.session.says("response.done", response={"id": "long", "status": status})


def kinds(messages: list[dict[str, Any]]) -> list[str]:
    return [message["type"] for message in messages]


async def speaks_over(office: Office, call: Call, seconds: float) -> None:
    """The caller makes a sound, which the server takes for speech after 200 ms."""
    office.line(call).speaks(seconds)
    await passes(0.2)
    office.model.session.caller_begins()


async def answered(office: Office, leg: str) -> Call:
    return await office.answered(leg)


@pytest.mark.parametrize("complete", [True, False], ids=["complete", "still being generated"])
@pytest.mark.parametrize("confirm", [True, False])
@BOTH_WAYS
@virtual_time
async def test_the_model_knows_what_was_heard_before_the_caller_ends_their_turn(
    leg: str, confirm: bool, complete: bool, tmp_path: Path
) -> None:
    """Otherwise it answers from a conversation in which it said everything. No message of the server's is needed."""
    agent = {"interruptions": {"confirm": confirm}, "opening": None}
    async with Office(tmp_path, agent=agent) as office:
        call = office.enter_seat(leg) if leg == "s1" else office.enter(leg, "default")
        assert call is not None
        await office.until(lambda: call.state.value == "talking")
        await passes(1.0)
        session = office.model.session
        before = len(session.heard)
        reply = Reply(session, 8.0, complete=complete)
        await passes(2.0)
        await speaks_over(office, call, 2.0)
        await office.until(lambda: office.events("turn.interrupted"), 1.0)
        told = session.heard[before:]
        # A response that is still being generated must stop first.
        assert kinds(told) in (["conversation.item.truncate"], ["response.cancel", "conversation.item.truncate"])
        assert (len(told) == 2) <= (not complete)
        heard_ms = told[-1]["audio_end_ms"]
        assert told[-1]["item_id"] == "story"
        assert office.events("turn.interrupted")[0]["heard_ms"] == heard_ms
        (begun, ended) = office.line(call).stretches[-1]
        assert 1000 * (ended - begun) == pytest.approx(heard_ms, abs=41)
        assert 2000 <= heard_ms < 3000
        if not complete:
            reply.more(1.0)  # what was on its way is not heard any more
            reply.ends("cancelled")
        await passes(2.0)
        assert office.line(call).stretches[-1] == (begun, ended)
        session.caller_ends("Stop.")
        session.speaks(1.0)
        await office.silent(call)
        assert office.line(call).stretches[-1][1] - office.line(call).stretches[-1][0] == pytest.approx(1.0)
        assert office.metrics.registry.get_sample_value("ariagent_interruptions_total") == 1


@BOTH_WAYS
@virtual_time
async def test_a_noise_is_forgotten_by_the_model_as_soon_as_it_is_judged_to_be_one(leg: str, tmp_path: Path) -> None:
    """By time alone: its words never come."""
    async with Office(tmp_path, agent=CONFIRMS) as office:
        call = await answered(office, leg)
        session = office.model.session
        session.speaks(8.0)
        began_at = office.line(call).heard_s
        await passes(1.0)
        before = len(session.heard)
        await speaks_over(office, call, 0.24)
        await passes(0.3)
        session.caller_ends(None)
        await office.until(lambda: office.events("turn.dismissed"), 5.0)
        (told,) = session.heard[before:]
        assert told["type"] == "conversation.item.delete"
        assert told["item_id"] == office.events("turn.dismissed")[0]["item"]
        await office.silent(call)
        assert office.line(call).heard_s - began_at == pytest.approx(8.0, abs=0.04)
        assert office.events("turn.interrupted") == []

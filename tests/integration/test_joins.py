"""A human agent waits on the line, and the caller is gone just before they are joined: nobody is left in a silence.

One of each kind; every moment, both ways, is in ``tests/call/test_joins.py``, in memory.
"""

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ariagent.ari import events as ari
from ariagent.call.warm_transfer import ConsultLeg
from lab.call import Call

pytestmark = pytest.mark.asterisk

LIMIT_S = 60.0
SILENCE_S = 3.5
BOTH_WAYS = pytest.mark.parametrize("number", ["7000", pytest.param("7001", marks=pytest.mark.long)])
SCENARIO = Path(__file__).parent / "scenarios" / "handoff.yaml"
DESTINATIONS = {"warm": {"queue": "support", "description": "the service desk", "timeout_s": 30, "kind": "warm"}}
AGENT = {"handoff": list(DESTINATIONS), "transcription": None}


@pytest.fixture
def found(asterisk: Any, sandbox: Any, service: Any, phone: Any, dial: Any, proxy: Any) -> Any:
    """``await found("7001")``: a proxy before the service's ARI, the caller, and the human agent whose phone rings."""

    async def make(number: str) -> tuple[Any, Call, Call]:
        between = await proxy()
        between.target = ("127.0.0.1", asterisk.http_port)
        await service(
            await sandbox(scenario=SCENARIO),
            agent=AGENT,
            destinations=DESTINATIONS,
            asterisk={"url": f"http://{between.address}"},
        )
        human = await phone("1001", register=True)
        call, hearing = await dial(number)
        await hearing.utterance()
        await call.send_dtmf("6")
        incoming = await human.incoming(LIMIT_S)
        return between, call, incoming

    return make


@pytest.fixture
async def nowhere(asterisk: Any) -> AsyncIterator[None]:
    """A dialplan in which the caller's channel is gone before anything of ours could happen to it."""
    for line in ("s,1,Hangup() into ariagent-nowhere", "support,1,Goto(ariagent-nowhere,s,1) into ariagent-join"):
        added = await asterisk.cli(f"dialplan add extension {line}")
        assert "added" in added.lower(), added
    yield
    await asterisk.cli("dialplan remove extension support@ariagent-join")
    await asterisk.cli("dialplan remove context ariagent-nowhere")


@BOTH_WAYS
async def test_a_caller_who_never_gets_there(number: str, found: Any, nowhere: None, log: Any) -> None:
    _, call, incoming = await found(number)
    await incoming.answer()
    sent = await log.wait("call.transferred", kind="warm")
    await call.ended(LIMIT_S)
    await incoming.ended(LIMIT_S)
    assert time.monotonic() - sent.at < SILENCE_S
    await log.wait("consult.dropped", why="NOTJOINED")
    await log.wait("call.ended", result="transferred")


async def test_a_caller_who_hangs_up_before_asterisk_is_asked(found: Any, log: Any) -> None:
    between, call, incoming = await found("7001")
    with between.hold("/continue") as held:
        await incoming.answer()
        await held.seen()
        left = time.monotonic()
        await call.hangup()
        await incoming.ended(LIMIT_S)
        assert time.monotonic() - left < SILENCE_S
    await log.wait("consult.dropped", why="NOTJOINED")
    await log.wait("call.ended", result="done", reason="caller_hung_up")


async def test_a_caller_who_is_there_stays_when_nothing_tells_of_it(
    found: Any, log: Any, ear: Any, sound: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event is lost that the human agent's channel has left our application: Asterisk is asked."""
    on_ari = ConsultLeg.on_ari

    def deaf(leg: ConsultLeg, event: ari.Event) -> None:
        if not isinstance(event, ari.StasisEnded | ari.ChannelDestroyed):
            on_ari(leg, event)

    monkeypatch.setattr(ConsultLeg, "on_ari", deaf)
    monkeypatch.setattr("ariagent.call.warm_transfer.JOIN_S", 1.0)
    _, call, incoming = await found("7001")
    listening = ear(incoming)
    await incoming.answer()
    sent = await log.wait("call.transferred", kind="warm")
    ended = await log.wait("call.ended", result="transferred")
    assert ended.at - sent.at >= 1.0
    spoke = time.monotonic()
    await call.play(sound.tone(0.5))
    await listening.wait_loud(spoke)
    assert log.named("consult.dropped") == []
    await call.hangup()
    await incoming.ended(LIMIT_S)


async def test_a_caller_who_is_there_stays_when_the_stream_of_events_was_interrupted(
    found: Any, log: Any, ear: Any, sound: Any
) -> None:
    """The service then looks for what is left in Asterisk."""
    between, call, incoming = await found("7001")
    listening = ear(incoming)
    await incoming.answer()
    await log.wait("call.ended", result="transferred")
    between.cut()
    await log.wait("ari.connected", count=2)
    with pytest.raises(TimeoutError):
        await incoming.ended(1.0)
    spoke = time.monotonic()
    await call.play(sound.tone(0.5))
    await listening.wait_loud(spoke)
    assert log.named("orphan_call.found") == []
    await call.hangup()
    await incoming.ended(LIMIT_S)

"""Measures a transfer as the caller hears it: the silence between the agent's sentence and the music."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from ariagent.sandbox.speech import TONE_MS_PER_LETTER
from lab import environment
from lab.asterisk import AsteriskInstance
from lab.benchcalls import AGENT, LOUD, SOFT, BenchCall, calls_up
from lab.codecs import make_codec
from lab.phone import Phone
from lab.rtp import RtpPacket, peak_of

SENTENCE = "One moment, I am putting you through."
SENTENCE_S = len(SENTENCE) * TONE_MS_PER_LETTER / 1000
"""Its length in the voice that hums."""
FRAME_S = 0.02
KEYS = {"queue": "1", "briefed": "2", "extension": "3"}
"""Where to, and what the caller presses for it."""
HUMAN = "1002"
"""The extension, whose phone rings and is not answered."""
LIMIT_S = 10.0
AT_ONCE = 4
_DESTINATIONS = {
    "queue": {"queue": "support", "description": "the human agents", "kind": "blind"},
    "briefed": {"queue": "support", "description": "the human agents", "kind": "briefed"},
    "extension": {"extension": HUMAN, "description": "a human agent", "kind": "blind"},
}


def _scenario() -> dict[str, object]:
    def rule(place: str, key: str) -> dict[str, object]:
        call = {"name": "transfer_call", "arguments": {"destination": place, "reason": "a test", "summary": "none"}}
        return {"name": place, "when": {"digits": key}, "then": [{"say": SENTENCE}, {"call": call}]}

    rules = [rule(place, key) for place, key in KEYS.items()]
    return {"digits": "caller pressed ([0-9*#]+)", "rules": rules, "otherwise": [{"say": "Pardon?"}]}


@asynccontextmanager
async def opened(asterisk: AsteriskInstance, directory: Path) -> AsyncIterator[None]:
    """A service whose AI agent transfers callers, and the phone of an extension."""
    scenario = directory / "handoff.json"
    scenario.write_text(json.dumps(_scenario()))
    options = ("--scenario", str(scenario), "--detector", "none", "--no-recogniser", "--think-ms", "50")
    agent = {**AGENT, "handoff": list(KEYS), "keypad": {"pause_ms": 200}}
    async with AsyncExitStack() as stack:
        # The voice hums without a break: its first silence is its end.
        _, url = await stack.enter_async_context(
            environment.sandbox(directory, *options, "--voice", "tone", name="people")
        )
        settings = {
            "realtime": {"url": url, "api_key": "bench"},
            "agents": {"default": agent},
            "destinations": _DESTINATIONS,
        }
        await stack.enter_async_context(environment.service(asterisk, directory, settings, "handoff"))
        server = (asterisk.sip_host, asterisk.sip_port)
        human = Phone(server, user=HUMAN, password=asterisk.phone_passwords[HUMAN])
        await stack.enter_async_context(human)
        await human.register()
        yield


async def silences(asterisk: AsteriskInstance, extension: str, place: str, rounds: int) -> list[float]:
    """The agent's last loud packet -> the first of the music or ringing tone, in ms, as the caller received them."""
    found: list[float] = []
    for _ in range(rounds):
        async with calls_up(asterisk, extension, AT_ONCE) as calls:
            await asyncio.sleep(0.3)
            found += await asyncio.gather(*(_silence(one, KEYS[place]) for one in calls))
    return found


async def _silence(one: BenchCall, key: str) -> float:
    pressed = asyncio.get_running_loop().time()
    await one.call.send_dtmf(key)
    async with asyncio.timeout(LIMIT_S):
        while (gap_ms := gap_after_first_sound([p for p in one.call.received if p.arrival >= pressed])) is None:
            await asyncio.sleep(0.1)
    return gap_ms


def gap_after_first_sound(packets: Sequence[RtpPacket], lasts_s: float = SENTENCE_S) -> float | None:
    """The gap from the last packet of the first sound to the first of the next, in ms; None: not all of it is there.

    ``lasts_s``: length of the first sound. Between it and the next one there may be no packet at all, which alone does
    not show where it ended.
    """
    codec = make_codec("ulaw")
    first: float | None = None
    last: float | None = None
    silent = False
    for packet in sorted(packets, key=lambda packet: packet.arrival):
        if packet.payload_type != 0:
            continue
        peak = peak_of(codec.decode(packet.payload))
        first = packet.arrival if first is None and peak >= LOUD else first
        silent = silent or (first is not None and packet.arrival - first > lasts_s + FRAME_S)
        if last is None or not silent:
            if peak >= LOUD:
                last = packet.arrival
            else:
                silent = last is not None
        elif peak >= SOFT:
            return 1000 * (packet.arrival - last)
    return None

"""Calls of the bench: they are made by the lab's own phone, and record what each caller heard and when."""

import asyncio
import itertools
import json
import shutil
import uuid
import wave
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ariagent.audio.g711 import decode_ulaw
from ariagent.audio.resample import Resampler
from ariagent.sandbox.options import SandboxOptions
from ariagent.sandbox.record import SandboxSession
from ariagent.sandbox.server import SandboxServer
from lab import environment
from lab.asterisk import AsteriskInstance
from lab.call import Call
from lab.phone import Phone
from lab.processes import lab_command
from lab.rtp import RtpPacket, first_loud_sent

Samples = NDArray[np.int16]

AGENT: dict[str, Any] = {
    "opening": None,
    "transcription": None,
    "turn_detection": {"silence_duration_ms": 300},
    # Our callers are silent for long, and what they say are tones.
    "silence": None,
    "machines": "ignore",
}

RATE_HZ = 8000
BURST_S = 0.1
BURST_GAP_S = 1.2
"""Seconds from one burst of the caller to the next: the answer's 400 ms and quiet enough to be a new turn."""
LOUD = 1500
SOFT = 150
QUIET_S = 0.3
PATIENCE_S = 5.0

_IS_LOUD = bytes(int(abs(int(value)) >= LOUD) for value in decode_ulaw(bytes(range(256))))


def tone(seconds: float, hz: float = 700.0, peak: int = 9000) -> Samples:
    """A sine at 8 kHz."""
    t = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    return (peak * np.sin(2 * np.pi * hz * t)).astype(np.int16)


class Bell:
    """Listens to a call's received packets: which are loud, and when they came."""

    def __init__(self, call: Call) -> None:
        self.loud: list[float] = []
        self._waiters: list[tuple[float, asyncio.Future[float]]] = []
        call.on_packet = self._on_packet

    def _on_packet(self, packet: RtpPacket) -> None:
        if packet.payload_type != 0 or 1 not in packet.payload.translate(_IS_LOUD):
            return
        self.loud.append(packet.arrival)
        waiting, self._waiters = self._waiters, []
        for after, future in waiting:
            if packet.arrival < after:
                self._waiters.append((after, future))
            elif not future.done():
                future.set_result(packet.arrival)

    async def wait_loud(self, after: float, patience_s: float = PATIENCE_S) -> float:
        """When the first loud packet came that came after ``after``. Raises TimeoutError."""
        for arrival in self.loud:
            if arrival >= after:
                return arrival
        future: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._waiters.append((after, future))
        # Not wait_for: until Python 3.12 it swallows a cancellation that comes with the result.
        async with asyncio.timeout(patience_s):
            return await future

    async def wait_quiet(self, quiet_s: float = QUIET_S) -> float:
        """Wait until nothing loud came for ``quiet_s``; returns when the last loud packet came."""
        loop = asyncio.get_running_loop()
        while True:
            last = self.loud[-1] if self.loud else loop.time()
            remaining = last + quiet_s - loop.time()
            if remaining <= 0:
                return last
            await asyncio.sleep(remaining + 0.005)


@dataclass(slots=True)
class BenchCall:
    """A call that was answered."""

    call: Call
    bell: Bell
    invited_at: float
    answered_at: float
    played: "asyncio.Future[bool] | None" = None
    """Done when what was to be played from the answer on was played."""


@asynccontextmanager
async def calls_up(
    asterisk: AsteriskInstance, extension: str, count: int, play: Samples | None = None
) -> AsyncIterator[list[BenchCall]]:
    """``count`` answered calls to ``extension``; hung up at the end. ``play`` starts right at the answer."""
    loop = asyncio.get_running_loop()
    gate = asyncio.Semaphore(4)

    async def dial(phone: Phone) -> BenchCall:
        async with gate:
            invited_at = loop.time()
            call = await phone.dial(extension)
            bell = Bell(call)
            played = None if play is None else call.play(play)
            await call.answered(30)
            assert call.answered_at is not None
            return BenchCall(call, bell, invited_at, call.answered_at, played)

    async with Phone((asterisk.sip_host, asterisk.sip_port), user="5551000") as phone:
        made = await asyncio.gather(*(dial(phone) for _ in range(count)))
        try:
            yield list(made)
        finally:
            await asyncio.gather(*(one.call.hangup() for one in made))


@asynccontextmanager
async def echo_server(asterisk: AsteriskInstance) -> AsyncIterator[str]:
    """An extension behind which a bare AudioSocket echo answers."""
    async with environment.process(lab_command("echo"), asterisk.root / "echo.log") as echo:
        port = (await echo.wait_for("echo listening on ")).rpartition(" ")[2]
        target = f"AudioSocket/127.0.0.1:{port}/{uuid.uuid4()}/c(slin24)"
        await asterisk.cli("dialplan add extension 699,1,Answer, into ariagent-internal replace")
        await asterisk.cli(f"dialplan add extension 699,2,Dial({target}) into ariagent-internal replace")
        yield "699"


async def burst_round_trips(
    asterisk: AsteriskInstance,
    extension: str,
    count: int,
    rounds: int,
    meanwhile: Callable[[], Awaitable[None]] | None = None,
) -> list[float]:
    """First loud RTP frame sent -> first loud RTP frame received, in ms, ``rounds`` times on each call.

    One that is not answered counts as PATIENCE_S.
    """

    async def bursts(one: BenchCall, offset_s: float) -> list[float]:
        trips = []
        await asyncio.sleep(0.5 + offset_s)
        for _ in range(rounds):
            began = asyncio.get_running_loop().time()
            await one.call.play(tone(BURST_S))
            sent = first_loud_sent(one.call.sent[-40:], after=began)
            assert sent is not None
            try:
                answered = await one.bell.wait_loud(sent.time)
            except TimeoutError:
                # On a machine that stands still for a second: it fell into the late answer to the one before.
                answered = sent.time + PATIENCE_S
            trips.append(1000 * (answered - sent.time))
            # An odd rest, so that the bursts come at every phase of the 20 ms raster.
            await asyncio.sleep(max(0.0, began + BURST_GAP_S - asyncio.get_running_loop().time()) + 0.0037)
        return trips

    async with calls_up(asterisk, extension, count) as calls:
        work = [bursts(one, BURST_GAP_S * index / count) for index, one in enumerate(calls)]
        watching = asyncio.ensure_future(meanwhile()) if meanwhile else None
        trips = [trip for part in await asyncio.gather(*work) for trip in part]
        if watching is not None:
            await watching
    return trips


async def spacing_of_replies(asterisk: AsteriskInstance, extension: str, count: int, reply_s: float) -> dict[str, Any]:
    """Each call hears one long tone, all at the same time in the end: when its packets came, and what is missing."""
    gaps: list[float] = []
    lost = jumps = 0

    async def one_reply(one: BenchCall, offset_s: float) -> list[RtpPacket]:
        await asyncio.sleep(0.5 + offset_s)
        began = asyncio.get_running_loop().time()
        await one.call.play(tone(BURST_S))
        await one.bell.wait_loud(began)
        await asyncio.sleep(reply_s)
        last = await one.bell.wait_quiet()
        first = next(arrival for arrival in one.bell.loud if arrival >= began)
        return [p for p in one.call.received if first <= p.arrival <= last and p.payload_type == 0]

    async with calls_up(asterisk, extension, count) as calls:
        # Callers do not fall silent in one instant: the replies begin one after another, and overlap.
        replies = (one_reply(one, reply_s / 2 * index / count) for index, one in enumerate(calls))
        for packets in await asyncio.gather(*replies):
            gaps += [1000 * (b.arrival - a.arrival) for a, b in itertools.pairwise(packets)]
            lost += (packets[-1].seq - packets[0].seq) % 65536 + 1 - len({p.seq for p in packets})
            jumps += count_jumps(b"".join(p.payload for p in sorted(packets, key=lambda p: p.arrival)))
    quantiles = np.percentile(gaps, [0.5, 50, 99, 99.5])
    return {
        "p0.5_ms": float(quantiles[0]),
        "p50_ms": float(quantiles[1]),
        "p99_ms": float(quantiles[2]),
        "p99.5_ms": float(quantiles[3]),
        "max_ms": max(gaps),
        "bunched_permille": 1000 * sum(gap < 5 for gap in gaps) / len(gaps),
        "lost": lost,
        "jumps": jumps,
        "frames": len(gaps) + count,
    }


def count_jumps(ulaw: bytes, hz: float = 1000.0) -> int:
    """Places where a tone does not continue as a tone does. Source: x[n] = 2 cos(w) x[n-1] - x[n-2]."""
    heard = decode_ulaw(ulaw).astype(float)
    heard = heard[400:-400]  # its own beginning and end are no jumps
    if len(heard) < 3:
        return 0
    amplitude = np.percentile(np.abs(heard), 95)
    off = np.abs(heard[2:] - 2 * np.cos(2 * np.pi * hz / RATE_HZ) * heard[1:-1] + heard[:-2]) / amplitude
    places = np.flatnonzero(off > 0.4)
    # One break touches several samples.
    return int(np.sum(np.diff(places, prepend=-1000) > 10))


async def reply_heard(asterisk: AsteriskInstance, extension: str, reply_s: float) -> float:
    """A reply of ``reply_s`` seconds of tone: how many ms of it were not heard, or interrupted by silence."""
    async with calls_up(asterisk, extension, 1) as [one]:
        await asyncio.sleep(0.5)
        began = asyncio.get_running_loop().time()
        await one.call.play(tone(BURST_S))
        first = await one.bell.wait_loud(began)
        last = await one.bell.wait_quiet(0.6)
        loud_ms = 20 * sum(first <= arrival <= last for arrival in one.bell.loud)
        span_ms = 1000 * (last - first) + 20
        return max(0.0, 1000 * reply_s - loud_ms) + max(0.0, span_ms - loud_ms)


# -- with the sandbox in this process, which knows when it said what ------------------------------------------------

_LONG = "This sentence is long enough to be interrupted. " * 8
_WORDS = "Good day, this is Harbour Cycles. How can I help you?"
_ASK_S = 0.4
_INTERRUPT_S = 0.9
"""Longer than ``interruptions.speech_ms``, so that it counts whatever its words are."""
_NOISE_S = 0.2
_FORGOTTEN_LIMIT_S = 8.0
"""The words of a noise are waited for 2.5 s; a message for another reason is not sent for 10 s."""


@asynccontextmanager
async def _watched(
    asterisk: AsteriskInstance,
    directory: Path,
    *,
    agent: dict[str, Any] | None = None,
    voice: str = "tone",
    **options: Any,
) -> AsyncIterator[tuple[SandboxServer, environment.Process]]:
    """A service on a sandbox of this process; the n-th session is the n-th call's. The answer is always _LONG."""
    scenario = directory / "long.yaml"
    scenario.write_text(json.dumps({"otherwise": [{"say": _LONG}]}))
    chosen = SandboxOptions(think_ms=0, voice=voice, recogniser=False, scenario=scenario, **options)
    async with SandboxServer(chosen) as server:
        realtime = {"url": server.url, "api_key": "bench"}
        state = directory / "watched-state"
        shutil.rmtree(state, ignore_errors=True)
        settings = {
            "realtime": realtime,
            "agents": {"default": {**AGENT, **(agent or {})}},
            "state_directory": str(state),
        }
        async with environment.service(asterisk, directory, settings) as service:
            server.count_anew()  # those until now were the service's own
            yield server, service


async def barge_in(asterisk: AsteriskInstance, directory: Path, extension: str, rounds: int) -> dict[str, list[float]]:
    """The caller interrupts a reply: when the agent fell silent, and what the model was told was heard."""
    stopped: list[float] = []
    off: list[float] = []
    async with _watched(asterisk, directory, detector="energy") as (server, _):
        for number in range(1, rounds + 1):
            async with calls_up(asterisk, extension, 1) as [one]:
                session = await server.wait_session(number)
                await asyncio.sleep(0.5)
                await one.call.play(tone(_ASK_S, hz=500))
                first = await one.bell.wait_loud(one.invited_at)
                await asyncio.sleep(1.0 + 0.113 * number)
                await one.call.play(tone(_INTERRUPT_S, hz=500))
                noticed = await session.wait_sent_at("input_audio_buffer.speech_started", count=2)
                truncate = await session.wait_event("conversation.item.truncate")
                # By now it is silent for long, and the answer to the interruption is still to come.
                last = one.bell.loud[-1]
                stopped.append(1000 * (last - noticed))
                heard_ms = 20 * sum(first <= arrival <= last for arrival in one.bell.loud)
                off.append(abs(heard_ms - float(truncate["audio_end_ms"])))
    return {"stopped_ms": stopped, "off_ms": off}


async def decisions_sent(
    asterisk: AsteriskInstance, directory: Path, extension: str, speed: float, count: int
) -> dict[str, list[float]]:
    """How many ms after the service's decision the model was told of an interruption, and of a noise to forget.

    The decision's time is that of its log line, whole milliseconds rounded down. Nobody ever tells the words of a
    sound: the service judges by length, and by time alone, while the server has nothing to say. The callers speak one
    after another: the phones and the model of all calls are in this process, which would read the messages of three
    decisions at once several milliseconds after they came. They do so before the model has an answer to the first of
    them, because making an answer keeps this process busy for up to 30 ms. A ``response.cancel`` directly before counts
    for both: they are one write, and the sandbox reads the second once it has ended the response.
    """
    truncate, delete = "conversation.item.truncate", "conversation.item.delete"
    agent: dict[str, Any] = {"transcription": {}}
    options: dict[str, Any] = {"generation_speed": speed, "detector": "energy", "transcription_ms": 60_000}

    async def noise(one: BenchCall, offset_s: float) -> None:
        await asyncio.sleep(0.5 + offset_s)
        await one.call.play(tone(_ASK_S, hz=500))
        await one.bell.wait_loud(one.invited_at)
        await asyncio.sleep(1.0)
        await one.call.play(tone(_NOISE_S, hz=500))

    async def interrupt(one: BenchCall, offset_s: float) -> None:
        await asyncio.sleep(offset_s)
        await one.call.play(tone(_INTERRUPT_S, hz=500))

    async with _watched(asterisk, directory, agent=agent, **options) as (server, service):
        async with calls_up(asterisk, extension, count) as calls:
            sessions = [await server.wait_session(number) for number in range(1, count + 1)]
            await asyncio.gather(*(noise(one, 0.11 * index) for index, one in enumerate(calls)))
            for session in sessions:
                await session.wait_event(delete, _FORGOTTEN_LIMIT_S)
            await asyncio.gather(*(interrupt(one, 0.11 * index) for index, one in enumerate(calls)))
            for session in sessions:
                await session.wait_event(truncate)
        log = service.log
    late: dict[str, list[float]] = {truncate: [], delete: []}
    for session in sessions:
        for event, decided in ((truncate, "turn.interrupted"), (delete, "turn.dismissed")):
            [line] = [
                x for x in log.splitlines() if f" {decided} " in x and session.received_events(event)[0]["item_id"] in x
            ]
            late[event].append(1000 * (_told_at(session, event) - environment.logged_at(line)))
    return {"interrupted_ms": late[truncate], "dismissed_ms": late[delete]}


def _told_at(session: SandboxSession, event: str) -> float:
    """When the first event of this type came in; a ``response.cancel`` directly before came with it."""
    kinds = [x["type"] for x in session.received]
    at = kinds.index(event)
    return session.received_at[at - 1 if kinds[at - 1] == "response.cancel" else at]


async def first_words(asterisk: AsteriskInstance, directory: Path, extension: str) -> float:
    """The caller speaks at the answer, over the opening: how many ms of it never reached the model."""
    words = _noise_words(1.5)
    async with _watched(asterisk, directory, agent={"opening": _LONG}, detector="none", keep_audio=True) as (server, _):
        async with calls_up(asterisk, extension, 1, play=words) as [one]:
            session = await server.wait_session(1)
            assert one.played is not None
            await one.played
            # Audio that is on its way arrives within this time.
            await session.wait_appended(session.appended_ms + 500)
        return missing_ms(words, bytes(session.audio))


async def opening_heard(asterisk: AsteriskInstance, directory: Path, extension: str, calls: int = 3) -> list[float]:
    """How many ms of the opening, as it was rendered before the calls, each caller did not hear."""
    options: dict[str, Any] = {"voice": "rms", "detector": "none", "paraphrase": 1}
    async with _watched(asterisk, directory, agent={"opening": _WORDS}, **options):
        [path] = (directory / "watched-state" / "prompts").iterdir()
        with wave.open(str(path)) as file:
            wanted = _at_8k(file.readframes(file.getnframes()))
        off = []
        for _ in range(calls):
            async with calls_up(asterisk, extension, 1) as [one]:
                await one.bell.wait_loud(one.invited_at)
                await asyncio.sleep(len(wanted) / RATE_HZ + QUIET_S)
                packets = sorted(one.call.received, key=lambda packet: packet.arrival)
                heard = decode_ulaw(b"".join(p.payload for p in packets if p.payload_type == 0))
                off.append(_missing_ms(wanted, heard))
        return off


def _noise_words(seconds: float) -> Samples:
    """Band-limited noise: every 20 ms of it is unlike every other."""
    noise = np.random.default_rng(1).normal(0, 1, int(seconds * RATE_HZ))
    smooth = np.convolve(noise, np.hanning(9), "same")
    words: Samples = (smooth / np.max(np.abs(smooth)) * 12000).astype(np.int16)
    return words


def missing_ms(sent: Samples, received_24k: bytes) -> float:
    """How much of ``sent`` (8 kHz) cannot be found, in place, in what was received (24 kHz)."""
    return _missing_ms(sent, _at_8k(received_24k))


def _at_8k(pcm_24k: bytes) -> Samples:
    return np.frombuffer(Resampler(24_000, RATE_HZ).process(pcm_24k), "<i2")


def _missing_ms(sent: Samples, heard: Samples) -> float:
    # A queue joins caller and seat a moment after the answer: a first, silent frame may be lost.
    wanted, received = sent.astype(float), np.concatenate([np.zeros(RATE_HZ // 10), heard.astype(float)])
    size = 1 << int(np.ceil(np.log2(len(received) + len(wanted))))
    spectrum = np.fft.rfft(received, size) * np.conj(np.fft.rfft(wanted, size))
    at = int(np.argmax(np.fft.irfft(spectrum, size)[: len(received)]))
    missing = 0
    block = RATE_HZ // 50
    for start in range(0, len(wanted) - block + 1, block):
        a, b = wanted[start : start + block], received[at + start : at + start + block]
        if np.linalg.norm(a) < SOFT * np.sqrt(block):
            continue  # too soft to be told from what the line does to it
        alike = len(b) == block and np.dot(a, b) > 0.7 * np.linalg.norm(a) * (np.linalg.norm(b) + 1e-9)
        missing += 0 if alike else 20
    return float(missing)

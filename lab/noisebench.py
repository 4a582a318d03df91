"""How often noise, agreement and echo cut the agent off, and how surely the caller does: real calls, amid made noise.

Every reply is the same story. A caller asks for it, by words or by a key, listens, and asks again; around them is noise
from the first moment on. A reply that was cut off shows in the messages to the model (``conversation.item.truncate``),
and what the phone heard of it in what it received. The session asks for ``noise_reduction``, as agents do, and the
sandbox does what it can for that (``sandbox.noise``).
"""

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ariagent.audio.format import SLIN8
from ariagent.audio.g711 import decode_ulaw
from ariagent.caller.noise import Kind, NoiseMaker, active_level_dbfs, placed
from ariagent.caller.voice import Voice
from ariagent.sandbox.options import SandboxOptions
from ariagent.sandbox.record import SandboxSession
from ariagent.sandbox.server import SandboxServer
from lab import environment
from lab.asterisk import AsteriskInstance
from lab.benchcalls import LOUD, RATE_HZ, BenchCall, Samples, calls_up
from lab.packages import default_lab_dir, ensure_tool
from lab.rtp import RtpPacket

SPEECH_DBFS = -22.0
FRAME = RATE_HZ // 50
AHEAD = 3
"""Frames of the caller's side that are made before their time."""
ECHO_S = 0.15
NOISE_LASTS_S = 60.0
ANSWER_LIMIT_S = 12.0
ANSWER_BEGINS_S = 0.5
"""After the end of a turn of noise its answer would have begun: the sandbox thinks for 0.1 s."""
STOP_S = 0.25
"""Longer than the story's own pauses."""
NOTICED_S = 0.4
"""A turn that the server begins later than that after the first words is not begun by them."""
WHOLE, AGAIN = 0.95, 1.5
"""A reply is whole when so much of the story's sound was heard; of more than AGAIN times it a part was heard twice."""
OVER_S = 1.3
"""A reply is over after so much silence; no pause inside it may be as long."""
KEY_S = 0.8
"""A key is told to the model so long after it was pressed; what is heard before is no answer to it."""
AGENT_VOICE = "rms"
VOICES = ("rms", "slt", "awb")
QUESTION = "Tell me the whole story please."
STORY = (
    "The old lighthouse stands on a rock outside the harbour, and nobody has lived in it for ninety years, "
    "but its lamp is lit every evening."
)
HOURS = "We are open on Saturday from nine to one."
LONG = ("What are your opening hours on Saturday?", "I do not want that, tell me about Saturday.")
SHORT = ("Stop.", "No wait.")
AGREEMENT = ("Okay.", "Uh huh.")
_STARTED, _STOPPED = "input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped"
_TRUNCATE = "conversation.item.truncate"
_SCENARIO = f"""
opening:
  - say: Good day.
rules:
  - name: hours
    when: {{said: [what are your opening hours on saturday, i do not want that tell me about saturday]}}
    then: [{{say: "{HOURS}"}}]
  - name: short
    when: {{said: [stop, no wait]}}
    then: [{{say: Alright.}}]
  - name: agreement
    when: {{said: [okay, uh huh]}}
    then: [{{say: This should not be heard by anybody.}}]
  - name: story
    when: {{said: tell me the whole story please}}
    then: [{{say: "{STORY}"}}]
otherwise:
  - say: "{STORY}"
"""


@dataclass(slots=True)
class Replies:
    """The replies of one run, and what happened to them."""

    story_ms: float
    """How much of the story is loud when it is heard once and to the end."""
    heard: int = 0
    """Replies that began."""
    missing: int = 0
    """Questions that no reply followed in 12 s."""
    cut: int = 0
    """Replies that were cut off although nobody interrupted."""
    unasked: int = 0
    """Times that the agent spoke before a question: the server had taken noise for one."""
    sounds: int = 0
    """Sounds that the server took for the caller while the agent spoke or was about to."""
    longest_gap_ms: list[float] = field(default_factory=list)
    """The longest silence inside each reply."""
    loud_ms: list[float] = field(default_factory=list)
    """How much of each reply was loud."""

    @property
    def whole(self) -> int:
        """Replies that were heard to their end."""
        return sum(loud >= WHOLE * self.story_ms for loud in self.loud_ms)

    @property
    def again(self) -> int:
        """Replies that were told again without a pause: noise was taken for one more question."""
        return sum(loud > AGAIN * self.story_ms for loud in self.loud_ms)


@dataclass(frozen=True, slots=True)
class Cut:
    """One interruption by the caller."""

    words: str
    silent_ms: float
    """Milliseconds from the words' first loud frame to the agent's last; inf: the agent was not speaking, or did not
    stop."""
    stopped_ms: float | None
    """Milliseconds from the server's speech_started to the agent's last loud frame; 0 also where that was in one of the
    story's own pauses. None: noise had begun a turn before, and the server told nothing of the words."""
    confirmed: bool
    """The rest of the reply was cleared, and the model was told where."""
    answered: bool


class Handset:
    """The caller's side of a line: noise, words, and what of the agent's voice the phone lets back in."""

    def __init__(self, call: BenchCall, noise: Samples | None = None, echo_db: float | None = None) -> None:
        self._call = call
        self._noise = np.zeros(FRAME, np.int16) if noise is None else noise[: len(noise) // FRAME * FRAME]
        self._at = 0
        self._words: deque[Samples] = deque()
        self._said: asyncio.Future[float] | None = None
        self._echo: deque[tuple[float, Samples]] = deque()
        self._gain = None if echo_db is None else 10 ** (echo_db / 20)
        hear = call.call.on_packet

        def on_packet(packet: RtpPacket) -> None:
            if hear is not None:
                hear(packet)
            if self._gain is not None and packet.payload_type == 0:
                back = (decode_ulaw(packet.payload) * self._gain).astype(np.int16)
                self._echo.append((packet.arrival + ECHO_S, back))

        call.call.on_packet = on_packet

    async def run(self) -> None:
        """Send, until cancelled or the call ends."""
        loop = asyncio.get_running_loop()
        ahead: deque[asyncio.Future[bool]] = deque()
        while True:
            ahead.append(self._call.call.play(self._frame(loop.time())))
            while len(ahead) >= AHEAD:
                if not await ahead.popleft():
                    return

    async def say(self, words: Samples) -> float:
        """Say it; returns when its last frame is out (about), in seconds of the loop's clock."""
        padded = np.concatenate((words, np.zeros(-len(words) % FRAME, np.int16)))
        self._words.extend(padded.reshape(-1, FRAME))
        self._said = asyncio.get_running_loop().create_future()
        return await self._said

    def _frame(self, now: float) -> Samples:
        frame = self._noise[self._at : self._at + FRAME].astype(np.int32)
        self._at = (self._at + FRAME) % len(self._noise)
        if self._words:
            frame = frame + self._words.popleft()
            if not self._words and self._said is not None and not self._said.done():
                self._said.set_result(now + AHEAD * 0.02)
        if self._echo and self._echo[0][0] <= now:
            back = self._echo.popleft()[1]
            frame[: len(back)] += back[:FRAME]
        clipped: Samples = np.clip(frame, -32768, 32767).astype(np.int16)
        return clipped


class NoiseBench:
    """A service on a sandbox with real ears, and callers amid noise. Use ``opened``."""

    def __init__(self, asterisk: AsteriskInstance, server: SandboxServer, flite: list[str]) -> None:
        self._asterisk = asterisk
        self._server = server
        self._flite = flite
        self._cache = default_lab_dir() / "speech"

    async def words(self, voice: str, text: str) -> Samples:
        """A text at the usual level, 8 kHz."""
        pcm = np.frombuffer(await Voice(self._flite, voice, SLIN8, self._cache).say(text), "<i2")
        gain = 10 ** ((SPEECH_DBFS - active_level_dbfs(pcm, RATE_HZ)) / 20)
        return np.asarray(np.clip(pcm * gain, -32768, 32767)).astype(np.int16)

    async def _story_ms(self) -> float:
        """How much of the story is loud, in steps of 20 ms, on a telephone."""
        pcm = np.frombuffer(await Voice(self._flite, AGENT_VOICE, SLIN8, self._cache).say(STORY), "<i2")
        steps = np.abs(pcm[: len(pcm) // FRAME * FRAME].astype(int)).reshape(-1, FRAME)
        return 20.0 * float(np.count_nonzero(steps.max(axis=1) >= LOUD))

    async def noise(self, kind: Kind, snr_db: float) -> Samples:
        """Noise that is so much weaker than the callers, 8 kHz."""
        track = await NoiseMaker(self._flite, self._cache).track(kind, NOISE_LASTS_S)
        return np.frombuffer(placed(track, SPEECH_DBFS - snr_db, SLIN8), "<i2")

    @asynccontextmanager
    async def _callers(
        self, count: int, noise: Samples | None, echo_db: float | None = None
    ) -> AsyncIterator[list["Caller"]]:
        self._server.count_anew()
        async with AsyncExitStack() as stack:
            callers, sending = [], []
            for index in range(count):
                [call] = await stack.enter_async_context(calls_up(self._asterisk, "7001", 1))
                session = await self._server.wait_session(index + 1)
                # Each of them hears another part of the noise.
                part = None if noise is None else np.roll(noise, -(index * len(noise) // count // FRAME * FRAME))
                callers.append(Caller(VOICES[index % len(VOICES)], call, Handset(call, part, echo_db), session))
                sending.append(asyncio.ensure_future(callers[-1].handset.run()))
            try:
                yield callers
            finally:
                for task in sending:
                    task.cancel()
                await asyncio.gather(*sending, return_exceptions=True)

    async def replies(
        self,
        noise: Samples | None,
        *,
        count: int,
        rounds: int,
        echo_db: float | None = None,
        say: str = "",
        by_key: bool = False,
    ) -> Replies:
        """``count`` callers listen to ``rounds`` stories each; with ``say`` they say that in the middle of it.

        ``by_key``: they press a key for it and never speak, so that nobody knows how loud they are.
        """
        seen = Replies(await self._story_ms())

        async def listen(index: int, caller: Caller) -> None:
            question = await self.words(caller.voice, QUESTION)
            between = await self.words(caller.voice, say) if say else None
            await asyncio.sleep(0.5 + 0.3 * index)
            for _ in range(rounds):
                if by_key:
                    first = await caller.hears(await caller.press())
                else:
                    seen.unasked += await caller.let_speak()
                    first = await caller.hears(await caller.handset.say(question))
                if first is None:
                    seen.missing += 1
                    continue
                cuts = len(caller.session.received_events(_TRUNCATE))
                if between is not None:
                    await asyncio.sleep(1.2)
                    await caller.handset.say(between)
                last = await caller.call.bell.wait_quiet(OVER_S)
                loud = [arrival for arrival in caller.call.bell.loud if first <= arrival <= last]
                seen.heard += 1
                seen.cut += len(caller.session.received_events(_TRUNCATE)) - cuts
                seen.loud_ms.append(20.0 * len(loud))
                seen.longest_gap_ms.append(1000 * max((b - a for a, b in itertools.pairwise(loud)), default=0.0))

        async with self._callers(count, noise, echo_db) as callers:
            await asyncio.gather(*(listen(index, caller) for index, caller in enumerate(callers)))
        for caller in callers:
            turns = len(caller.session.sent_events("input_audio_buffer.speech_started"))
            seen.sounds += max(0, turns - (0 if by_key else rounds))
        return seen

    async def interruptions(self, noise: Samples | None, texts: tuple[str, ...], *, count: int) -> list[Cut]:
        """``count`` callers interrupt a story with each of the texts."""

        async def interrupt(index: int, caller: Caller) -> list[Cut]:
            question = await self.words(caller.voice, QUESTION)
            await asyncio.sleep(0.5 + 0.3 * index)
            cuts = []
            for text in texts:
                spoken = await self.words(caller.voice, text)
                await caller.let_speak()
                first = await caller.hears(await caller.handset.say(question))
                if first is None:
                    cuts.append(Cut(text, float("inf"), None, confirmed=False, answered=False))
                    continue
                await asyncio.sleep(1.2 + 0.113 * index)
                cuts.append(await caller.interrupt(spoken, text))
                await caller.call.bell.wait_quiet(OVER_S)
            return cuts

        async with self._callers(count, noise) as callers:
            by_caller = await asyncio.gather(*(interrupt(index, caller) for index, caller in enumerate(callers)))
        return [cut for cuts in by_caller for cut in cuts]


@dataclass(slots=True)
class Caller:
    """One of the callers, with the model's side of the call."""

    voice: str
    call: BenchCall
    handset: Handset
    session: SandboxSession

    async def turn_over(self) -> None:
        """Wait until the server hears nobody: in babble it may take the noise for the caller for a while."""

        def silent() -> bool:
            kinds = [e["type"] for e in self.session.sent if e["type"] in (_STARTED, _STOPPED)]
            return not kinds or kinds[-1] == _STOPPED

        with suppress(TimeoutError):
            await self.session.wait_until(silent, ANSWER_LIMIT_S)

    async def let_speak(self) -> bool:
        """Wait until the turn is the caller's; whether the agent said something meanwhile."""
        began = asyncio.get_running_loop().time()
        await self.turn_over()
        await asyncio.sleep(ANSWER_BEGINS_S)
        if not any(at > began for at in self.call.bell.loud):
            return False
        await self.call.bell.wait_quiet(OVER_S)
        return True

    async def press(self) -> float:
        """Press a key; returns when an answer may be heard, in seconds of the loop's clock."""
        await self.call.call.send_dtmf("1")
        return asyncio.get_running_loop().time() + KEY_S

    async def hears(self, after: float) -> float | None:
        """When the agent was heard first after this; None: not in time."""
        try:
            return await self.call.bell.wait_loud(after + 0.1, ANSWER_LIMIT_S)
        except TimeoutError:
            return None

    async def interrupt(self, spoken: Samples, text: str) -> Cut:
        """Say it while the agent talks."""
        session = self.session
        turns = len(session.sent_events(_STARTED))
        truncates = len(session.received_events(_TRUNCATE))
        sounds = asyncio.get_running_loop().time() + AHEAD * 0.02 + loud_from(spoken)
        ended = await self.handset.say(spoken)
        confirmed = True
        try:
            await session.wait_event(_TRUNCATE, 4.0, count=truncates + 1)
        except TimeoutError:
            confirmed = False
        answer = await self.hears(ended) if confirmed else None
        spoke = [at for at in self.call.bell.loud if answer is None or at < answer]
        stopped = None
        with suppress(TimeoutError):
            noticed = await session.wait_sent_at(_STARTED, 0.1, count=turns + 1)
            if noticed <= sounds + NOTICED_S:
                stopped = stopped_after(spoke, noticed)
        return Cut(text, stopped_after(spoke, sounds), stopped, confirmed, answer is not None)


def loud_from(words: Samples) -> float:
    """Where the first loud frame of the words begins, in s."""
    loud = np.flatnonzero(np.abs(words.astype(int)) >= LOUD)
    return 0.0 if not loud.size else float(loud[0] // FRAME * FRAME / RATE_HZ)


def stopped_after(spoke: list[float], noticed: float) -> float:
    """How long after ``noticed`` (s) the agent stopped, in ms. ``spoke``: when its loud frames came.

    It may continue for a moment until the words of a short one are known: its first stop is what counts. One that began
    in a pause of the story's own counts as 0; inf when the agent was not speaking.
    """
    if not any(noticed - STOP_S <= at <= noticed + STOP_S for at in spoke):
        return float("inf")
    stops = [a for a, b in itertools.pairwise([*spoke, float("inf")]) if b > noticed and b - a > STOP_S]
    return max(0.0, 1000 * (stops[0] - noticed))


@asynccontextmanager
async def opened(asterisk: AsteriskInstance, directory: Path, **options: Any) -> AsyncIterator[NoiseBench]:
    """A sandbox with Silero's ears and a recogniser, and a service on it. ``options`` are the sandbox's."""
    lab_dir = default_lab_dir()
    directory.mkdir(parents=True, exist_ok=True)
    scenario = directory / "noise.yaml"
    scenario.write_text(_SCENARIO)
    chosen: dict[str, Any] = {
        "scenario": scenario,
        "think_ms": 100,
        "voice": AGENT_VOICE,
        "fetch": True,
        "cache_dir": lab_dir / "speech",
        "prewarm": True,
        **options,
    }
    async with SandboxServer(SandboxOptions(**chosen)) as server:
        agent = {"opening": None, "turn_detection": {"silence_duration_ms": 300}, "silence": {"ask_after_s": 120}}
        settings = {"realtime": {"url": server.url, "api_key": "bench"}, "agents": {"default": agent}}
        async with environment.service(asterisk, directory, settings):
            flite = await asyncio.to_thread(ensure_tool, "flite", lab_dir)
            yield NoiseBench(asterisk, server, flite)

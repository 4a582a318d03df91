"""How soon an answer is heard, and how often a caller who pauses is cut into: human speech, through a real Asterisk.

The speech is that of Debian's ``asterisk-core-sounds-en-wav``. A sentence is played as it is, or with a gap in its
middle. Everything is judged at the phone, by what it sent and what it received. Nobody recognises the words, and every
turn has the same answer.
"""

import asyncio
import itertools
import json
import os
import random
import urllib.request
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ariagent.errors import AriagentError
from ariagent.turns import modelfile
from ariagent.turns.judge import Judging
from ariagent.turns.worker import JudgeWorker
from lab import environment
from lab.asterisk import AsteriskInstance
from lab.benchanswers import parts_ms
from lab.benchcalls import PATIENCE_S, BenchCall, calls_up
from lab.demo import samples
from lab.rtp import SentFrame
from lab.sentences import RATE_HZ, Paused, Sentence

FRAME = RATE_HZ // 50
OPENING = "Good day."
ANSWER = "Yes."
"""It lasts for 260 ms. After it a caller who speaks on cannot be told from one who replies: ``ariagent_cut_ins_total``
counts only those who speak into an answer, so that its growth is smaller than the number of cut-ins that phones heard.
With an answer of 2.3 s it was 33 of 35."""
THINK_MS = 250
BUSY_MS = 60
"""If the model's answers take so much longer than ``THINK_MS``, by the service's own figures, the machine is busy."""
BEFORE_S = (0.26, 0.33, 0.29, 0.37)
"""From the agent's silence to the next sentence, in turn: odd, so that every phase of the frames' raster comes."""
ROUND_S = 1.4
"""From the true end of a sentence to the next one, at least: how soon answers come does not change how many sentences
are said in a minute, so that runs can be compared by their CPU."""
APART_S = 0.23
"""Callers begin one after another."""
REAL_S = 0.3
"""An answer that is heard sooner after the end of speech, or of its first part, is to something before it."""
ONSET_S = 0.1
"""The agent begins to speak with a loud packet after so much silence."""
SECOND_S = 2.5
"""After a cut-in, the answer to the whole sentence is waited for so long."""
SERVER_SILENCE_MS = 500
SERVER_TURNS: dict[str, Any] = {"turns": "server"}
"""Settings of an agent whose model's server ends the turns."""
AGENT: dict[str, Any] = {"opening": OPENING, "transcription": None, "silence": None, "machines": "ignore"}
"""Without transcripts: nobody recognises the words, and turns without words would count as background."""


def fast_turns(early_silence_ms: int) -> dict[str, Any]:
    """Settings of an agent whose answers are held."""
    return {"turns": "fast", "fast_turns": {"early_silence_ms": early_silence_ms}}


def planned(speech: Sequence[Sentence], pauses_ms: Sequence[int], each: int) -> list[Paused]:
    """``each`` sentences with each of the pauses, in random order, the same order every time."""
    chosen = itertools.cycle(speech)
    plan = [next(chosen).with_pause(pause_ms) for pause_ms in pauses_ms for _ in range(each)]
    random.Random(1).shuffle(plan)
    return plan


# -- what a phone heard ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Turn:
    """A sentence that was played. Times in seconds of the phone's clock."""

    pause_ms: int
    began_at: float
    ended_at: float
    """The true end of speech was sent."""
    cut_in_at: float | None
    """The agent began to speak inside the sentence."""
    answered_at: float | None
    """The agent began to speak after the true end; None: not in time."""
    stray_at: float | None = None
    """The agent began to speak inside the sentence, before the pause: an answer to something before."""

    @property
    def early(self) -> bool:
        """The answer was to a part of the sentence, although it was heard only after the end."""
        return self.answered_at is not None and self.answered_at < self.ended_at + REAL_S

    @property
    def response_ms(self) -> float:
        """From the true end of speech to the answer; an answer that did not come counts as ``PATIENCE_S``."""
        return 1000 * (PATIENCE_S if self.answered_at is None else self.answered_at - self.ended_at)


@dataclass(slots=True)
class Seen:
    """One run."""

    turns: list[Turn] = field(default_factory=list)
    service_cpu_s: float = 0.0
    asterisk_cpu_s: float = 0.0
    lasted_s: float = 0.0
    bill: list[dict[str, Any]] = field(default_factory=list)
    """The responses of the run, as the sandbox has billed them."""
    counts: dict[str, float] = field(default_factory=dict)
    """Growth of the service's counters."""
    service_says: dict[str, float] = field(default_factory=dict)
    """Medians of the service's own figures for its answers."""

    @property
    def responses_ms(self) -> list[float]:
        """Waits for the answers to sentences whose parts were not answered."""
        return [turn.response_ms for turn in self.turns if turn.cut_in_at is None and not turn.early]

    @property
    def early(self) -> int:
        """How many parts were answered just after the end of the sentence, and cut into nothing."""
        return sum(turn.early and turn.cut_in_at is None for turn in self.turns)

    @property
    def stray(self) -> int:
        """How many sentences the agent spoke into before their pause."""
        return sum(turn.stray_at is not None for turn in self.turns)

    @property
    def unanswered(self) -> int:
        return sum(turn.answered_at is None for turn in self.turns)

    def cut_ins(self, shortest_ms: int = 0, longest_ms: int = 10_000) -> int:
        """How many sentences with a pause of such a length were cut into."""
        return sum(turn.cut_in_at is not None and shortest_ms <= turn.pause_ms <= longest_ms for turn in self.turns)

    def cut_ins_by_pause(self) -> dict[str, str]:
        """Cut-ins and sentences by the length of the pause."""
        lengths = sorted({turn.pause_ms for turn in self.turns})
        return {f"{ms} ms": f"{self.cut_ins(ms, ms)} of {sum(t.pause_ms == ms for t in self.turns)}" for ms in lengths}

    @property
    def discarded(self) -> list[dict[str, Any]]:
        """Responses that were cancelled, or deleted afterwards."""
        return [one for one in self.bill if one["status"] == "cancelled" or one["deleted"]]

    @property
    def discarded_percent(self) -> float:
        return 100 * len(self.discarded) / max(1, len(self.bill))

    @property
    def discarded_tokens_percent(self) -> float:
        """The share of all tokens that discarded responses have cost."""
        return 100 * _tokens(self.discarded) / max(1, _tokens(self.bill))

    def spent(self) -> dict[str, float]:
        """The figures of the discarded responses."""
        return {
            "responses": len(self.bill),
            "discarded": len(self.discarded),
            "tokens": _tokens(self.bill),
            "tokens_of_discarded": _tokens(self.discarded),
            "output_tokens_of_discarded": sum(one["output_tokens"] for one in self.discarded),
        }


def _tokens(entries: Sequence[dict[str, Any]]) -> int:
    return sum(one["input_tokens"] + one["output_tokens"] for one in entries)


def judged(spoken: Paused, sent: Sequence[SentFrame], loud: Sequence[float]) -> Turn:
    """A sentence from the frames that the phone has sent since it was to play it, and its loud packets' arrivals."""
    peaks = np.abs(spoken.samples[: len(spoken.samples) // FRAME * FRAME].astype(int)).reshape(-1, FRAME).max(axis=1)
    sounding = int(np.flatnonzero(peaks)[0])
    first = next(index for index, frame in enumerate(sent) if frame.peak) - sounding

    def at(position: int) -> float:
        return sent[first + position // FRAME].time

    began, ended = at(spoken.begins), at(spoken.ends - 1)
    answerable = began if spoken.pauses_at is None else at(spoken.pauses_at - 1) + REAL_S
    begins = [later for before, later in itertools.pairwise((0.0, *loud)) if later - before > ONSET_S]
    return Turn(
        spoken.pause_ms,
        began,
        ended,
        next((begin for begin in begins if answerable <= begin < ended), None),
        next((begin for begin in begins if begin >= ended), None),
        next((begin for begin in begins if began <= begin < answerable), None),
    )


def check_machine(service_says: Mapping[str, float]) -> None:
    """Raise AriagentError if the figures are those of a machine that was busy with something else."""
    model_ms = service_says.get("model_ms", float("inf"))
    if model_ms > THINK_MS + BUSY_MS:
        raise AriagentError(
            f"the model's answers took {model_ms:.0f} ms (median), not {THINK_MS}: the machine is busy",
            remedy="Use a machine that does nothing else.",
        )


# -- calls -----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class TurnBench:
    """A service on a sandbox, and callers. Use ``opened``."""

    asterisk: AsteriskInstance
    service: environment.Process
    sandbox_url: str

    async def run(self, plan: Sequence[Paused], callers: int) -> Seen:
        """So many callers at once say the sentences of the plan, one after the other's answer."""
        seen = Seen()
        loop = asyncio.get_running_loop()
        async with calls_up(self.asterisk, "7001", callers) as calls:
            for one in calls:
                await one.bell.wait_loud(one.invited_at)
            billed = {entry["response"] for entry in await self._bill()}
            before = await self._counts()
            logged = len(self.service.log)
            began = loop.time(), self.service.cpu_s(), environment.cpu_seconds(self.asterisk.pid)
            talks = (_talk(one, plan[index::callers], index, seen) for index, one in enumerate(calls))
            await asyncio.gather(*talks)
            # The model is done with an answer soon after its first sound.
            await asyncio.gather(*(one.bell.wait_quiet() for one in calls))
            seen.lasted_s = loop.time() - began[0]
            seen.service_cpu_s = self.service.cpu_s() - began[1]
            seen.asterisk_cpu_s = environment.cpu_seconds(self.asterisk.pid) - began[2]
            seen.bill = [entry for entry in await self._bill() if entry["response"] not in billed]
            seen.service_says = parts_ms(self.service.log, logged)
            seen.counts = {name: value - before.get(name, 0.0) for name, value in (await self._counts()).items()}
        return seen

    async def _bill(self) -> list[dict[str, Any]]:
        url = self.sandbox_url.replace("ws://", "http://").removesuffix("/v1/realtime") + "/sandbox/bill"
        text = await asyncio.to_thread(_get, url)
        found: list[dict[str, Any]] = json.loads(text)["responses"]
        return found

    async def _counts(self) -> dict[str, float]:
        """The counters of the service that belong to turns."""
        starting = await self.service.wait_for("service.starting")
        port = dict(word.partition("=")[::2] for word in starting.split())["http_port"]
        found = samples(await asyncio.to_thread(_get, f"http://127.0.0.1:{port}/metrics"))
        wanted = ("ariagent_speculative_responses_total", "ariagent_cut_ins_total", "ariagent_turn_judgements_total")
        return {name.removeprefix("ariagent_"): value for name, value in found.items() if name.startswith(wanted)}


async def _talk(one: BenchCall, plan: Sequence[Paused], index: int, seen: Seen) -> None:
    loop = asyncio.get_running_loop()
    earliest = loop.time() + APART_S * index
    for spoken, before_s in zip(plan, itertools.cycle(BEFORE_S), strict=False):
        await one.bell.wait_quiet()
        await asyncio.sleep(max(before_s, earliest - loop.time()))
        at = len(one.call.sent)
        await one.call.play(spoken.samples)
        turn = judged(spoken, one.call.sent[at:], one.bell.loud)
        if turn.answered_at is None:
            # An answer that cut in may still be heard.
            await _heard_within(one, max(turn.ended_at, await one.bell.wait_quiet(ONSET_S) + 0.001), PATIENCE_S)
            turn = judged(spoken, one.call.sent[at:], one.bell.loud)
        seen.turns.append(turn)
        earliest = turn.ended_at + ROUND_S + before_s
        if turn.early:
            # The answer to the whole sentence is still to come, and belongs to this turn.
            await _heard_within(one, await one.bell.wait_quiet() + 0.001, SECOND_S)


async def _heard_within(one: BenchCall, after: float, patience_s: float) -> None:
    with suppress(TimeoutError):
        await one.bell.wait_loud(after, patience_s)


def _get(url: str) -> str:
    request = urllib.request.Request(url, headers={"Authorization": "Bearer bench"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=30) as answer:
        return str(answer.read(), "utf-8")


@asynccontextmanager
async def opened(
    asterisk: AsteriskInstance, directory: Path, agent: dict[str, Any], *, network_ms: int = 0, judge: bool = True
) -> AsyncIterator[TurnBench]:
    """A service with this agent, on a sandbox behind such a network. Without ``judge`` the service finds none."""
    directory.mkdir(parents=True, exist_ok=True)
    scenario = directory / "turns.json"
    scenario.write_text(json.dumps({"otherwise": [{"say": ANSWER}]}))
    # The model's voice hums: its first frame is loud.
    options = ["--scenario", str(scenario), "--think-ms", str(THINK_MS), "--voice", "tone", "--no-recogniser"]
    options += ["--network-ms", str(network_ms), "--billed"]
    lab = {} if judge else {modelfile.LAB: str(directory / "no-judge")}
    async with environment.sandbox(directory, *options, name="turns-model") as (_, url):
        settings = {"realtime": {"url": url, "api_key": "bench"}, "agents": {"default": {**AGENT, **agent}}}
        settings["max_calls"] = 100
        async with environment.service(asterisk, directory, settings, "turns", variables=lab) as service:
            yield TurnBench(asterisk, service, url)


# -- the judge alone -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Load:
    """The judge under so many requests a second, that came at random."""

    late_percent: float
    core_percent: float
    """The share of one core that judgements took."""
    median_ms: float


async def loaded(judge: Judging, speech: bytes, per_second: float, *, seconds: float, within_s: float = 0.25) -> Load:
    """Ask for judgements at random moments, each with a limit."""
    worker = JudgeWorker(judge)
    loop = asyncio.get_running_loop()
    chance = random.Random(1)
    waits: list[float] = []

    async def ask() -> None:
        began = loop.time()
        if await worker.judge(speech, RATE_HZ, within_s) is not None:
            waits.append(1000 * (loop.time() - began))

    began, cpu = loop.time(), environment.cpu_seconds(os.getpid())
    asked: list[asyncio.Task[None]] = []
    at = began
    try:
        while (at := at + chance.expovariate(per_second)) < began + seconds:
            await asyncio.sleep(at - loop.time())
            asked.append(asyncio.create_task(ask()))
        await asyncio.gather(*asked)
        used = environment.cpu_seconds(os.getpid()) - cpu
    finally:
        await asyncio.to_thread(worker.close)
    late = 100 * (1 - len(waits) / max(1, len(asked)))
    median = float(np.median(waits)) if waits else 1000 * within_s
    return Load(late, 100 * used / (loop.time() - began), median)

"""How long a caller waits for an answer: from the true end of the caller's speech to the answer, at the phone.

The caller is recorded speech. The end of the speech is the last loud frame that the phone sent, the answer the first
loud frame that it received after that: between them lie the detection of the turn's end, the model's thinking time,
the service, Asterisk and both ways of the audio.
"""

import asyncio
import itertools
import json
import re
import statistics
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ariagent.audio.format import SLIN8
from ariagent.caller.recorded import recorded
from ariagent.caller.voice import recording
from ariagent.records.events import AnswerBegan
from lab import environment
from lab.asterisk import AsteriskInstance
from lab.benchcalls import PATIENCE_S, BenchCall, Samples, calls_up
from lab.rtp import last_loud_sent

THINK_MS = 250
"""How long the model takes, at best."""
VOICE = "kal16"
SENTENCES = ("Hello, can you hear me?", "What can you help me with?", "What are your opening hours?")
"""Sentences that come with the package as recordings."""
ANSWER = "Yes, of course."
OPENING = "Good day."
AT_ONCE = 2
"""Callers at the same time: the sandbox's recogniser takes most of a processor for each."""
DELAYS_MS = ("response_ms", "detection_ms", "model_ms", "held_ms", "service_ms")
"""The answer delay and its parts, as the service's log names them."""
PAUSES_S = (0.6, 0.73, 0.87, 0.66)
"""From the agent's last word to the next question, in turn: odd, so that every phase of the frames' raster comes."""


@dataclass(slots=True)
class Answers:
    """The waits and answers of the callers of one run."""

    waits_ms: list[float] = field(default_factory=list)
    """For each question; one without an answer counts as PATIENCE_S."""
    unanswered: int = 0


def parts_ms(log: str, after: int = 0) -> dict[str, float]:
    """Medians of the answer delay in the service's log: the whole (``response_ms``), and each part. Empty without an
    answer. The log leaves out a part of 0 ms.

    ``after``: only the log from this position on.
    """
    told = [dict(re.findall(r"(\w+_ms)=(\S+)", line)) for line in log[after:].splitlines()
            if line.split()[2:3] == [AnswerBegan.NAME]]  # fmt: skip
    return {name: statistics.median(float(found.get(name, 0)) for found in told) for name in DELAYS_MS if told}


@asynccontextmanager
async def opened(asterisk: AsteriskInstance, directory: Path) -> AsyncIterator[environment.Process]:
    """A service with the default settings of an agent, on a sandbox that hears: Silero's detector and a recogniser.

    The model's voice hums: its first frame is loud, whatever the words are.
    """
    directory.mkdir(parents=True, exist_ok=True)
    scenario = directory / "answers.json"
    rules = [{"name": text, "when": {"said": _plain(text)}, "then": [{"say": ANSWER}]} for text in SENTENCES]
    scenario.write_text(json.dumps({"rules": rules, "otherwise": [{"say": ANSWER}]}))
    options = ("--scenario", str(scenario), "--think-ms", str(THINK_MS), "--voice", "tone")
    async with environment.sandbox(directory, *options, name="answering") as (_, url):
        settings = {"realtime": {"url": url, "api_key": "bench"}, "agents": {"default": {"opening": OPENING}}}
        async with environment.service(asterisk, directory, settings, "answers") as service:
            yield service


def _plain(text: str) -> str:
    """A sentence as a scenario has phrases."""
    return "".join(letter for letter in text.lower() if letter.isalpha() or letter == " ")


async def answers(asterisk: AsteriskInstance, extension: str, questions: int) -> Answers:
    """AT_ONCE callers ask so many questions each, one after the other's answer."""
    words = [words_of(text) for text in SENTENCES]
    seen = Answers()

    async def ask(one: BenchCall, index: int) -> None:
        await one.bell.wait_loud(one.invited_at)  # the opening
        asked = itertools.islice(zip(itertools.cycle(words), itertools.cycle(PAUSES_S), strict=False), questions)
        await asyncio.sleep(1.3 * index)
        for sentence, pause_s in asked:
            await one.bell.wait_quiet()
            await asyncio.sleep(pause_s)
            await _ask(one, sentence, seen)

    async with calls_up(asterisk, extension, AT_ONCE) as calls:
        await asyncio.gather(*(ask(one, index) for index, one in enumerate(calls)))
    return seen


async def _ask(one: BenchCall, sentence: Samples, seen: Answers) -> None:
    began = asyncio.get_running_loop().time()
    await one.call.play(sentence)
    spoken = last_loud_sent(one.call.sent, after=began)
    assert spoken is not None
    try:
        seen.waits_ms.append(1000 * (await one.bell.wait_loud(spoken.time) - spoken.time))
    except TimeoutError:
        seen.waits_ms.append(1000 * PATIENCE_S)
        seen.unanswered += 1


def words_of(text: str) -> Samples:
    """The recording of a sentence, 8 kHz."""
    path = recorded(VOICE, text)
    assert path is not None, f"no recording of {text!r}"
    return np.frombuffer(recording(path, SLIN8), "<i2")

"""Something happens while an answer of the model is held: what is heard, what is done, what the record has.

The caller asks one question through a real Asterisk. The model's answer speaks, looks something up (which is safe to
repeat, so it runs while the answer is held) and does something that is not safe to repeat. The lookup at the site's web
server is the sign that the service holds the whole answer at this moment. Model and caller speak with flite's voices,
so that the audio at the phone tells one answer from another. The same in memory: ``tests/call/test_fast_turns.py``.
"""

import asyncio
import json
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ariagent.audio.format import AudioFormat
from ariagent.audio.resample import Resampler
from ariagent.audio.waiting_tone import waiting_tone
from ariagent.call.takeover import history_of
from ariagent.caller.voice import Voice
from ariagent.config.handoff import DestinationSettings
from ariagent.dialogue.handoff import Handoff
from ariagent.dialogue.history import Said
from ariagent.records import timeline
from ariagent.records.store import Store
from ariagent.synthesis.programs import fetched
from ariagent.turns import modelfile
from lab import environment as lab
from lab import waiting
from lab.call_setup import CallState
from lab.packages import default_lab_dir

LIMIT_S = 60.0
HOLD_MS, SHORT_HOLD_MS = 5000, 2000
EARLY_S = 0.2
"""The hold time is counted from the end of speech as the model's server hears it."""
QUESTION, MORE = "where is my order", "no wait a moment"
HELD = "It fell into the harbour."
"""The held answer."""
MADE_UP = "Forgive me, we are looking for it."
"""The answer of the next session, after the model or the service was lost."""
FREE = "We offer every customer a free inspection."
PRESSED, WAITS, FOUND = "You chose number five.", "Sure, I will be quiet.", "Number twelve."
KIND = {"queue": "support", "description": "human agents", "kind": "blind"}
DESTINATIONS = {"humans": {**KIND, "timeout_s": 30}}
FEW = 0.1
"""The share of other speech of the same voice that sounds alike at most."""
VOICE_HZ = 8000
AGENT = {"opening": "Good day.", "turn_detection": {"prefix_padding_ms": 100}, "machines": "ignore"}
"""Settings of the agent of a service that is a process of its own."""

BOTH_WAYS = pytest.mark.parametrize("number", ["7001", pytest.param("7000", marks=pytest.mark.chaos)])

until = partial(waiting.until, limit_s=LIMIT_S)


def scenario(path: Path, answer: str, does: str) -> Path:
    """The model's answers; the one to the question calls this function, beside the lookup if it is to be held."""
    leaves = {"name": "transfer_call", "arguments": {"destination": "humans", "reason": "a test", "summary": "Asks."}}
    acts = {"call": leaves if does == "transfer_call" else {"name": does}}
    looks = [{"call": {"name": "look"}}] if answer == HELD else []
    rules: dict[str, dict[str, Any]] = {
        "whispered": {"when": {"note": "supervisor"}, "then": FREE},
        "pressed": {"when": {"digits": "5"}, "then": PRESSED},
        "spoke on": {"when": {"said": [f"{QUESTION} {MORE}", MORE]}, "then": WAITS},
        "asked": {"when": {"said": [QUESTION]}, "then": [{"say": answer}, *looks, acts]},
        "found": {"when": {"tool_result": "*"}, "then": FOUND},
    }
    named = [{"name": name, **rule} for name, rule in rules.items()]
    path.write_text(json.dumps({"rules": named, "otherwise": "Nobody asked that."}))
    return path


def at_8k(said: tuple[Any, int]) -> Any:
    pcm, rate_hz = said
    return np.frombuffer(Resampler(rate_hz, VOICE_HZ).process(pcm.tobytes()), "<i2")


@dataclass
class Line:
    """A caller whose question is answered, as far as the model knows."""

    call: Any
    hearing: Any
    model: Any
    site: Any
    sound: Any
    caller: Voice
    asked_at: float = 0.0
    """The caller fell silent."""
    held: Any = None
    """The sound of the held answer."""
    before: int = 0
    """The samples that the phone had received by then."""
    first: Any = None
    """The model's session in which the answer was held."""

    async def asks(self) -> None:
        """Ask, and wait until the answer is held."""
        await self.says(QUESTION)
        self.asked_at = self.hearing.spoke_until()
        await until(lambda: self.ran("look"), "the answer to be held")
        [self.held] = map(at_8k, self.sound.said(self.session))
        self.first = self.session

    async def says(self, words: str) -> None:
        await self.call.play(np.frombuffer(await self.caller.say(words), "<i2"), VOICE_HZ)

    @property
    def session(self) -> Any:
        """The newest session of the model, which may be another one by now."""
        return self.model.sessions[-1]

    def ran(self, tool: str) -> int:
        """How often the site was asked for this."""
        return self.site.asked.count(("GET", f"/{tool}"))

    def quiet_until(self, until: float) -> bool:
        """Whether the caller has heard nothing between the question and this time."""
        return not any(self.asked_at <= at < until for at in self.hearing.loud)

    def answers(self, *sessions: Any) -> dict[str, Any]:
        """The sound of what the model has said in these sessions, by its words."""
        items = [item for session in sessions for item in session.core.conversation if item.role == "assistant"]
        parts = [part for item in items for part in item.content if part.audio]
        return {p.spoken: at_8k((p.format.decode(bytes(p.audio)), p.format.rate_hz)) for p in parts}

    def heard(self, *words: str) -> None:
        """Since the question the phone has heard these answers; the held one only if it is among them."""
        said, got = self._answers(), self.call.heard()[self.before :]
        for each in words:
            assert self.sound.share_heard(said[each], got) > self.sound.MOST, f"{each!r} was not heard"
        if HELD not in words:
            assert self.sound.share_heard(self.held, got) < FEW, "the discarded answer was heard"

    def heard_only(self, *words: str) -> None:
        """Since the question the phone has heard these answers, and at most the tone of a caller who waits."""
        self.heard(*words)
        said, got = self._answers(), self.call.heard()[self.before :]
        gap = np.zeros(VOICE_HZ // 4, np.int16)
        tone = np.frombuffer(waiting_tone(AudioFormat(VOICE_HZ)), "<i2")
        wanted = np.concatenate([gap, tone, *(part for each in words for part in (gap, said[each])), gap])
        assert self.sound.share_heard(got, wanted) > self.sound.MOST, "something else was heard"

    def _answers(self) -> dict[str, Any]:
        return {**self.answers(self.first, self.session), HELD: self.held}


def agent(does: str = "order", hold_ms: int = HOLD_MS) -> dict[str, Any]:
    """Changes of the agent's settings."""
    own = {"handoff": ["humans"]} if does == "transfer_call" else {"tools": ["look", does]}
    return {
        "turns": "fast",
        "fast_turns": {"hold_ms": hold_ms},
        "transcription": {},
        "keypad": {"pause_ms": 100},
        "tools": ["look"],
        **own,
    }


def sections(site: Any, outbound: dict[str, Any]) -> dict[str, Any]:
    """Sections of the settings: the site's functions, and where callers may be transferred."""
    site.says("/look", {"found": "yes"})
    site.says("/order", {"number": "12"})
    tool = {"timeout_s": 5, "retries": 0}
    tools = {
        "look": {**tool, "description": "Looks it up.", "url": f"{site.url}/look", "safe_to_repeat": True},
        "order": {**tool, "description": "Orders it.", "url": f"{site.url}/order"},
    }
    return {"tools": tools, "outbound": outbound, "destinations": DESTINATIONS}


@pytest.fixture
def no_judge(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The service finds no end-of-turn judge: answers are held for the whole hold time."""
    monkeypatch.setattr(modelfile, "folder", lambda: tmp_path / "no-judge")


@pytest.fixture
def model(sandbox: Any, tmp_path: Path) -> Any:
    """``await model()``: a model whose answer to the question is complete at once, and calls the function ``does``."""

    def make(answer: str = HELD, does: str = "order") -> Awaitable[Any]:
        voices = {"voice": "rms", "recogniser": True, "generation_speed": 0}
        path = scenario(tmp_path / f"{len(answer)}.json", answer, does)
        return sandbox(scenario=path, **voices)  # type: ignore[no-any-return]

    return make


@pytest.fixture
def asking(dial: Any, site: Any, sound: Any) -> Any:
    """``line = await asking(model, "7001")``: a caller whose answer is held at this moment."""

    async def ask(model: Any, number: str) -> Line:
        lab_dir = default_lab_dir()
        flite = await asyncio.to_thread(fetched, "flite")
        caller = Voice(flite, "kal16", AudioFormat(VOICE_HZ), lab_dir / "speech")
        await caller.say(QUESTION)
        await caller.say(MORE)
        call, hearing = await dial(number)
        await hearing.utterance(quiet_s=0.6)
        line = Line(call, hearing, model, site, sound, caller)
        line.before = len(call.heard())
        await line.asks()
        assert line.quiet_until(time.monotonic())
        return line

    return ask


@pytest.fixture
def holding(no_judge: None, model: Any, service: Any, asking: Any, site: Any, outbound: Any) -> Any:
    """``running, line = await holding("7001")``: a service, and a caller whose answer it holds at this moment.

    ``does``: the function that the answer calls, beside the lookup.
    """

    async def hold(number: str, does: str = "order", hold_ms: int = HOLD_MS) -> tuple[Any, Line]:
        answering = await model(does=does)
        running = await service(answering, agent=agent(does, hold_ms), **sections(site, outbound))
        return running, await asking(answering, number)

    return hold


async def one_turn(store: Store, said: str = QUESTION) -> list[str]:
    """The record has one turn of the caller's with these words, and so has a history that is made from it. Returns the
    names of the record's events."""
    await until(lambda: store.past(None) and not store.live(), "the end in the record")
    [row] = store.past(None)
    events = store.events(row)
    assert [turn.text for turn in timeline.build(row, events).turns if turn.side == "caller"] == [said]
    spoken = [entry for entry in history_of(events) if isinstance(entry, Said) and entry.who == "caller"]
    assert [entry.text for entry in spoken if not entry.text.startswith("[")] == [said]
    return [event.name for event in events]


async def hears(line: Line, after: float) -> None:
    """Wait until the agent, who speaks after this time, has been heard to the end."""
    await line.hearing.wait_loud(after, LIMIT_S)
    await line.hearing.wait_quiet(1.0)


async def over(line: Line, log: Any) -> None:
    """The call still is a call; end it."""
    assert line.call.state is CallState.ANSWERED
    await line.call.hangup()
    await log.wait("call.ended", result="done", reason="caller_hung_up")


@pytest.fixture
def transferred_once(ends_with_people: Any, log: Any) -> Any:
    """``await transferred_once(running, line, human)``: the caller is with this human agent, by one transfer."""

    async def check(running: Any, line: Line, human: Any) -> None:
        await ends_with_people(line.call, human)
        await log.wait("call.ended", result="transferred")
        names = await one_turn(Store(running.settings.state_directory))
        assert names.count("call.transferred") == 1

    return check


@BOTH_WAYS
async def test_the_connection_to_the_model_is_reset(
    number: str, no_judge: None, model: Any, service: Any, proxy: Any, asking: Any, site: Any, outbound: Any, log: Any
) -> None:
    answering, following, between = await model(), await model(MADE_UP), await proxy()
    between.target = ("127.0.0.1", answering.port)
    running = await service(f"ws://{between.address}/v1/realtime", agent=agent(), **sections(site, outbound))
    line = await asking(answering, number)
    line.model, between.target = following, ("127.0.0.1", following.port)
    between.cut()
    await log.wait("model.reconnected")
    await hears(line, (await log.wait("turn.agent", said=FOUND)).at)
    line.heard_only(MADE_UP, FOUND)
    assert line.session.texts.count(QUESTION) == 1
    assert HELD not in line.session.texts
    assert (line.ran("look"), line.ran("order")) == (1, 1)
    assert len(log.named("turn.answer_discarded")) == 1
    await over(line, log)
    names = await one_turn(Store(running.settings.state_directory))
    assert names.count("turn.agent") == 3


@BOTH_WAYS
async def test_the_service_is_killed(
    number: str, model: Any, proxy: Any, bed: Any, asking: Any, site: Any, outbound: Any, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    answering, following, between = await model(), await model(MADE_UP), await proxy()
    between.target = ("127.0.0.1", answering.port)
    tree = {
        "realtime": {"url": f"ws://{between.address}/v1/realtime", "api_key": "test"},
        "agents": {"default": {**AGENT, **agent()}},
        "state_directory": str(tmp_path / "state"),
        **sections(site, outbound),
    }
    argv = lab.service_argv(lab.write_settings(bed.asterisk, tmp_path, tree, "killed"))
    store = Store(tmp_path / "state")
    await asyncio.to_thread(fetched, "flite")
    monkeypatch.setenv(modelfile.LAB, str(tmp_path / "no-judge"))
    async with lab.kept(argv, tmp_path, "killed") as kept:
        monkeypatch.undo()
        for ready in lab.READY_WITH_QUEUES:
            await kept.starts[0].wait_for(ready)
        line = await asking(answering, number)
        await until(
            lambda: any(event.name == "turn.so_far" for row in store.live() for event in store.events(row)),
            "the words in the record",
        )
        assert line.quiet_until(time.monotonic())
        line.model, between.target = following, ("127.0.0.1", following.port)
        serving = await kept.kill()
        await until(
            lambda: line.model.sessions and FOUND in line.answers(line.session), "the answer of the next process"
        )
        await hears(line, time.monotonic())
        line.heard_only(MADE_UP, FOUND)
        assert line.session.texts.count(QUESTION) == 1
        assert HELD not in line.session.texts
        assert (line.ran("look"), line.ran("order")) == (1, 1)
        assert line.call.state is CallState.ANSWERED
        assert serving.log.count(" call.resumed") == 1
        await line.call.hangup()
        await one_turn(store)


@BOTH_WAYS
async def test_a_supervisor_transfers_the_caller(
    number: str, phone: Any, holding: Any, transferred_once: Any, log: Any
) -> None:
    """The caller hears the answer first, as any sentence that is being said; then they are transferred. That waits for
    at most 5 s, which are longer than this hold time and the answer."""
    human = await phone("1001", register=True)
    running, line = await holding(number, hold_ms=SHORT_HOLD_MS)
    [serving] = running.calls.calls
    serving.transfer(Handoff("humans", DestinationSettings(**KIND), by="anna"))
    released = await log.wait("turn.answered")
    assert log.named("call.transferred") == []
    transferred = await log.wait("call.transferred", destination="humans", by="anna")
    assert line.quiet_until(line.asked_at + SHORT_HOLD_MS / 1000 - EARLY_S)
    line.heard(HELD, FOUND)  # and then the queue's music
    [ordered] = log.named("tool.called", tool="order")
    assert released.at - EARLY_S < ordered.at < transferred.at
    assert (line.ran("look"), line.ran("order")) == (1, 1)
    await transferred_once(running, line, human)


@BOTH_WAYS
async def test_the_model_transfers_the_caller(
    number: str, phone: Any, holding: Any, transferred_once: Any, log: Any
) -> None:
    human = await phone("1001", register=True)
    running, line = await holding(number, "transfer_call")
    released = await log.wait("turn.answered")
    assert log.named("call.transferred") == []
    transferred = await log.wait("call.transferred", destination="humans")
    assert line.quiet_until(line.asked_at + HOLD_MS / 1000 - EARLY_S)
    line.heard(HELD)
    assert released.at < transferred.at
    await transferred_once(running, line, human)
    assert line.ran("look") == 1


@BOTH_WAYS
async def test_the_model_transfers_a_caller_who_speaks_on(number: str, phone: Any, holding: Any, log: Any) -> None:
    await phone("1001", register=True)
    running, line = await holding(number, "transfer_call")
    await line.says(MORE)
    await hears(line, (await log.wait("turn.agent", said=WAITS)).at)
    line.heard_only(WAITS)
    assert log.named("call.transferred") == []
    assert len(log.named("turn.answer_discarded")) == 1
    assert line.ran("look") == 1
    await over(line, log)
    await one_turn(Store(running.settings.state_directory), f"{QUESTION} {MORE}")


@BOTH_WAYS
async def test_the_caller_presses_a_key(number: str, holding: Any, log: Any) -> None:
    running, line = await holding(number)
    await line.call.send_dtmf("5")
    await hears(line, (await log.wait("turn.agent", said=PRESSED)).at)
    line.heard_only(PRESSED)
    assert HELD not in line.session.texts
    assert line.session.sent_events("error") == []
    assert (line.ran("look"), line.ran("order")) == (1, 0)
    assert len(log.named("turn.answer_discarded")) == 1
    await over(line, log)
    names = await one_turn(Store(running.settings.state_directory))
    assert names.count("call.digits") == 1


@pytest.mark.parametrize("now", [True, False], ids=["at_once", "later"])
@BOTH_WAYS
async def test_a_supervisor_whispers(number: str, now: bool, holding: Any, log: Any) -> None:
    running, line = await holding(number)
    [serving] = running.calls.calls
    serving.whisper("Mention the free inspection.", "anna", now=now)
    wanted = (HELD, FOUND, FREE) if now else (HELD, FOUND)
    last = max([await log.wait("turn.agent", said=words) for words in wanted], key=lambda entry: entry.at)
    await hears(line, last.at)
    [ordered], release_at = log.named("tool.called", tool="order"), line.asked_at + HOLD_MS / 1000
    assert ordered.at > release_at - EARLY_S
    assert line.quiet_until(release_at - EARLY_S)
    line.heard_only(*wanted)
    assert sorted(entry["said"] for entry in log.named("turn.agent")[1:]) == sorted(wanted)
    assert (line.ran("look"), line.ran("order")) == (1, 1)
    assert log.named("turn.answer_discarded") == []
    await over(line, log)
    await one_turn(Store(running.settings.state_directory))


@BOTH_WAYS
async def test_the_caller_hangs_up(number: str, holding: Any, log: Any) -> None:
    running, line = await holding(number)
    await over(line, log)
    assert line.quiet_until(time.monotonic())
    await until(lambda: not line.session.alive, "the end of the session")
    assert (line.ran("look"), line.ran("order")) == (1, 0)
    assert log.named("turn.answered") == []
    names = await one_turn(Store(running.settings.state_directory))
    assert names.count("turn.agent") == 1
    assert names.count("turn.answer_discarded") == 1

"""Fixed phrases: rendered by a sandbox, kept on disk, found at once."""

import asyncio
import logging
import os
import time
import wave
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from ariagent.audio.format import SLIN8, SLIN16, SLIN24, AudioFormat
from ariagent.config import AgentSettings, HttpToolSettings, RealtimeSettings
from ariagent.phrases import store as prompts_module
from ariagent.phrases.file import PromptKey, pack, unpack
from ariagent.phrases.store import AT_ONCE, UNUSED_S, Phrase, PhraseStore, phrases
from ariagent.realtime.events import Usage
from ariagent.realtime.render import RenderError, Rendering, render
from ariagent.sandbox.options import SandboxOptions
from ariagent.sandbox.server import SandboxServer

PATIENCE_S = 30.0
TEXT = "Hello, you talk with a machine."
AGENT = AgentSettings(opening=TEXT)
KEY = PromptKey("127.0.0.1:8080", "pcm", "m", "marin", 1.0, "en", "Hello")

MakeSandbox = Callable[..., Awaitable[SandboxServer]]
MakePrompts = Callable[..., PhraseStore]


@pytest.fixture
async def make_sandbox() -> AsyncIterator[MakeSandbox]:
    """``await make_sandbox(**options)``: a running sandbox that hums."""
    async with AsyncExitStack() as stack:

        async def make(**options: Any) -> SandboxServer:
            usual: dict[str, Any] = {"voice": "tone", "recogniser": False, "detector": "none", "think_ms": 0}
            chosen = SandboxOptions(**{**usual, "generation_speed": 0, **options})
            return await stack.enter_async_context(SandboxServer(chosen))

        yield make


@pytest.fixture
def make_prompts(tmp_path: Path) -> MakePrompts:
    """``make_prompts(url)``: phrases by the server at ``url``, kept in ``tmp_path``; they do not pause for long."""

    def make(url: str, fmt: AudioFormat = SLIN24, directory: Path = tmp_path, **options: Any) -> PhraseStore:
        settings = RealtimeSettings(url=url, api_key=SecretStr("sk-1"), connect_timeout_s=PATIENCE_S)
        return PhraseStore(directory, settings, fmt, **{"first_pause_s": 0.02, **options})

    return make


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
async def test_nobody_else_can_read_or_replace_what_is_kept(
    umask: int, make_sandbox: MakeSandbox, make_prompts: MakePrompts, tmp_path: Path
) -> None:
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts").chmod(0o777)  # an older version's
    before = os.umask(umask)
    try:
        await warm(make_prompts((await make_sandbox()).url), {"a": AGENT})
    finally:
        os.umask(before)
    assert (tmp_path / "prompts").stat().st_mode & 0o777 == 0o700
    (file,) = kept(tmp_path)
    assert file.stat().st_mode & 0o077 == 0


def kept(directory: Path) -> list[Path]:
    return sorted((directory / "prompts").glob("*"))


async def warm(prompts: PhraseStore, agents: dict[str, AgentSettings]) -> None:
    """The work of a service until these agents' phrases are there or cannot be."""
    prompts.want(agents)
    running = asyncio.ensure_future(prompts.run())
    try:
        await prompts.settled.wait()
    finally:
        running.cancel()
        await asyncio.wait([running])


async def within(work: Awaitable[Any]) -> Any:
    return await asyncio.wait_for(work, PATIENCE_S)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.01)


def fields(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, Any]]:
    return [record.fields for record in caplog.records if record.getMessage() == event]  # type: ignore[attr-defined]


class TestWhatIsNeeded:
    def test_the_opening_in_each_language_and_the_texts_of_signs(self) -> None:
        opening = {"en": "Hello", "es": "Hola", "de": "Hallo"}
        agent = AgentSettings(opening=opening, languages=("es", "fr"), tools=("slow", "beep", "mute", "python"))
        tools = {
            "slow": HttpToolSettings(url="http://x.test/", description="x", waiting_prompt="One moment."),
            "beep": HttpToolSettings(url="http://x.test/", description="x"),
            "mute": HttpToolSettings(url="http://x.test/", description="x", waiting_prompt=None),
            "other": HttpToolSettings(url="http://x.test/", description="x", waiting_prompt="Not this one."),
        }
        assert list(phrases("desk", agent, tools)) == [
            Phrase("desk", "opening", "en", "Hello"),
            Phrase("desk", "opening", "es", "Hola"),
            Phrase("desk", "opening", "en", "Hello"),  # there is none in French
            Phrase("desk", "waiting_prompt", "en", "One moment."),
        ]

    def test_a_text_is_in_the_language_that_it_is_given_in(self) -> None:
        def languages(agent: AgentSettings) -> list[str]:
            return [phrase.language for phrase in phrases("x", agent, {})]

        assert languages(AgentSettings(language="de", opening="Hallo", languages=("en",))) == ["de", "de"]
        assert languages(AgentSettings(language="de", opening={"fr": "Bonjour"})) == ["fr"]
        assert languages(AgentSettings(opening=None)) == []
        assert languages(AgentSettings(language="es")) == ["es"]


class TestFiles:
    def test_a_file_is_read_back_and_any_player_reads_it(self, tmp_path: Path) -> None:
        for pcm in (b"\x01\x02\x03\x04" * 600, b"\x01\x02"):
            data = pack(pcm, KEY)
            assert unpack(data, KEY) == pcm
            path = tmp_path / KEY.file_name
            path.write_bytes(data)
            with wave.open(str(path)) as file:
                assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 24_000)
                assert file.readframes(file.getnframes()) == pcm

    def test_any_damage_is_noticed(self) -> None:
        data = pack(bytes(range(100)), KEY)
        for at in range(len(data)):
            assert unpack(data[:at], KEY) is None
            assert unpack(data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :], KEY) is None
        assert unpack(data + b"\0", KEY) is None
        assert unpack(pack(b"", KEY), KEY) is None

    @pytest.mark.parametrize(
        "other",
        [
            replace(KEY, server="api.test:8080"),
            replace(KEY, server="127.0.0.1:8081"),
            replace(KEY, encoding="pcmu"),
            replace(KEY, model="n"),
            replace(KEY, voice="cedar"),
            replace(KEY, speed=1.1),
            replace(KEY, language="es"),
            replace(KEY, text="Hello!"),
        ],
    )
    def test_another_rendering_is_another_file(self, other: PromptKey) -> None:
        assert other.file_name != KEY.file_name
        assert unpack(pack(b"\1\2", KEY), other) is None


async def test_a_phrase_is_rendered_kept_and_found(
    make_sandbox: MakeSandbox, make_prompts: MakePrompts, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ariagent")
    used: list[tuple[str, Usage]] = []
    prompts = make_prompts((await make_sandbox()).url, used=lambda *told: used.append(told))
    assert prompts.find(AGENT, TEXT, "en") is None
    await within(warm(prompts, {"desk": AGENT}))
    pcm = prompts.find(AGENT, TEXT, "en")
    assert pcm is not None
    assert SLIN24.ms(len(pcm)) == pytest.approx(len(TEXT) * 65, abs=15)
    assert prompts.find(AGENT, "Something else.", "en") is None
    assert prompts.find(AgentSettings(opening=TEXT, voice="cedar"), TEXT, "en") is None
    assert prompts.find(AGENT, TEXT, "es") == pcm  # the one there is
    [path] = kept(tmp_path)
    with wave.open(str(path)) as file:
        assert file.readframes(file.getnframes()) == pcm
    [told] = fields(caplog, "phrase.rendered")
    assert told["tries"] == 1
    assert told["agent"] == "desk"
    assert told["audio_ms"] == round(SLIN24.ms(len(pcm)))
    [(_, usage)] = used
    assert usage.output_audio > 0


@pytest.mark.parametrize("fmt", [SLIN8, SLIN16])
async def test_phrases_come_at_the_rate_of_the_call(
    make_sandbox: MakeSandbox, make_prompts: MakePrompts, fmt: AudioFormat
) -> None:
    prompts = make_prompts((await make_sandbox()).url, fmt)
    await within(warm(prompts, {"desk": AGENT}))
    pcm = prompts.find(AGENT, TEXT, "en")
    assert pcm is not None
    assert fmt.ms(len(pcm)) == pytest.approx(len(TEXT) * 65, abs=15)


async def test_after_a_restart_no_session_is_needed(make_sandbox: MakeSandbox, make_prompts: MakePrompts) -> None:
    sandbox = await make_sandbox()
    before = make_prompts(sandbox.url)
    await within(warm(before, {"desk": AGENT}))
    after = make_prompts(sandbox.url)
    await within(warm(after, {"desk": AGENT}))
    assert len(sandbox.sessions) == 1
    assert after.find(AGENT, TEXT, "en") == before.find(AGENT, TEXT, "en") is not None


@pytest.mark.parametrize("harm", ["cut", "changed", "foreign", "empty", "directory", "huge"])
async def test_a_file_that_cannot_be_used_is_replaced(
    make_sandbox: MakeSandbox, make_prompts: MakePrompts, tmp_path: Path, harm: str
) -> None:
    sandbox = await make_sandbox()
    await within(warm(make_prompts(sandbox.url), {"desk": AGENT}))
    [path] = kept(tmp_path)
    good = path.read_bytes()
    if harm == "directory":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(
            {
                "cut": good[: len(good) // 2],
                "changed": good[:1000] + b"\x55\xaa" + good[1002:],
                "foreign": pack(bytes(4800), KEY),
                "empty": b"",
                "huge": good + bytes(9 * 1024 * 1024),
            }[harm]
        )
    prompts = make_prompts(sandbox.url)
    await within(warm(prompts, {"desk": AGENT}))
    assert prompts.find(AGENT, TEXT, "en") is not None
    assert len(sandbox.sessions) == 2
    if harm != "directory":
        assert [file.read_bytes() for file in kept(tmp_path)] == [good]


async def test_files_that_nobody_uses_any_more_are_removed_at_last(
    make_sandbox: MakeSandbox, make_prompts: MakePrompts, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    folder = tmp_path / "prompts"
    folder.mkdir()
    long_ago = time.time() - UNUSED_S - 60
    for name, at in (("old.wav", long_ago), ("left.part", long_ago), ("new.wav", time.time()), ("notes.txt", long_ago)):
        (folder / name).write_bytes(b"x")
        os.utime(folder / name, (at, at))
    sandbox = await make_sandbox()
    await within(warm(make_prompts(sandbox.url), {"a": AGENT}))
    kept_names = {path.name for path in kept(tmp_path)}
    assert kept_names > {"new.wav", "notes.txt"}
    assert len(kept_names) == 3
    assert [told["files"] for told in fields(caplog, "phrases.removed")] == [2]

    [ours] = [path for path in kept(tmp_path) if path.name not in ("new.wav", "notes.txt")]
    os.utime(ours, (long_ago, long_ago))
    await within(warm(make_prompts(sandbox.url), {"a": AGENT}))
    assert ours.stat().st_mtime > long_ago + UNUSED_S / 2  # read again, so it counts as used
    assert len(sandbox.sessions) == 1


async def test_the_cost_is_told_under_the_name_of_the_agents_model(
    make_sandbox: MakeSandbox, make_prompts: MakePrompts
) -> None:
    used: list[tuple[str, Usage]] = []
    prompts = make_prompts((await make_sandbox()).url, used=lambda *told: used.append(told))
    await within(warm(prompts, {"desk": AGENT.model_copy(update={"model": "gpt-realtime-mini"})}))
    assert [model for model, _ in used] == ["gpt-realtime-mini"]


async def test_a_paraphrasing_model_leaves_nothing_behind_until_it_obeys(
    make_sandbox: MakeSandbox, make_prompts: MakePrompts, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ariagent")
    sandbox = await make_sandbox(paraphrase=3 + 2)
    used: list[tuple[str, Usage]] = []
    prompts = make_prompts(sandbox.url, used=lambda *told: used.append(told))
    warming = asyncio.ensure_future(warm(prompts, {"desk": AGENT}))
    await until(lambda: bool(fields(caplog, "phrase.render_failed")))
    assert prompts.find(AGENT, TEXT, "en") is None
    assert kept(tmp_path) == []
    await within(warming)
    assert prompts.find(AGENT, TEXT, "en") is not None
    [failed] = fields(caplog, "phrase.render_failed")
    assert "other words 3 times" in failed["cause"]
    assert fields(caplog, "phrase.rendered")[0]["tries"] == 3
    assert len(used) == 2
    assert len(sandbox.sessions) == 6


async def test_a_model_that_never_obeys_fills_neither_memory_nor_disk(
    make_sandbox: MakeSandbox, make_prompts: MakePrompts, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prompts = make_prompts((await make_sandbox(paraphrase=10_000)).url)
    warming = asyncio.ensure_future(warm(prompts, {"desk": AGENT}))
    await until(lambda: len(fields(caplog, "phrase.render_failed")) >= 3)
    warming.cancel()
    with pytest.raises(asyncio.CancelledError):
        await warming
    assert prompts.find(AGENT, TEXT, "en") is None
    assert kept(tmp_path) == []
    pauses = [failed["retry_s"] for failed in fields(caplog, "phrase.render_failed")[:3]]
    assert pauses == [0.0, 0.0, 0.1]  # of 0.02, 0.04, 0.08


async def test_a_model_that_is_not_there_yet_is_tried_again(
    make_sandbox: MakeSandbox, make_prompts: MakePrompts, unused_tcp_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    prompts = make_prompts(f"ws://127.0.0.1:{unused_tcp_port}/v1/realtime")
    warming = asyncio.ensure_future(warm(prompts, {"desk": AGENT}))
    await until(lambda: len(fields(caplog, "phrase.render_failed")) >= 2)
    assert "cannot reach the model" in fields(caplog, "phrase.render_failed")[0]["cause"]
    await make_sandbox(port=unused_tcp_port)
    await within(warming)
    assert prompts.find(AGENT, TEXT, "en") is not None


async def test_no_more_than_two_are_rendered_at_once(
    make_sandbox: MakeSandbox, make_prompts: MakePrompts, monkeypatch: pytest.MonkeyPatch
) -> None:
    running: list[int] = [0]

    async def counted(*given: Any) -> Rendering:
        running.append(running[-1] + 1)
        try:
            return await render(*given)
        finally:
            running.append(running[-1] - 1)

    monkeypatch.setattr(prompts_module, "render", counted)
    prompts = make_prompts((await make_sandbox()).url)
    await within(warm(prompts, {f"a{n}": AgentSettings(opening=f"I am number {n} of six.") for n in range(6)}))
    assert prompts.ready == 6
    assert max(running) == AT_ONCE


async def test_a_fault_of_one_phrase_does_not_stop_the_others(
    make_sandbox: MakeSandbox,
    make_prompts: MakePrompts,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def faulty(settings: RealtimeSettings, agent: AgentSettings, text: str, language: str) -> Rendering:
        if text == "Good day.":
            raise ZeroDivisionError
        return await render(settings, agent, text, language)

    monkeypatch.setattr(prompts_module, "render", faulty)
    prompts = make_prompts((await make_sandbox()).url)
    await within(warm(prompts, {"a": AgentSettings(opening="Good day."), "b": AGENT}))
    assert prompts.find(AGENT, TEXT, "en") is not None
    assert [told["agent"] for told in fields(caplog, "phrase.fault")] == ["a"]


async def test_agents_that_say_the_same_share_it_and_a_hopeless_text_is_left_out(
    make_sandbox: MakeSandbox, make_prompts: MakePrompts, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ariagent")
    sandbox = await make_sandbox()
    prompts = make_prompts(sandbox.url)
    twin = AgentSettings(opening=TEXT, instructions="Other instructions.")
    endless = AGENT.model_copy(update={"opening": "word " * 500})
    await within(warm(prompts, {"a": AGENT, "b": twin, "long": endless}))
    assert len(sandbox.sessions) == 1
    assert prompts.find(twin, TEXT, "en") is not None
    [failed] = fields(caplog, "phrase.render_failed")
    assert (failed["agent"], "retry_s" in failed) == ("long", False)
    assert fields(caplog, "phrases.ready") == [{"phrases": 1, "missing": 1}]


async def test_memory_holds_what_is_used_now(make_sandbox: MakeSandbox, make_prompts: MakePrompts) -> None:
    prompts = make_prompts((await make_sandbox()).url)
    other = AgentSettings(opening="Good day.")
    await within(warm(prompts, {"a": AGENT, "b": other}))
    await within(warm(prompts, {"b": other}))
    assert prompts.find(AGENT, TEXT, "en") is None
    assert prompts.find(other, "Good day.", "en") is not None
    assert prompts.ready == 1


class Model:
    """A model in place of ``render``: the test decides about each text."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        self.obeys = asyncio.Event()
        self.disobeyed: set[str] = set()
        """Texts in place of which it says other words."""
        monkeypatch.setattr(prompts_module, "render", self._render)

    async def _render(self, settings: RealtimeSettings, agent: AgentSettings, text: str, language: str) -> Rendering:
        self.asked.append(text)
        if text in self.disobeyed:
            raise RenderError("the model said other words", usage=Usage(output_audio=1))
        await self.obeys.wait()
        return Rendering(b"\1\2" * 480, text, 1, Usage())


async def test_other_phrases_take_the_place_of_those_that_were_wanted_before(
    make_prompts: MakePrompts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ariagent")
    model, prompts = Model(monkeypatch), make_prompts("ws://nobody.test/")
    model.disobeyed = {"Good day."}
    running = asyncio.ensure_future(prompts.run())
    prompts.want({"both": AGENT, "old": AgentSettings(opening="Good day.")})
    await until(lambda: model.asked.count("Good day.") >= 2)
    prompts.want({"both": AGENT, "new": AgentSettings(opening="Good morning.")})
    assert not prompts.settled.is_set()
    tried = model.asked.count("Good day.")
    await until(lambda: "Good morning." in model.asked)
    model.obeys.set()
    await within(prompts.settled.wait())
    await asyncio.sleep(0.2)  # longer than the pauses were
    running.cancel()
    await asyncio.wait([running])
    assert model.asked.count("Good day.") == tried
    assert (model.asked.count(TEXT), model.asked.count("Good morning.")) == (1, 1)
    assert prompts.ready == 2
    assert fields(caplog, "phrases.ready") == [{"phrases": 2, "missing": 0}]


async def test_a_phrase_that_waits_is_tried_at_once_when_it_is_wanted_again(
    make_prompts: MakePrompts, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, prompts = Model(monkeypatch), make_prompts("ws://nobody.test/", first_pause_s=1000)
    model.disobeyed = {TEXT}
    model.obeys.set()
    running = asyncio.ensure_future(prompts.run())
    prompts.want({"desk": AGENT})
    await until(lambda: model.asked == [TEXT])
    model.disobeyed.clear()
    prompts.want({"desk": AGENT})
    await within(prompts.settled.wait())
    running.cancel()
    await asyncio.wait([running])
    assert model.asked == [TEXT, TEXT]
    assert prompts.find(AGENT, TEXT, "en") is not None


async def test_without_a_place_to_keep_them_phrases_are_there_all_the_same(
    make_sandbox: MakeSandbox, make_prompts: MakePrompts, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    prompts = make_prompts((await make_sandbox()).url, directory=blocked)
    await within(warm(prompts, {"a": AGENT, "b": AgentSettings(opening="Good day.")}))
    assert prompts.ready == 2
    [told] = fields(caplog, "phrases.not_saved")
    assert told["path"] == str(blocked / "prompts")

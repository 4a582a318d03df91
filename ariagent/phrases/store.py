"""Fixed phrases in the agents' own voices, rendered before they are needed and kept on disk.

``want`` says which there are to be, ``run`` makes what is missing, in the background, and ``find`` is instant. A phrase
that is not there (yet) is no reason to hold a call up: the caller of ``find`` does without it.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ariagent import privatefile
from ariagent.audio.clips import converted
from ariagent.audio.format import AudioFormat
from ariagent.config import AgentSettings, HttpToolSettings, RealtimeSettings
from ariagent.hosts import joined
from ariagent.phrases.file import RATE_HZ, PromptKey, pack, unpack
from ariagent.realtime.events import Usage
from ariagent.realtime.render import ENCODING, RenderError, render

log = logging.getLogger(__name__)

AT_ONCE = 2
FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 600.0
LONGEST_PAUSE_PAID_S = 3600.0
"""Longest pause in seconds after attempts that cost money: the model spoke, but other words."""
UNUSED_S = 30 * 86_400.0
"""Files that no service has read for this long are removed: their texts, voices or servers have changed."""
_TOUCH_S = 86_400.0
FOLDER_MODE = 0o700
"""A user who can write there can have the agent say anything."""
LARGEST_FILE = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Phrase:
    """Something that an agent says always in the same words."""

    agent: str
    what: str
    """``opening`` or ``waiting_prompt``."""
    language: str
    text: str


def phrases(name: str, agent: AgentSettings, tools: Mapping[str, HttpToolSettings]) -> Iterator[Phrase]:
    """The phrases of an agent: its opening in each of its languages, and the texts of its tools' waiting prompts."""
    for language in dict.fromkeys((agent.language, *(agent.languages or ()))):
        if text := agent.opening_in(language):
            yield Phrase(name, "opening", _language_of(agent, text, language), text)
    for tool in agent.tools:
        prompt = tools[tool].waiting_prompt if tool in tools else None
        if prompt and prompt != "tone":
            yield Phrase(name, "waiting_prompt", agent.language, prompt)


def _language_of(agent: AgentSettings, text: str, language: str) -> str:
    """The language that an opening is given in; it need not be the one that was asked for."""
    if not isinstance(agent.opening, dict):
        return agent.language
    candidates = (language, agent.language, *agent.opening)
    return next(given for given in candidates if agent.opening.get(given) == text)


class PhraseStore:
    """The phrases of one service. ``fmt``: the AudioSocket's format. ``used`` is told a model, and its use."""

    def __init__(
        self,
        directory: Path,
        realtime: RealtimeSettings,
        fmt: AudioFormat,
        *,
        used: Callable[[str, Usage], None] | None = None,
        first_pause_s: float = FIRST_PAUSE_S,
    ) -> None:
        self.directory = directory / "prompts"
        self.settled = asyncio.Event()
        """Set while every wanted phrase is there or cannot be."""
        self._realtime = realtime
        self._fmt = fmt
        self._used = used
        self._first_pause_s = first_pause_s
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._wanted: dict[PromptKey, tuple[Phrase, AgentSettings]] = {}
        self._clips: dict[PromptKey, bytes] = {}
        """The wanted phrases that are there."""
        self._changed = asyncio.Event()
        """Set when other phrases are wanted, until ``run`` has seen to it."""
        self._making: dict[PromptKey, asyncio.Task[None]] = {}
        self._pausing: set[PromptKey] = set()
        """Phrases between two attempts to render them."""
        self._settling: asyncio.Task[None] | None = None
        self._keeps = True

    @property
    def ready(self) -> int:
        """The number of wanted phrases that are there."""
        return len(self._clips)

    def find(self, agent: AgentSettings, text: str, language: str) -> bytes | None:
        """A phrase as PCM in the AudioSocket's format; None where it is not there (yet).

        ``language`` matters only where the text was rendered in several.
        """
        key = self._key(agent, text, language)
        if (pcm := self._clips.get(key)) is not None:
            return pcm
        voice = (key.model, key.voice, key.speed, key.text)
        alike = (other for other in self._clips if (other.model, other.voice, other.speed, other.text) == voice)
        return next((self._clips[other] for other in alike), None)

    def want(self, agents: Mapping[str, AgentSettings], tools: Mapping[str, HttpToolSettings] | None = None) -> None:
        """Have every phrase of these agents, and no other, in place of those that were wanted before.

        A rendering that is under way continues if its phrase is still wanted. If the phrase waits for another attempt,
        that attempt begins at once.
        """
        self._wanted = {}
        for name, agent in agents.items():
            for phrase in phrases(name, agent, tools or {}):
                self._wanted.setdefault(self._key(agent, phrase.text, phrase.language), (phrase, agent))
        self._clips = {key: pcm for key, pcm in self._clips.items() if key in self._wanted}
        for key, task in list(self._making.items()):
            if task.done() or key not in self._wanted or key in self._pausing:
                task.cancel()
                del self._making[key]
        if self._settling is not None:
            self._settling.cancel()
        self.settled.clear()
        self._changed.set()

    async def run(self) -> None:
        """Make the wanted phrases that are missing, until cancelled.

        A phrase that fails is tried again, with growing pauses, without end.
        """
        async with asyncio.TaskGroup() as tasks:
            while True:
                await self._changed.wait()
                self._changed.clear()
                for key, (phrase, _) in self._wanted.items():
                    if key not in self._clips and key not in self._making:
                        self._making[key] = tasks.create_task(self._have(key), name=f"prompt {phrase.agent}")
                self._settling = tasks.create_task(self._settle(), name="prompts settle")

    async def _settle(self) -> None:
        """Wait until every wanted phrase is there or cannot be."""
        if self._making:
            await asyncio.wait(self._making.values())
        log.info("phrases.ready", extra={"fields": {"phrases": self.ready, "missing": len(self._wanted) - self.ready}})
        await asyncio.to_thread(_clear, self.directory, {key.file_name for key in self._wanted})
        self.settled.set()

    def _key(self, agent: AgentSettings, text: str, language: str) -> PromptKey:
        realtime = self._realtime
        parts = urlsplit(realtime.url)
        server = joined(parts.hostname or "", parts.port or (443 if parts.scheme == "wss" else 80))
        model = realtime.model_of(agent.model)
        return PromptKey(server, ENCODING, model, agent.voice, agent.speed, language, text)

    async def _have(self, key: PromptKey) -> None:
        phrase, _ = self._wanted[key]
        try:
            path = self.directory / key.file_name
            pcm = await asyncio.to_thread(_read, path, key)
            if pcm is None and (pcm := await self._rendered(key)) is not None:
                await asyncio.to_thread(self._keep, path, pack(pcm, key))
            if pcm is not None:
                self._clips[key] = await asyncio.to_thread(converted, pcm, RATE_HZ, self._fmt.rate_hz)
        except Exception:  # a task's edge: the others' phrases are not to suffer
            log.exception("phrase.fault", extra={"fields": _fields(phrase)})

    async def _rendered(self, key: PromptKey) -> bytes | None:
        """The phrase as PCM at 24 kHz, however long it takes; None where it is hopeless."""
        pause_s = self._first_pause_s
        while True:
            phrase, agent = self._wanted[key]  # the agent's other settings may have changed since the last attempt
            try:
                return await self._render(key.model, phrase, agent)
            except RenderError as error:
                _tell_failure(phrase, error, pause_s)
                if error.hopeless:
                    return None
                self._pausing.add(key)
                try:
                    await asyncio.sleep(pause_s)
                finally:
                    self._pausing.discard(key)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_PAID_S if error.usage != Usage() else LONGEST_PAUSE_S)

    async def _render(self, model: str, phrase: Phrase, agent: AgentSettings) -> bytes:
        async with self._slots:
            began = asyncio.get_running_loop().time()
            try:
                rendering = await render(self._realtime, agent, phrase.text, phrase.language)
            except RenderError as error:
                self._tell_usage(model, error.usage)
                raise
        self._tell_usage(model, rendering.usage)
        fields = {
            **_fields(phrase),
            "audio_ms": round(len(rendering.pcm) / (RATE_HZ * 2 / 1000)),
            "took_ms": round((asyncio.get_running_loop().time() - began) * 1000),
            "tries": rendering.tries,
        }
        log.info("phrase.rendered", extra={"fields": fields})
        return rendering.pcm

    def _tell_usage(self, model: str, usage: Usage) -> None:
        if self._used is not None and usage != Usage():
            self._used(model, usage)

    def _keep(self, path: Path, content: bytes) -> None:
        """Write a file whole or not at all. Without a place to keep it the phrase is rendered at every start."""
        try:
            path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            with suppress(OSError):
                path.parent.chmod(FOLDER_MODE)  # whatever the umask is, and an older version's folder too
            privatefile.write(path, content)
        except OSError as error:
            if self._keeps:
                remedy = "Make state_directory writable; until then phrases are rendered at every start"
                fields = {"path": str(path.parent), "cause": str(error), "remedy": remedy}
                log.warning("phrases.not_saved", extra={"fields": fields})
            self._keeps = False


def _read(path: Path, key: PromptKey) -> bytes | None:
    """The PCM in a phrase's file; None if there is no usable file."""
    try:
        found = path.stat()
        if found.st_size <= LARGEST_FILE and (pcm := unpack(path.read_bytes(), key)) is not None:
            if time.time() - found.st_mtime > _TOUCH_S:
                with suppress(OSError):
                    os.utime(path)
            return pcm
    except FileNotFoundError:
        return None
    except OSError as error:
        log.warning("phrase.unreadable", extra={"fields": {"path": str(path), "cause": str(error)}})
        return None
    log.warning("phrase.damaged", extra={"fields": {"path": str(path)}})
    return None


def _clear(directory: Path, used: Collection[str]) -> None:
    """Remove files that are not ``used``, and that nobody else has used for long."""
    removed = 0
    with suppress(OSError):
        for path in directory.iterdir():
            ours = path.suffix in (".wav", privatefile.SCRATCH) and path.name not in used
            with suppress(OSError):
                if ours and time.time() - path.stat().st_mtime > UNUSED_S:
                    path.unlink()
                    removed += 1
    if removed:
        log.info("phrases.removed", extra={"fields": {"files": removed, "unused_days": round(UNUSED_S / 86_400)}})


def _fields(phrase: Phrase) -> dict[str, object]:
    return {"agent": phrase.agent, "what": phrase.what, "language": phrase.language}


def _tell_failure(phrase: Phrase, error: RenderError, pause_s: float) -> None:
    fields = {**_fields(phrase), "cause": error.line}
    if not error.hopeless:
        fields["retry_s"] = round(pause_s, 1)
    log.warning("phrase.render_failed", extra={"fields": fields})

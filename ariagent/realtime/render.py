"""Has the model say a text word for word, once, to be played again and again.

A model cannot be trusted to do so: what it says is compared with the text, and asked for again in a fresh session where
it is not the same. Source of the request's form: OpenAI's Realtime guide, "Say exactly: ...".
"""

import asyncio
import logging
from dataclasses import dataclass, field

from ariagent.audio.clips import trimmed
from ariagent.audio.format import SLIN24
from ariagent.config import AgentSettings, RealtimeSettings, ServerVad
from ariagent.errors import AriagentError
from ariagent.realtime.client import RealtimeClient
from ariagent.realtime.duration import least_ms, most_ms
from ariagent.realtime.events import (
    AgentTranscribed,
    AudioArrived,
    Event,
    ResponseEnded,
    SessionFailed,
    SessionReady,
    Usage,
)
from ariagent.realtime.profile import SessionProfile
from ariagent.realtime.words import letters, same_words
from ariagent.values import languages

log = logging.getLogger(__name__)

ENCODING = "pcm"
"""The encoding of every session that renders, whatever the calls have."""
TRIES = 3
TIMEOUT_S = 120.0
"""Time limit for all tries, in seconds. A server may generate no faster than one listens."""
LONGEST_S = 60.0
"""Longest audio in seconds."""
LONGEST_CHARACTERS = 1200
"""Longest text in characters: about a minute, spoken fast."""

_MOST_TOKENS = 4096
_READER = "You read texts out on the telephone, in a friendly and natural voice, word for word."


@dataclass(frozen=True, slots=True)
class Rendering:
    """A text, spoken."""

    pcm: bytes
    """24 kHz, signed 16-bit little-endian mono; little silence before and after it."""
    transcript: str
    """The words, as the model transcribed them."""
    tries: int
    usage: Usage
    """The use of all tries."""


class RenderError(AriagentError):
    """A text could not be rendered; ``hopeless``: nor will it be in another attempt, whatever the model does."""

    def __init__(self, cause: str, *, remedy: str = "", hopeless: bool = False, usage: Usage | None = None) -> None:
        super().__init__(cause, remedy=remedy)
        self.hopeless = hopeless
        self.usage = usage or Usage()
        """The use of the failed attempt."""


async def render(
    settings: RealtimeSettings, agent: AgentSettings, text: str, language: str, *, timeout_s: float = TIMEOUT_S
) -> Rendering:
    """``text`` in ``agent``'s voice, at its speed, by its model. Raises RenderError.

    ``language`` is the text's, as ``en`` or ``en-GB``. The session has PCM, whatever the calls have: every server
    speaks it, and noise in place of a short text cannot be told by its duration.
    """
    _check(text)
    settings = settings.model_copy(update={"encoding": ENCODING})
    used = Usage()
    said: list[str] = []
    try:
        async with asyncio.timeout(timeout_s):
            for tries in range(1, TRIES + 1):
                attempt = _Attempt(settings, agent, text, language)
                try:
                    await attempt.run()
                finally:
                    used += attempt.client.session.usage
                spoken, transcript = attempt.judged()
                if spoken is not None:
                    return Rendering(spoken, transcript, tries, used)
                said.append(transcript)
                log.info("phrase.wording_differed", extra={"fields": {"tries": tries, "characters": len(text)}})
    except TimeoutError:
        raise RenderError(f"the model did not speak the text within {timeout_s:g} s", usage=used) from None
    except RenderError as error:
        error.usage = used
        raise
    remedy = "Write numbers and abbreviations as they are spoken, or choose other words"
    raise RenderError(
        f'the model said other words {TRIES} times, at last "{said[-1][:200]}"', remedy=remedy, usage=used
    )


def _check(text: str) -> None:
    if not letters(text):
        raise RenderError("there is nothing to say in the text", remedy="Give it words", hopeless=True)
    if len(text) > LONGEST_CHARACTERS:
        raise RenderError(
            f"the text has {len(text)} characters, of which at most {LONGEST_CHARACTERS} can be rendered",
            remedy="Make it shorter",
            hopeless=True,
        )


@dataclass(slots=True)
class _Item:
    """One item of the model: its audio and its words."""

    audio: bytearray = field(default_factory=bytearray)
    transcript: str = ""


class _Attempt:
    """One session in which the text is asked for once."""

    def __init__(self, settings: RealtimeSettings, agent: AgentSettings, text: str, language: str) -> None:
        self._text = text
        self._language = language
        self._speed = agent.speed
        reader = agent.model_copy(
            update={
                "instructions": _READER,
                # Nobody will speak. A session for a phrase needs none of a call's options, and is not billed for them.
                "turn_detection": ServerVad(create_response=False, interrupt_response=False),
                "transcription": None,
                "noise_reduction": None,
                "max_output_tokens": _MOST_TOKENS,
            }
        )
        self.client = RealtimeClient(settings, SessionProfile.of(reader, settings), self._on_event)
        self._loop = asyncio.get_running_loop()
        self._items: dict[str, _Item] = {}
        self._bytes = 0
        self._most_bytes = int(LONGEST_S * 48_000)
        self._ended: ResponseEnded | SessionFailed | None = None
        self._over = asyncio.Event()

    async def run(self) -> None:
        """Run the session until the model has spoken. Raises RenderError where it could not."""
        running = asyncio.ensure_future(self.client.run())
        waiting = asyncio.ensure_future(self._over.wait())
        try:
            await asyncio.wait((waiting, running), return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            await self.client.close()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        if not running.cancelled() and (fault := running.exception()) is not None:
            raise fault
        match self._ended:
            case SessionFailed(cause=cause, remedy=remedy):
                raise RenderError(cause, remedy=remedy)
            case ResponseEnded(status="completed"):
                return
            case ResponseEnded(status=status, reason=reason, message=message):
                because = ": ".join(part for part in (reason, message) if part)
                raise RenderError(f"the model's speech ended {status} ({because or 'no reason given'})")
        if self._bytes > self._most_bytes:
            longest = f"the text takes longer than {LONGEST_S:g} s to speak"
            raise RenderError(longest, remedy="Make it shorter", hopeless=True)
        raise RenderError("the model's session ended at once")

    def judged(self) -> tuple[bytes | None, str]:
        """The audio, where it is what was asked for, and what was said.

        A model may speak in several items ("commentary", then the answer): all together, or one alone, is the text.
        """
        items = list(self._items.values())
        whole = _Item(bytearray().join(item.audio for item in items), " ".join(item.transcript for item in items))
        for item in (whole, *items):
            if same_words(self._text, item.transcript, self._language):
                pcm = trimmed(bytes(item.audio), SLIN24)
                ms, wanted = SLIN24.ms(len(pcm)), (self._text, self._language, self._speed)
                if least_ms(*wanted) <= ms <= most_ms(*wanted):
                    return pcm, item.transcript
                return None, f"{item.transcript} [in {ms:.0f} ms of sound]"
        return None, whole.transcript

    def _on_event(self, event: Event) -> None:
        match event:
            case SessionReady():
                self.client.session.request_response(self._loop.time(), self._wish())
            case AudioArrived(item_id=item_id, audio=audio):
                self._items.setdefault(item_id, _Item()).audio += audio
                self._bytes += len(audio)
                if self._bytes > self._most_bytes:
                    self._over.set()
            case AgentTranscribed(item_id=item_id, text=text):
                self._items.setdefault(item_id, _Item()).transcript = text
            case ResponseEnded() | SessionFailed() if not self._over.is_set():
                # The first of them counts: what a call's session tries next is not for here.
                self._ended = event
                self._over.set()

    def _wish(self) -> str:
        language = languages.name(self._language)
        return f"Speak {language}, and only the words after the colon. Say exactly: {self._text}"

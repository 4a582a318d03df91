"""One spoken turn with the model, as in a call: a question in real time, and how long the answer takes.

The model itself speaks the question first, in a separate session: a server has no other source of speech.
"""

import asyncio
import contextlib
import time
from dataclasses import dataclass, field

from ariagent.audio.format import FRAME_MS, SLIN24
from ariagent.audio.rates import ModelCodec
from ariagent.check.model import Conversation, SessionRefusedError, conversing
from ariagent.check.report import Say, failed, ok, warning
from ariagent.config import AgentSettings, Settings
from ariagent.realtime.events import (
    AgentTranscribed,
    AudioArrived,
    CallerTranscribed,
    CallerTurnEnded,
    Event,
    ResponseEnded,
    SessionFailed,
    SpeechStopped,
)
from ariagent.realtime.profile import SessionProfile
from ariagent.realtime.render import RenderError, render

QUESTIONS = {
    "en": "What are your opening hours?",
    "es": "¿Cuál es su horario de apertura?",
    "de": "Wie sind Ihre Öffnungszeiten?",
    "fr": "Quels sont vos horaires d'ouverture ?",
    "it": "Quali sono i vostri orari di apertura?",
    "pt": "Qual é o vosso horário de funcionamento?",
    "nl": "Wat zijn jullie openingstijden?",
}
RENDER_LIMIT_S = 60.0
ANSWER_LIMIT_S = 30.0
"""Time limit from the end of the question to the end of the answer."""
TRANSCRIPT_LIMIT_S = 5.0
SLOW_MS = 1500.0
"""Milliseconds after which callers begin to wonder whether anybody is there."""
QUESTION, LATENCY, ANSWER = "spoken question", "latency", "spoken answer"


@dataclass(slots=True)
class _Turn:
    """The course of the turn. Times are of ``time.monotonic()``."""

    asked_at: float = 0.0
    noticed_at: float = 0.0
    answered_at: float = 0.0
    heard: str | None = None
    said: list[str] = field(default_factory=list)
    ended: ResponseEnded | None = None
    failure: SessionFailed | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, event: Event, now: float) -> None:
        match event:
            case SpeechStopped():
                self.noticed_at = self.noticed_at or now
            case AudioArrived():
                self.answered_at = self.answered_at or now
            case CallerTranscribed(text=text):
                self.heard = text or ""
            case AgentTranscribed(text=text):
                self.said.append(text)
            case ResponseEnded():
                self.ended = event
            case SessionFailed():
                self.failure = event
        self.changed.set()

    @property
    def over(self) -> bool:
        return self.ended is not None or self.failure is not None


async def check_talk(settings: Settings, say: Say) -> None:
    """Report how the agent ``default`` (or the first) answers a spoken question, and how fast."""
    name = "default" if "default" in settings.agents else next(iter(settings.agents))
    agent = settings.agents[name]
    language = agent.language if agent.language in QUESTIONS else agent.language.partition("-")[0]
    question = QUESTIONS.get(language, QUESTIONS["en"])
    language = language if language in QUESTIONS else "en"
    try:
        spoken = await render(settings.realtime, agent, question, language, timeout_s=RENDER_LIMIT_S)
    except RenderError as error:
        say(failed(QUESTION, f"the model could not speak the question: {error}", error.remedy))
        return
    say(ok(QUESTION, f'"{spoken.transcript}", {SLIN24.ms(len(spoken.pcm)) / 1000:.1f} s, to agent {name}'))
    try:
        async with conversing(settings, SessionProfile.of(agent, settings.realtime)) as talk:
            turn = await _converse(settings, agent, talk, spoken.pcm)
    except SessionRefusedError as error:
        say(failed(ANSWER, error.failure.cause, error.failure.remedy))
        return
    _tell(turn, agent, say)


async def _converse(settings: Settings, agent: AgentSettings, talk: Conversation, pcm: bytes) -> _Turn:
    turn = _Turn()
    speaking = asyncio.ensure_future(_speak(settings, talk, pcm, turn))
    listening = asyncio.ensure_future(_listen(agent, talk, turn))
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SLIN24.ms(len(pcm)) / 1000 + ANSWER_LIMIT_S):
                while not turn.over:
                    turn.changed.clear()
                    await turn.changed.wait()
        if agent.transcription is not None and turn.failure is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TRANSCRIPT_LIMIT_S):
                    while turn.heard is None:
                        turn.changed.clear()
                        await turn.changed.wait()
    finally:
        for task in (speaking, listening):
            task.cancel()
        await asyncio.gather(speaking, listening, return_exceptions=True)
    return turn


async def _speak(settings: Settings, talk: Conversation, pcm: bytes, turn: _Turn) -> None:
    """Send the question, then silence, one frame every 20 ms, as from a phone."""
    codec = ModelCodec(SLIN24, settings.realtime.encoding)
    frame_bytes = SLIN24.frame_bytes
    loop = asyncio.get_running_loop()
    due, at = loop.time(), 0
    while True:
        due += FRAME_MS / 1000
        await asyncio.sleep(max(0.0, due - loop.time()))
        talk.client.append_audio(codec.to_model(pcm[at : at + frame_bytes].ljust(frame_bytes, b"\0")))
        at += frame_bytes
        if at >= len(pcm) and not turn.asked_at:
            turn.asked_at = time.monotonic()


async def _listen(agent: AgentSettings, talk: Conversation, turn: _Turn) -> None:
    while True:
        event = await talk.events.get()
        turn.take(event, time.monotonic())
        if isinstance(event, CallerTurnEnded) and not agent.turn_detection.create_response:
            talk.client.session.request_response(asyncio.get_running_loop().time())
            talk.client.flush()


def _tell(turn: _Turn, agent: AgentSettings, say: Say) -> None:
    if not turn.answered_at:
        cause = turn.failure.cause if turn.failure else f"the model did not answer within {ANSWER_LIMIT_S:g} s"
        if turn.ended is not None:
            cause = f"the response has no audio ({turn.ended.status}): {turn.ended.reason} {turn.ended.message}"
        remedy = (turn.failure.remedy if turn.failure else "") or "Check turn_detection, and the account's limits"
        say(failed(ANSWER, cause, remedy))
        return
    if turn.heard is not None:
        say(ok("heard", f'"{turn.heard}"'))
    elif agent.transcription is not None:
        found = "no transcript of the question: records will not have the caller's words"
        say(warning("heard", found, "Check agents.NAME.transcription"))
    say(ok(ANSWER, f'"{" ".join(turn.said)}"'))
    total_ms = 1000 * (turn.answered_at - turn.asked_at)
    noticed_at = turn.noticed_at or turn.answered_at
    detection_ms, model_ms = 1000 * (noticed_at - turn.asked_at), 1000 * (turn.answered_at - noticed_at)
    found = (
        f"first audio {total_ms:.0f} ms after the last word: {detection_ms:.0f} ms to detect the end of the turn, "
        f"{model_ms:.0f} ms to answer"
    )
    figures = {
        "answer_ms": round(total_ms, 1),
        "detection_ms": round(detection_ms, 1),
        "model_ms": round(model_ms, 1),
    }
    if total_ms > SLOW_MS:
        say(warning(LATENCY, found, "Lower silence_duration_ms, or choose a faster model", **figures))
    else:
        say(ok(LATENCY, found, **figures))

"""One response: a script of steps that becomes server events over time (CORE).

The script is a generator that yields the time at which it wants to continue, or ``None`` while it waits for a plan or
for speech. Cancelling throws :class:`Cancelled` into it, so that whatever was open is closed where it was opened.
"""

import base64
import json
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from ariagent.sandbox import audio as sound
from ariagent.sandbox.faults import Faults
from ariagent.sandbox.items import Conversation, Item, Part
from ariagent.sandbox.line import Abort, Close, Line, Synthesize, Timer
from ariagent.sandbox.mcp import McpServers, needs_approval, tool_of
from ariagent.sandbox.scenario import Call, Fail, Mcp, Say, Step, Stop, Wait
from ariagent.sandbox.settings import ResponseSettings
from ariagent.sandbox.usage import ASSISTANT_TOKENS_PER_SECOND, Cost, text_tokens

Json = dict[str, Any]
Script = Generator[float | None, float, None]

_WRITE_SECONDS = 0.03
"""Between two deltas of text or arguments."""
_OBFUSCATION = "aK3xT9qLmZ2wRb7"


@dataclass(frozen=True, slots=True)
class Tone:
    """A step that only benches use: a ready piece of audio in the response's format."""

    audio: bytes


class Cancelled(Exception):  # noqa: N818 - an event of the protocol, not an error
    """The response ends now; ``late_deltas`` more may still be sent."""

    def __init__(self, reason: str, late_deltas: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.late_deltas = late_deltas


class _OutOfTokens(Exception):  # noqa: N818
    """max_output_tokens is reached."""


@dataclass(slots=True)
class Pace:
    """How a response is timed: nothing before ``ready_at``, then ``speed`` times real time (0: all at once)."""

    ready_at: float
    speed: float


@dataclass(slots=True)
class Response:
    """A response in progress or done. ``number`` counts the session's responses from 1."""

    id: str
    number: int
    settings: ResponseSettings
    pace: Pace
    line: Line
    conversation: Conversation
    conversation_id: str | None
    faults: Faults
    on_done: Callable[["Response", float], None]
    usage: Callable[[Cost], Json]
    mcp: McpServers
    phases: bool = False
    plan: Sequence[Step | Tone] | None = None
    status: str = "in_progress"
    status_details: Json | None = None
    output: list[Item] = field(default_factory=list)
    running: list[tuple[Item, Mcp, int]] = field(default_factory=list)
    """Calls of MCP tools that begin when the response is done, with their index in ``output``."""
    speech: dict[str, bytes] = field(default_factory=dict)
    final_usage: Json | None = None
    audio_started_at: float | None = None
    audio_ms: float = 0.0
    _text_tokens: int = 0
    _deltas: int = 0
    _script: Script | None = None
    _timer: Timer | None = None
    _now: float = 0.0

    @property
    def in_default_conversation(self) -> bool:
        """Whether it writes to the conversation, and so is the only one of its kind at a time."""
        return self.conversation_id is not None

    @property
    def active(self) -> bool:
        """Not done yet."""
        return self.status == "in_progress"

    @property
    def format(self) -> sound.WireFormat:
        """The format of its audio."""
        return sound.wire_format(self.settings.format, g711_lies=bool(self.faults.get("g711_lies")))

    def public(self) -> Json:
        """The response as the protocol shows it."""
        audio = {"format": self.settings.format, "voice": _voice_name(self.settings.voice)}
        return {
            "object": "realtime.response",
            "id": self.id,
            "status": self.status,
            "status_details": self.status_details,
            "output": [item.public() for item in self.output],
            "conversation_id": self.conversation_id,
            "output_modalities": self.settings.modalities,
            "max_output_tokens": self.settings.max_output_tokens,
            "audio": {"output": audio},
            "usage": self.final_usage,
            "metadata": self.settings.metadata,
        }

    def begin(self, now: float) -> None:
        """Announce the response; it continues by itself once it has a plan."""
        self._now = now
        self._script = self._run()
        self._step(lambda script: next(script))

    def set_plan(self, plan: Sequence[Step | Tone], now: float) -> None:
        """Set the steps of the response: words and function calls."""
        self.plan = plan
        if "audio" in self.settings.modalities:
            for step in plan:
                if isinstance(step, Say):
                    self._request_speech(step.texts[0])
        self.resume(now)

    def speech_ready(self, text: str, audio: bytes, now: float) -> None:
        """Speech that was asked for, in :attr:`format`."""
        self.speech[text] = audio
        self.resume(now)

    def cancel(self, reason: str, now: float, late_deltas: int = 0) -> None:
        """End as ``cancelled``; ``reason`` is ``turn_detected`` or ``client_cancelled``."""
        if self.active:
            self._now = now
            self._step(lambda script: script.throw(Cancelled(reason, late_deltas)))

    def resume(self, now: float) -> None:
        """Continue: a timer fired, or something that was waited for is there."""
        if self.active:
            self._now = now
            self._step(lambda script: script.send(now))

    def _step(self, advance: Callable[[Script], float | None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        script = self._script
        if script is None:
            return
        try:
            wanted = advance(script)
        except StopIteration:
            self._script = None
            return
        if wanted is not None:
            self._timer = self.line.at(wanted, self.resume)

    # -- the script --

    def _run(self) -> Script:
        try:
            self.line.emit("response.created", response=self.public())
            while self.plan is None:
                yield None
            plan = list(self.plan)
            if self.faults.get("rate_limit", self.number):
                plan = [Fail("tokens", "rate_limit_exceeded", "Rate limit reached. Please try again in 12s.")]
            elif self.faults.get("content_filter", self.number):
                plan = [Stop("content_filter")]
            elif self.faults.get("empty", self.number):
                plan = [Wait(0)]
            for step in plan:
                done = yield from self._do(step, plan)
                if done:
                    return
            self._finish("completed", None)
        except Cancelled as cancelled:
            self._finish("cancelled", {"type": "cancelled", "reason": cancelled.reason})
        except _OutOfTokens:
            self._finish("incomplete", {"type": "incomplete", "reason": "max_output_tokens"})

    def _do(self, step: Step | Tone, plan: Sequence[Step | Tone]) -> Generator[float | None, float, bool]:
        if isinstance(step, Wait):
            self.pace.ready_at = max(self.pace.ready_at, self._now) + step.seconds
            return False
        yield from self._until(self.pace.ready_at)
        if isinstance(step, Fail):
            error = {"type": step.type, "code": step.code, "message": step.message}
            self._finish("failed", {"type": "failed", "error": error})
            return True
        if isinstance(step, Stop):
            self._finish("incomplete", {"type": "incomplete", "reason": step.reason})
            return True
        if isinstance(step, Call):
            yield from self._call(step)
        elif isinstance(step, Mcp):
            yield from self._mcp(step)
        elif isinstance(step, Tone):
            yield from self._speak("", step.audio, None, breathe=True)
        else:
            calls_follow = any(isinstance(later, Call | Mcp) for later in plan[plan.index(step) :])
            phase = ("commentary" if calls_follow else "final_answer") if self.phases else None
            if "audio" in self.settings.modalities:
                text = step.texts[0]
                self._request_speech(text)
                while text not in self.speech:
                    yield None
                yield from self._speak(text, self.speech[text], phase)
            else:
                yield from self._write(step.texts[0], phase)
        return False

    def _until(self, when: float) -> Script:
        while self._now < when:
            yield when

    def _request_speech(self, text: str) -> None:
        if text not in self.speech:
            voice, speed = _voice_name(self.settings.voice), self.settings.speed
            self.line.commands.append(Synthesize(f"{self.id}|{text}", text, voice, speed, self.format))

    def _finish(self, status: str, details: Json | None) -> None:
        self.status = status
        self.status_details = details
        self.final_usage = self.usage(self._cost())
        self.line.release(self.id)
        self.line.emit("response.done", response=self.public())
        self.on_done(self, self._now)

    def _cost(self) -> Cost:
        audio = int(self.audio_ms * ASSISTANT_TOKENS_PER_SECOND / 1000 + 0.999)
        return Cost("output", self._text_tokens, audio)

    # -- items --

    def _open(self, item: Item) -> int:
        index = len(self.output)
        self.output.append(item)
        self.line.emit("response.output_item.added", response_id=self.id, output_index=index, item=item.public())
        if self.in_default_conversation:
            previous = self.conversation.last_id
            self.conversation.append(item)
            self.line.emit("conversation.item.added", previous_item_id=previous, item=item.public())
        return index

    def _close(self, item: Item, index: int, status: str) -> None:
        item.status = status
        item.revision += 1
        if self.in_default_conversation and self.conversation.get(item.id) is item:
            previous = self.conversation.previous_id(item)
            self.line.emit("conversation.item.done", previous_item_id=previous, item=item.public())
        self.line.emit("response.output_item.done", response_id=self.id, output_index=index, item=item.public())

    def _delta(self, kind: str, item: Item, index: int, delta: str, **fields: Any) -> Json:
        self._deltas += 1
        self.line.release(self.id)
        place = {"response_id": self.id, "item_id": item.id, "output_index": index}
        padding = _OBFUSCATION[: 3 + self._deltas * 5 % 12]
        return self.line.emit(kind, **place, **fields, delta=delta, obfuscation=padding)

    def _part_event(self, kind: str, item: Item, index: int, **fields: Any) -> None:
        self.line.emit(kind, response_id=self.id, item_id=item.id, output_index=index, content_index=0, **fields)

    def _speak(self, text: str, audio: bytes, phase: str | None, *, breathe: bool = False) -> Script:
        part = Part("output_audio", transcript="", format=self.format)
        item = Item(self.line.ids.next("item"), "message", "in_progress", "assistant", phase=phase)
        index = self._open(item)
        item.content.append(part)
        self._part_event("response.content_part.added", item, index, part={"type": "audio", "transcript": ""})
        text, audio, cut = self._within_budget(text, audio)
        part.spoken, part.spoken_bytes = text, len(audio)
        speaker = self._speak_deltas(item, part, index, text, audio, breathe=breathe)
        try:
            yield from speaker
        except Cancelled:
            self._close_speech(item, part, index, "incomplete")
            raise
        self._close_speech(item, part, index, "incomplete" if cut else "completed")
        if cut:
            raise _OutOfTokens

    def _speak_deltas(self, item: Item, part: Part, index: int, text: str, audio: bytes, *, breathe: bool) -> Script:
        started = self._now
        if self.audio_started_at is None:
            self.audio_started_at = started
        words = _words(text)
        said = 0
        late: int | None = None
        cancelled: Cancelled | None = None
        for offset, piece in sound.deltas(audio, self.format):
            offset_ms = self.format.ms(offset)
            if cancelled is None:
                try:
                    if self.pace.speed > 0:
                        yield from self._until(started + offset_ms / 1000 / self.pace.speed)
                    if self.faults:
                        yield from self._maybe_fault(offset_ms, piece)
                    if breathe and offset:  # the first delta is on its way before the second is even made
                        yield self._now
                except Cancelled as error:
                    cancelled = error
                    late = error.late_deltas
            if late is not None:
                if late <= 0:
                    break
                late -= 1
            until = round(len(words) * (offset + len(piece)) / len(audio))
            if until > said:
                words_now = "".join(words[said:until])
                said = until
                self._add_text(item, part, words_now)
                self._delta("response.output_audio_transcript.delta", item, index, words_now, content_index=0)
            if not item.truncated:
                part.audio += piece
            self.audio_ms += self.format.ms(len(piece))
            delta = base64.b64encode(piece).decode()
            self._delta("response.output_audio.delta", item, index, delta, content_index=0)
            if self._deltas % 3 == 0 and self.faults.get("duplicate_delta", self.number):
                self._delta("response.output_audio.delta", item, index, delta, content_index=0)
        if cancelled is not None:
            raise cancelled

    def _add_text(self, item: Item, part: Part, words: str) -> None:
        self._text_tokens += text_tokens(words)
        if not item.truncated:
            part.transcript = (part.transcript or "") + words

    def _close_speech(self, item: Item, part: Part, index: int, status: str) -> None:
        transcript = part.transcript or ""
        self._part_event("response.output_audio.done", item, index)
        self._part_event("response.output_audio_transcript.done", item, index, transcript=transcript)
        shape = {"type": "audio", "transcript": transcript}
        self._part_event("response.content_part.done", item, index, part=shape)
        self._close(item, index, status)

    def _within_budget(self, text: str, audio: bytes) -> tuple[str, bytes, bool]:
        limit = self.settings.max_output_tokens
        if not isinstance(limit, int):
            return text, audio, False
        needed = text_tokens(text) + self.format.ms(len(audio)) * ASSISTANT_TOKENS_PER_SECOND / 1000
        left = max(0, limit - self._cost().total)
        if needed <= left:
            return text, audio, False
        share = left / needed
        kept = self.format.n_bytes(self.format.ms(len(audio)) * share)
        return text[: int(len(text) * share)], audio[:kept], True

    def _maybe_fault(self, offset_ms: float, piece: bytes) -> Script:
        if stall := self.faults.get("stall", self.number):
            after_ms = 0 if self.faults.get("hold_stop") else stall.number(500)
            while offset_ms >= after_ms:
                yield None
        if (abort := self.faults.get("abort", self.number)) and offset_ms >= abort.number(500):
            event = {"type": "response.output_audio.delta", "delta": base64.b64encode(piece).decode()}
            self.line.commands.append(Abort(event))
            while True:
                yield None
        for name in ("close", "close_1011"):
            if (close := self.faults.get(name, self.number)) and offset_ms >= 500:
                self.line.commands.append(Close(int(close.number(1011)), "The server had an error."))
                while True:
                    yield None

    def _write(self, text: str, phase: str | None) -> Script:
        part = Part("output_text", text="")
        item = Item(self.line.ids.next("item"), "message", "in_progress", "assistant", phase=phase)
        index = self._open(item)
        item.content.append(part)
        self._part_event("response.content_part.added", item, index, part={"type": "text", "text": ""})
        limit = self.settings.max_output_tokens
        cut = isinstance(limit, int) and text_tokens(text) > limit - self._cost().total
        if cut:
            text = text[: max(0, int(limit) - self._cost().total) * 4]
        try:
            words = _words(text)
            for start in range(0, len(words), 3):
                piece = "".join(words[start : start + 3])
                self._text_tokens += text_tokens(piece)
                part.text = (part.text or "") + piece
                self._delta("response.output_text.delta", item, index, piece, content_index=0)
                yield from self._until(self._now + _WRITE_SECONDS if self.pace.speed > 0 else self._now)
        except Cancelled:
            self._close_text(item, part, index, "incomplete")
            raise
        self._close_text(item, part, index, "incomplete" if cut else "completed")
        if cut:
            raise _OutOfTokens

    def _close_text(self, item: Item, part: Part, index: int, status: str) -> None:
        self._part_event("response.output_text.done", item, index, text=part.text)
        self._part_event("response.content_part.done", item, index, part={"type": "text", "text": part.text})
        self._close(item, index, status)

    def _arguments(self, kind: str, item: Item, index: int, arguments: str, **fields: Any) -> Script:
        item.arguments = ""
        self._text_tokens += text_tokens((item.name or "") + arguments)
        try:
            for start, end in pairwise([*range(0, len(arguments), 12), len(arguments)]):
                item.arguments += arguments[start:end]
                self._delta(f"response.{kind}_arguments.delta", item, index, arguments[start:end], **fields)
                yield from self._until(self._now + _WRITE_SECONDS if self.pace.speed > 0 else self._now)
        except Cancelled:
            self._close(item, index, "incomplete")  # its arguments stay cut, and are never announced as done
            raise

    def _call(self, step: Call) -> Script:
        item = Item(self.line.ids.next("item"), "function_call", "in_progress")
        item.name, item.call_id, item.arguments = step.names[0], self.line.ids.next("call"), ""
        index = self._open(item)
        arguments = json.dumps(step.arguments)
        yield from self._arguments("function_call", item, index, arguments, call_id=item.call_id)
        place = {"response_id": self.id, "item_id": item.id, "output_index": index, "call_id": item.call_id}
        self.line.emit("response.function_call_arguments.done", **place, name=item.name, arguments=arguments)
        self._close(item, index, "completed")

    def _mcp(self, step: Mcp) -> Script:
        if needs_approval(tool_of(self.settings.tools, step.server) or {}, step.tool):
            request = self.mcp.request(step)
            self._close(request, self._open(request), "completed")
            return
        item = self.mcp.item(step)
        index = self._open(item)
        arguments = step.json_arguments
        yield from self._arguments("mcp_call", item, index, arguments)
        place = {"response_id": self.id, "item_id": item.id, "output_index": index}
        self.line.emit("response.mcp_call_arguments.done", **place, arguments=arguments)
        if not step.before_done:
            self.line.emit("response.output_item.done", response_id=self.id, output_index=index, item=item.public())
            self.running.append((item, step, index))
            return
        self.mcp.begin(item, index)
        try:
            yield from self._until(self._now + step.takes)
        except Cancelled:
            self._close(item, index, "incomplete")
            raise
        self.mcp.end(item, step, index)
        self._close(item, index, "completed")


def _words(text: str) -> list[str]:
    """The words with the space before each, so that joined they are the text again."""
    words = text.split()
    return [word if index == 0 else f" {word}" for index, word in enumerate(words)]


def _voice_name(voice: Any) -> str:
    return str(voice["id"]) if isinstance(voice, dict) else str(voice)

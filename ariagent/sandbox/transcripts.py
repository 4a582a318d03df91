"""Transcripts of what the caller said: asynchronous, late, failing or out of order, as the session is told (CORE)."""

from dataclasses import dataclass, field
from typing import Any

from ariagent.sandbox.items import Item
from ariagent.sandbox.state import State
from ariagent.sandbox.usage import transcription_usage


@dataclass(slots=True)
class Transcripts:
    """Sends input_audio_transcription events once the recogniser has spoken, if the session asked for them."""

    state: State
    _waiting: dict[str, tuple[Item, dict[str, Any], float]] = field(default_factory=dict)
    _held: tuple[Item, dict[str, Any], str] | None = None

    def expect(self, item: Item, now: float) -> None:
        """A spoken item was committed."""
        transcription = self.state.input["transcription"]
        if transcription is None:
            return
        self._waiting[item.id] = (item, transcription, item.content[0].audio_ms)
        if self.state.heard.get(item.id) is not None:
            self.recognised(item.id, now)

    def recognised(self, item_id: str, now: float) -> None:
        """It is known what was said in an item."""
        found = self._waiting.get(item_id)
        if found is None:
            return
        faults = self.state.options.faults
        delay_ms = self.state.options.transcription_ms
        if late := faults.get("transcription_late"):
            delay_ms = late.number(5000)
        self.state.line.at(now + delay_ms / 1000, lambda _: self._due(item_id))

    def _due(self, item_id: str) -> None:
        item, transcription, _ = self._waiting[item_id]
        words = self.state.heard.get(item_id) or ""
        if not self.state.options.faults.get("transcription_order"):
            self._send(item, transcription, words)
        elif self._held is None:
            self._held = (item, transcription, words)
        else:
            self._send(item, transcription, words)
            self._send(*self._held)
            self._held = None

    def _send(self, item: Item, transcription: dict[str, Any], words: str) -> None:
        audio_ms = self._waiting.pop(item.id)[2]
        line = self.state.line
        prefix = "conversation.item.input_audio_transcription"
        place = {"item_id": item.id, "content_index": 0}
        if self.state.options.faults.get("transcription_fail"):
            error = {
                "type": "transcription_error",
                "code": "audio_unintelligible",
                "message": "The audio could not be transcribed.",
                "param": None,
            }
            line.emit(f"{prefix}.failed", **place, error=error)
            return
        if item.content:
            item.content[0].transcript = words
        halves = words.split(" ")
        middle = (len(halves) + 1) // 2
        for delta in filter(None, (" ".join(halves[:middle]), " ".join(["", *halves[middle:]]).rstrip())):
            line.emit(f"{prefix}.delta", **place, delta=delta, obfuscation="p7Q")
        usage = transcription_usage(transcription.get("model") or "", audio_ms, words)
        logprobs = None
        if "item.input_audio_transcription.logprobs" in (self.state.settings.get("include") or ()):
            logprobs = [{"token": word, "bytes": list(word.encode()), "logprob": -0.01} for word in words.split()]
        line.emit(f"{prefix}.completed", **place, transcript=words, usage=usage, logprobs=logprobs)

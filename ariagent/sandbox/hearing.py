"""The input audio buffer: the audio clock, turn detection, commits (CORE)."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ariagent.sandbox import audio as sound
from ariagent.sandbox.audio import TICKS_PER_MS, WireFormat
from ariagent.sandbox.items import Item, Part
from ariagent.sandbox.line import Recognise, Timer
from ariagent.sandbox.noise import NoiseReduction
from ariagent.sandbox.schema import ApiError
from ariagent.sandbox.state import State
from ariagent.sandbox.transcripts import Transcripts
from ariagent.sandbox.turns import Detector, SpeechStarted, TurnTracker
from ariagent.sandbox.vad import ReflexGate

MAX_APPEND_BYTES = 15 * 1024 * 1024
MIN_COMMIT_MS = 100
_KEEP_QUIET_MS = 1000
_KEEP_UNJUDGED_MS = 10_000
_KEEP_MANUAL_MS = 600_000
TOGETHER = "+"
"""Ends the key of a :class:`Recognise` for a sentence of several items; its beginning is the last item's id."""
_SENTENCE_PAUSE_MS = 2000
"""After a longer pause another sentence begins."""
_SENTENCE_MS = 20_000


class Hearing:
    """Everything between an append and a committed turn.

    ``turn_started`` is called when speech begins and ``turn_ended(item, now)`` when a turn was committed that a
    response should follow. ``reflex(now)`` is called where the reflex detector answers at once.
    """

    def __init__(
        self,
        state: State,
        detector: Detector | None,
        transcripts: Transcripts,
        turn_started: Callable[[float], None],
        turn_ended: Callable[[Item, float], None],
        reflex: Callable[[float], None] | None,
    ) -> None:
        self._state = state
        self._detector = detector
        self._transcripts = transcripts
        self._turn_started = turn_started
        self._turn_ended = turn_ended
        self._reflex = reflex
        self._gate = ReflexGate() if reflex is not None else None
        self.tick = 0
        """The audio clock: samples at 24 kHz appended so far."""
        self._buffer = bytearray()
        self._buffer_tick = 0
        self._committed_tick = 0
        self._sentence: list[Item] = []
        """The newest spoken items, if only short pauses are between them."""
        self._item_id: str | None = None
        self._tracker: TurnTracker | None = None
        self._reduction: NoiseReduction | None = None
        self._idle: Timer | None = None
        self.configure()

    @property
    def appended_ms(self) -> float:
        """How much audio the client has sent."""
        return self.tick / TICKS_PER_MS

    def configure(self) -> None:
        """Take up new session settings."""
        lies = self._state.options.faults.get("g711_lies") is not None
        fmt = sound.wire_format(self._state.input["format"], g711_lies=lies)
        if getattr(self, "_format", fmt) != fmt:
            self._buffer.clear()
            self._buffer_tick = self._committed_tick = self.tick
            self._reduction = None
        self._format: WireFormat = fmt
        if not (self._detector and self._detector.noise_matters and self._state.input["noise_reduction"]):
            self._reduction = None
        elif self._reduction is None:
            self._reduction = NoiseReduction()
        detection = self._state.turn_detection
        if detection is None:
            self._tracker = None
        elif self._tracker is None or not self._tracker.speaking:
            least = self._detector.min_speech_ms if self._detector else 0
            before = self._tracker.not_before_tick if self._tracker else self.tick
            self._tracker = TurnTracker.of(detection, least)
            self._tracker.not_before_tick = before
        if self._idle is not None and not (detection or {}).get("idle_timeout_ms"):
            self._idle.cancel()

    # -- audio --

    def append(self, data: bytes, now: float) -> None:
        """More of the caller's audio, in the session's input format. Raises :class:`ApiError`."""
        if len(data) > MAX_APPEND_BYTES:
            raise ApiError("invalid_value", "Audio is larger than the maximum of 15 MiB per event.", "audio")
        if len(data) % self._format.sample_bytes:
            raise ApiError("invalid_value", "Audio does not end on a whole sample.", "audio")
        length = self._format.ticks(len(data))
        self.tick += length
        self._buffer += data
        if self._tracker is not None:
            if self._gate is not None or self._detector is not None:
                self._listen(self._tracker, data, length, now)
            if not self._tracker.speaking:
                keep_ms = _KEEP_QUIET_MS if self._detector is not None else _KEEP_UNJUDGED_MS
                self._trim(keep_ms * TICKS_PER_MS + self._tracker.prefix_ticks)
        else:
            self._trim(_KEEP_MANUAL_MS * TICKS_PER_MS)

    def _listen(self, tracker: TurnTracker, data: bytes, length: int, now: float) -> None:
        samples = self._format.decode(data)
        if self._gate is not None and self._gate.fires(samples, length) and not tracker.speaking:
            tracker.speaking = True
            tracker.start_tick = max(tracker.not_before_tick, self.tick - length - tracker.prefix_ticks, 0)
            tracker.heard_until(self.tick)
            self._start(tracker.start_tick, now)
            return
        if self._detector is None:
            return
        if self._reduction is not None:
            self._reduction.feed(samples, self._format.rate_hz, self.tick)
        for verdict in self._detector.feed(samples, self._format.rate_hz, self.tick):
            event = tracker.feed(verdict if self._reduction is None else self._reduction.heard(verdict))
            if isinstance(event, SpeechStarted):
                self._start(event.start_tick, now)
            elif event is not None:
                self._stop(event.start_tick, event.end_tick, now)

    def _trim(self, keep_ticks: int) -> None:
        spare = self.tick - self._buffer_tick - keep_ticks
        if spare > keep_ticks:  # in large steps: moving the rest of the buffer costs time
            n = self._format.n_bytes(spare / TICKS_PER_MS)
            del self._buffer[:n]
            self._buffer_tick += self._format.ticks(n)

    def _cut(self, start_tick: int, end_tick: int) -> bytes:
        """Take the audio of a turn out of the buffer, and forget everything before its end."""
        if start_tick - self._committed_tick > _SENTENCE_PAUSE_MS * TICKS_PER_MS:
            self._sentence.clear()
        first = self._byte(start_tick)
        last = self._byte(end_tick)
        data = bytes(self._buffer[first:last])
        del self._buffer[:last]
        self._buffer_tick += self._format.ticks(last)
        self._committed_tick = end_tick
        return data

    def _byte(self, tick: int) -> int:
        n = self._format.n_bytes((tick - self._buffer_tick) / TICKS_PER_MS)
        return min(max(n, 0), len(self._buffer))

    # -- turns --

    def _start(self, start_tick: int, now: float) -> None:
        self.cancel_idle()
        self._item_id = self._state.line.ids.next("item")
        self._state.line.emit(
            "input_audio_buffer.speech_started", audio_start_ms=start_tick // TICKS_PER_MS, item_id=self._item_id
        )
        self._turn_started(now)
        if self._reflex is not None:
            self._reflex(now)

    def _stop(self, start_tick: int, end_tick: int, now: float) -> None:
        item_id = self._item_id or self._state.line.ids.next("item")
        wanted = (self._state.turn_detection or {}).get("create_response") and not self._state.is_transcription
        if self._state.options.faults.get("hold_stop") and wanted:
            self._state.line.hold(item_id)
        self._state.line.emit(
            "input_audio_buffer.speech_stopped", audio_end_ms=end_tick // TICKS_PER_MS, item_id=item_id
        )
        item = self._commit(item_id, self._cut(start_tick, end_tick), now)
        if wanted and self._reflex is None:
            self._turn_ended(item, now)

    def commit(self, now: float) -> None:
        """The client ends the turn itself. Raises :class:`ApiError` when there is less than 100 ms."""
        buffered_ms = (self.tick - self._committed_tick) / TICKS_PER_MS
        if buffered_ms < MIN_COMMIT_MS:
            raise ApiError(
                "input_audio_buffer_commit_empty",
                "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio, "
                f"but buffer only has {buffered_ms:.2f}ms of audio.",
            )
        item_id = self._item_id or self._state.line.ids.next("item")
        start = self._tracker.start_tick if self._tracker and self._tracker.speaking else self._committed_tick
        self._forget_turn()
        self._commit(item_id, self._cut(start, self.tick), now)

    def clear(self) -> None:
        """The client throws the buffer away."""
        self._buffer.clear()
        self._buffer_tick = self._committed_tick = self.tick
        self._forget_turn()
        self._state.line.emit("input_audio_buffer.cleared")

    def _forget_turn(self) -> None:
        self._item_id = None
        if self._tracker is not None:
            self._tracker.stop(self.tick)

    def _commit(self, item_id: str, data: bytes, now: float) -> Item:
        state = self._state
        previous = state.conversation.last_id
        state.line.emit("input_audio_buffer.committed", previous_item_id=previous, item_id=item_id)
        part = Part("input_audio", audio=bytearray(data), format=self._format)
        item = Item(item_id, "message", "completed", "user", [part])
        state.conversation.append(item)
        self._item_id = None
        for kind in ("conversation.item.added", "conversation.item.done"):
            state.line.emit(kind, previous_item_id=previous, item=item.public())
        if state.options.recognises and item_id not in state.voiced_silence:
            state.heard[item_id] = None
            state.line.commands.append(Recognise(item_id, self._format.decode(data), self._format.rate_hz))
            self._hear_together(item, previous)
        else:
            state.heard[item_id] = ""
        self._transcripts.expect(item, now)
        if state.options.detector == "reflex" and not state.options.keep_audio:
            part.audio.clear()
        return item

    def _hear_together(self, item: Item, previous_id: str | None) -> None:
        """Recognise the whole sentence, if ``item`` continues one that nobody has answered: a model hears all of it."""
        if not self._sentence or self._sentence[-1].id != previous_id:
            self._sentence.clear()
        self._sentence.append(item)
        parts = [part.content[0] for part in self._sentence]
        if len(parts) > 1 and sum(part.audio_ms for part in parts) <= _SENTENCE_MS:
            self._state.together[item.id] = None
            whole = np.concatenate([part.format.decode(bytes(part.audio)) for part in parts])
            self._state.line.commands.append(Recognise(item.id + TOGETHER, whole, self._format.rate_hz))

    # -- idle --

    def arm_idle(self, playback_ends: float) -> None:
        """Start the idle timeout at the computed end of a response's playback (wall time)."""
        self.cancel_idle()
        timeout_ms = (self._state.turn_detection or {}).get("idle_timeout_ms")
        if timeout_ms and not (self._tracker and self._tracker.speaking):
            self._idle = self._state.line.at(playback_ends + timeout_ms / 1000, self._idle_over)

    def cancel_idle(self) -> None:
        """Somebody speaks."""
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def _idle_over(self, now: float) -> None:
        detection: dict[str, Any] = self._state.turn_detection or {}
        timeout_ms = detection.get("idle_timeout_ms")
        if not timeout_ms or (self._tracker and self._tracker.speaking):
            return
        item_id = self._state.line.ids.next("item")
        start = max(self._committed_tick, self.tick - timeout_ms * TICKS_PER_MS)
        self._state.line.emit(
            "input_audio_buffer.timeout_triggered",
            audio_start_ms=start // TICKS_PER_MS,
            audio_end_ms=self.tick // TICKS_PER_MS,
            item_id=item_id,
        )
        self._state.voiced_silence.add(item_id)
        self._forget_turn()
        item = self._commit(item_id, self._cut(start, self.tick), now)
        if not self._state.is_transcription:
            self._turn_ended(item, now)

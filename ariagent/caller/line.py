"""The synthetic caller's end of the audio: says what it is given, listens, and wakes the tasks that wait for either."""

from __future__ import annotations

import asyncio
import io
import time
import wave
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from ariagent import privatefile
from ariagent.audio.format import AudioFormat
from ariagent.audiosocket.endpoint import MediaConnection
from ariagent.caller.ears import Ear, Sentences, Silences, level_dbfs
from ariagent.caller.noise import mixed

T = TypeVar("T")

LOUD_DBFS = -42.0
"""The level from which a frame of the synthetic caller counts as speech; the service uses the same level."""
_CONTINUOUS_S = 0.060


class Line:
    """A MediaEndpoint. Times are seconds of ``time.monotonic()``; a frame's time is when it was handed to Asterisk."""

    def __init__(self, fmt: AudioFormat, *, keep: bool = False) -> None:
        self.format = fmt
        self.ear = Ear(fmt)
        self.connection: MediaConnection | None = None
        self.began_at: float | None = None
        """First loud frame of what was said last; None while it was not sent yet."""
        self.last_loud_at: float | None = None
        """The caller's last loud frame so far."""
        self.ended = ""
        """Why there is nothing to hear or say any more; empty while there is."""
        self.tracks = (_Track(fmt), _Track(fmt)) if keep else None
        self.silences = Silences()
        self.sentences = Sentences()
        self._frames: deque[bytes] = deque()
        self._background = b""
        self._background_at = 0
        self._waiters: set[asyncio.Future[None]] = set()

    @property
    def talking(self) -> bool:
        """Some of what was said last still has to be sent."""
        return bool(self._frames)

    def say(self, pcm: bytes) -> None:
        """Say this after what is being said."""
        size = self.format.frame_bytes
        if not self._frames:
            self.began_at = None
        self._frames.extend(pcm[at : at + size].ljust(size, b"\0") for at in range(0, len(pcm), size))
        if self.connection is not None:
            self.connection.speech_ready()

    def surround(self, noise: bytes) -> None:
        """Mix this noise, repeated, into the caller's audio from now on; it must be at least one frame long."""
        if len(noise) >= self.format.frame_bytes:
            self._background = noise[: len(noise) - len(noise) % self.format.frame_bytes]

    async def until(self, found: Callable[[float], T | None], deadline: float) -> T | None:
        """Ask ``found(now)`` with every frame until it returns something; None at the deadline or the line's end."""
        while True:
            now = time.monotonic()
            result = found(now)
            if result is not None or self.ended or now >= deadline:
                return result
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                # Not wait_for: before Python 3.12 it loses a cancellation that comes together with the result.
                await asyncio.wait([waiter], timeout=deadline - now)
            finally:
                self._waiters.discard(waiter)

    def write(self, path: Path) -> None:
        """Write what was said (left) and heard (right) as one stereo WAV file; only with ``keep``."""
        if self.tracks is None:
            return
        sides = [np.frombuffer(track.pcm, "<i2") for track in self.tracks]
        both = np.zeros((max(map(len, sides)), 2), "<i2")
        for column, samples in enumerate(sides):
            both[: len(samples), column] = samples
        held = io.BytesIO()
        with wave.open(held, "wb") as file:
            file.setnchannels(2)
            file.setsampwidth(2)
            file.setframerate(self.format.rate_hz)
            file.writeframes(both.tobytes())
        privatefile.write(path, held.getvalue())

    def end(self, reason: str) -> None:
        """Nothing more will be heard or said; the first reason stays."""
        self.ended = self.ended or reason
        self._frames.clear()
        self.wake()

    def wake(self) -> None:
        """Have the waiting tasks look again."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    # -- MediaEndpoint ----------------------------------------------------------------------------

    def connected(self, connection: MediaConnection) -> None:
        self.connection = connection
        if self.tracks is not None:
            for track in self.tracks:
                track.began_at = time.monotonic()

    def audio_received(self, payload: bytes, now: float) -> None:
        if self.ear.heard(payload, now):
            self.silences.agent_heard(now)
            self.sentences.agent.append(now)
        if self.tracks is not None:
            self.tracks[1].add(payload, now)
        self.wake()

    def frame_due(self, now: float) -> bytes | None:
        frame = self._frames.popleft() if self._frames else None
        if frame is not None and level_dbfs(frame) >= LOUD_DBFS:
            self.last_loud_at = now
            self.silences.caller_heard(now, continues=self.began_at is not None)
            if self.began_at is None:
                self.began_at = now
        if self._background:
            # The level was judged before: the noise around a caller is not the caller's speech.
            frame = self._amid_noise(frame)
        if frame is not None and self.tracks is not None:
            self.tracks[0].add(frame, now)
        self.wake()
        return frame

    def _amid_noise(self, frame: bytes | None) -> bytes:
        at, size = self._background_at, self.format.frame_bytes
        self._background_at = (at + size) % len(self._background)
        noise = self._background[at : at + size]
        return noise if frame is None else mixed(frame, noise)

    def digit_received(self, digit: str) -> None:
        """Keys that the other side presses mean nothing to us."""

    def disconnected(self, reason: str) -> None:
        self.connection = None
        self.end(str(reason))


class _Track:
    """One side of the recording: frames at the times they came, silence where there were none."""

    def __init__(self, fmt: AudioFormat) -> None:
        self._format = fmt
        self.began_at = 0.0
        self.pcm = bytearray()

    def add(self, frame: bytes, now: float) -> None:
        missing_s = now - self.began_at - self._format.ms(len(self.pcm)) / 1000
        if missing_s > _CONTINUOUS_S:
            self.pcm += self._format.silence(1000 * missing_s)
        self.pcm += frame

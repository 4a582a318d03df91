"""The words of an answer, approximately: pocketsphinx with its general English model, in a process of its own.

Recognising takes about a third of the audio's length on one core and would hold up the audio of the call, so it has
its own process at low priority, one utterance at a time. ``python -m ariagent.caller.recognise`` is that process.
It reads ``rate, length`` (two big-endian 32-bit numbers) and so many bytes of PCM, and writes one line of JSON for
each.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import struct
import sys
from typing import Self

from ariagent.audio.format import AudioFormat

MODEL_HZ = 16_000
_HEADER = struct.Struct(">II")


def available() -> bool:
    """Whether pocketsphinx is installed: part of the extra ``rehearsal``."""
    return importlib.util.find_spec("pocketsphinx") is not None


class Recogniser:
    """The process, as an async context manager.

    It is started when it is first needed, or at once where ``early``: starting takes a second of a core, which a call
    in progress may notice. ``words`` may be asked for several utterances; they queue up.
    """

    def __init__(self, *, early: bool = False) -> None:
        self._early = early
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()
        self._over = False

    async def __aenter__(self) -> Self:
        if self._early:
            await self._start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over = True
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _start(self) -> asyncio.subprocess.Process | None:
        if self._process is None and not self._over and available():
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", __name__),  # -P: nothing is imported from the current directory
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                # Ctrl-C is for the caller, which then ends this process in its own time.
                start_new_session=True,
            )
            self._process = process
        return self._process

    async def words(self, pcm: bytes, fmt: AudioFormat) -> str | None:
        """The words that were said, in lower case; empty for nothing intelligible, None without a recogniser."""
        async with self._turn:
            process = await self._start()
            if process is None or process.stdin is None or process.stdout is None:
                return None
            try:
                process.stdin.write(_HEADER.pack(fmt.rate_hz, len(pcm)) + pcm)
                await process.stdin.drain()
                line = await process.stdout.readline()
            except (ConnectionError, BrokenPipeError):
                return None
        return str(json.loads(line)["words"]) if line else None


def _serve() -> None:
    import numpy as np
    import soxr
    from pocketsphinx import Decoder

    with contextlib.suppress(OSError):
        os.nice(5)
    decoder = Decoder(samprate=MODEL_HZ, loglevel="FATAL")
    source, sink = sys.stdin.buffer, sys.stdout
    while len(header := source.read(_HEADER.size)) == _HEADER.size:
        rate_hz, length = _HEADER.unpack(header)
        samples = np.frombuffer(source.read(length), "<i2")
        pcm = soxr.resample(samples, rate_hz, MODEL_HZ).astype("<i2").tobytes()
        decoder.start_utt()
        if pcm:
            decoder.process_raw(pcm, full_utt=True)
        decoder.end_utt()
        found = decoder.hyp()
        sink.write(json.dumps({"words": found.hypstr if found else ""}) + "\n")
        sink.flush()


if __name__ == "__main__":
    _serve()

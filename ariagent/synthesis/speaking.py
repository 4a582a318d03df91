"""Runs the programs that speak: flite for English, espeak-ng for other languages; a text into a WAV file."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from ariagent.errors import ConfigurationError


async def speak(flite: Sequence[str], voice: str, text: str, path: Path, *options: str) -> None:
    """``flite`` is the argv prefix that runs it. Cancelling ends it. Raises ConfigurationError when it fails."""
    await _run("flite", [*flite, "-voice", voice, *options, "-t", text, "-o", str(path)], path)


async def speak_foreign(espeak: Sequence[str], language: str, text: str, path: Path, words_per_minute: int) -> None:
    """Speak a text with espeak-ng (16-bit mono at 22.05 kHz); ``language`` is one of its voices, as ``es``."""
    await _run("espeak-ng", [*espeak, "-v", language, "-s", str(words_per_minute), "-w", str(path), "--", text], path)


async def _run(name: str, argv: Sequence[str], path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if process.returncode or not path.exists():
        said = output.decode(errors="replace").strip()[-200:]
        raise ConfigurationError(f"{name} failed ({process.returncode}): {said or 'no message'}")

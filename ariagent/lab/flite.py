"""Runs flite: a text, spoken by one of its voices, into a WAV file."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from ariagent.errors import ConfigurationError


async def speak(flite: Sequence[str], voice: str, text: str, path: Path, *options: str) -> None:
    """``flite`` is the argv prefix that runs it. Cancelling ends it. Raises ConfigurationError when it fails."""
    process = await asyncio.create_subprocess_exec(
        *(*flite, "-voice", voice, *options, "-t", text, "-o", str(path)),
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
        raise ConfigurationError(f"flite failed ({process.returncode}): {said or 'no message'}")

"""Spoken summaries as files: Asterisk plays one to whoever takes a call, then it is removed.

A file is put in place whole, while the phone rings already. One that comes too late, or never, is not played; the call
goes on without it (Asterisk plays nothing that is not there).
"""

import asyncio
import logging
import os
import secrets
from contextlib import suppress
from pathlib import Path

from ariagent.audio.format import AudioFormat

log = logging.getLogger(__name__)

KEPT_AFTER_S = 60.0
"""After the last moment at which somebody can take the call: the longest summary is shorter."""
_ENDINGS = {8_000: "sln", 16_000: "sln16", 24_000: "sln24"}
"""As Asterisk's format_sln names headerless signed linear audio."""


class Briefs:
    """Those of one service, in ``directory``; of audio in ``fmt``."""

    def __init__(self, directory: Path, fmt: AudioFormat) -> None:
        self.directory = directory
        self._ending = _ENDINGS[fmt.rate_hz]

    def clear(self) -> None:
        """Make the directory, and remove what a former process left there."""
        try:
            self.directory.mkdir(mode=0o750, parents=True, exist_ok=True)
            for left in self.directory.glob("brief-*"):
                left.unlink(missing_ok=True)
        except OSError as error:
            self._not_kept(error)

    def new_name(self) -> str:
        """Where a summary will be: an absolute path without ending, as Asterisk wants it."""
        return str(self.directory.absolute() / f"brief-{secrets.token_hex(8)}")

    async def put(self, name: str, pcm: bytes, lasts_s: float) -> bool:
        """Put a summary in place. It is removed when nobody can take the call any more, ``lasts_s`` from now."""
        path = Path(f"{name}.{self._ending}")
        try:
            await asyncio.to_thread(_write, path, pcm)
        except OSError as error:
            self._not_kept(error)
            return False
        asyncio.get_running_loop().call_later(lasts_s + KEPT_AFTER_S, _remove, path)
        return True

    def _not_kept(self, error: OSError) -> None:
        remedy = "Make briefs.directory writable for the service and readable for Asterisk"
        fields = {"directory": str(self.directory), "cause": error.strerror or str(error), "remedy": remedy}
        log.warning("brief.not_kept", extra={"fields": fields})


def _write(path: Path, pcm: bytes) -> None:
    being_written = path.with_suffix(".part")
    try:
        with open(os.open(being_written, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640), "wb") as file:
            file.write(pcm)
        being_written.rename(path)
    except OSError:
        being_written.unlink(missing_ok=True)
        raise


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()

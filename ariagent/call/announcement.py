"""Announcements: a human agent who takes a call hears a spoken summary first. Asterisk plays it from a file.

A file is put in place whole, while the phone rings already. One that comes too late, or never, is not played; the call
continues without it (Asterisk plays nothing that is not there).

Asterisk runs as another user, of whom nothing has to be known: it may enter the folder and read a file whose name it
was told, as everybody may, and nobody but the service can list the names, which are random.
"""

import asyncio
import logging
import os
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from ariagent.ami.events import Event, UserEvent
from ariagent.audio.format import AudioFormat
from ariagent.audio.rates import ModelCodec
from ariagent.config import Settings
from ariagent.dialogue.handoff import Handoff
from ariagent.logs import CallLog
from ariagent.realtime.events import OutOfBandEnded
from ariagent.records import folder
from ariagent.records.events import AnnouncementFailed

log = logging.getLogger(__name__)

KEPT_AFTER_S = 60.0
"""Seconds that a file stays after the last moment at which somebody can take the call; summaries are shorter."""
BEING_WRITTEN = ".part"
_ENDINGS = {8_000: "sln", 16_000: "sln16", 24_000: "sln24"}
"""The extension by which Asterisk's format_sln knows headerless signed linear audio."""
SAMPLE_MS = 60
READ_BY_OTHERS = 0o644
PROVE_EVERY_S = 60.0
"""Shortest interval between requests to Asterisk while calls are transferred."""
MOST_TRANSFERRED = 256
"""The most transferred calls whose announcement may still turn out not to have been played."""
USER_EVENT = "AriagentAnnouncement"
"""The shipped dialplan tells so that it could not play a summary (source: dialplan.conf, [ariagent-told])."""


def announcements_wanted(settings: Settings) -> bool:
    """Whether anybody is to hear a summary."""
    return any(place.kind != "blind" for place in settings.destinations.values())


class Announcements:
    """Those of one service, in ``directory``; of audio in ``fmt``."""

    def __init__(self, directory: Path, fmt: AudioFormat, longest_s: float = 0.0) -> None:
        """``longest_s``: the longest time in which somebody may take a transferred call."""
        self.directory = directory
        self._kept_s = longest_s + KEPT_AFTER_S
        self._fmt = fmt
        self._ending = _ENDINGS[fmt.rate_hz]
        self._playable: bool | None = None
        self.prove: Callable[[], Awaitable[bool | None]] | None = None
        """Asks Asterisk to play a sample; None: it cannot be asked."""
        self.on_failed: Callable[[], None] = lambda: None
        """Is called for every summary that Asterisk could not play."""
        self._proved_at = float("-inf")
        self._proving: asyncio.Task[None] | None = None
        self._transferred: dict[str, tuple[CallLog, float]] = {}
        """Calls whose summary is to be played after they have left, and when they left (monotonic seconds)."""

    @classmethod
    def of(cls, settings: Settings, fmt: AudioFormat) -> "Announcements":
        """Where the settings want them."""
        directory = settings.announcements.directory or settings.state_directory / "announcements"
        longest_s = max((place.timeout_s for place in settings.destinations.values()), default=0)
        return cls(directory, fmt, longest_s)

    async def clear(self) -> None:
        """Make the directory, and remove what a former process left there: at once, or when nobody can take the call of
        a file any more."""
        for path, in_s in await asyncio.to_thread(self._clear):
            asyncio.get_running_loop().call_later(in_s, _remove, path)

    def _clear(self) -> list[tuple[Path, float]]:
        wanted: list[tuple[Path, float]] = []
        try:
            folder.make(self.directory)
            for left in self.directory.glob("announcement-*"):
                in_s = left.stat().st_mtime + self._kept_s - time.time()
                if left.suffix == BEING_WRITTEN or not 0 < in_s <= self._kept_s:
                    left.unlink(missing_ok=True)
                else:
                    wanted.append((left, in_s))
        except OSError as error:
            self.not_kept(error)
        return wanted

    def new_name(self) -> str:
        """Where a summary will be: an absolute path without ending, as Asterisk wants it."""
        return str(self.directory.absolute() / f"announcement-{secrets.token_hex(16)}")

    # -- whether Asterisk can play them ------------------------------------------------------------

    @asynccontextmanager
    async def sample(self) -> AsyncIterator[str]:
        """A short file as a summary would be, for Asterisk to try: its path without ending. Raises OSError."""
        name = self.new_name()
        path = Path(f"{name}.{self._ending}")
        await asyncio.to_thread(_write, path, bytes(SAMPLE_MS * self._fmt.rate_hz // 1000 * 2))
        try:
            yield name
        finally:
            await asyncio.to_thread(_remove, path)

    @property
    def playable(self) -> bool:
        """Whether those who take calls hear summaries, as far as is known."""
        return self._playable is not False

    def tried(self, played: bool | None) -> None:
        """Asterisk was asked to play one (None: it could not be asked). Logged where that is news."""
        if played is False:
            self._fail_those_who_left()
        if played is not None:
            self._proved_at = time.monotonic()
        if played is None or played == self._playable:
            return
        self._playable = played
        if not played:
            cause, remedy = self.unreadable
            fields = {"directory": str(self.directory), "cause": cause, "remedy": remedy}
            log.warning("announcement.not_played", extra={"fields": fields})

    def look(self) -> None:
        """A summary is on its way: find out whether Asterisk can play it, unless that was done a moment ago.

        The folder may have been readable at the start, and a mount be gone since.
        """
        now = time.monotonic()
        if self.prove is None or now - self._proved_at < PROVE_EVERY_S:
            return
        self._proved_at = now
        self._proving = asyncio.ensure_future(self._look(self.prove))

    async def _look(self, prove: Callable[[], Awaitable[bool | None]]) -> None:
        self.tried(await prove())

    def failed(self, call: CallLog) -> None:
        """Asterisk could not play this call's summary: the human agent gets the caller without one."""
        call.tell(AnnouncementFailed(str(self.directory)))
        self.on_failed()

    def _fail_those_who_left(self) -> None:
        """Asterisk could play nothing since it was asked. A queue tells nobody that it did not play a summary."""
        for call_id, (call, left) in list(self._transferred.items()):
            if left >= self._proved_at:
                del self._transferred[call_id]
                self.failed(call)

    def handed(self, call: CallLog, now: float) -> None:
        """The call is handed over, and its summary is yet to be played by the dialplan."""
        self._transferred[call.call_id] = call, now
        while len(self._transferred) > MOST_TRANSFERRED:
            del self._transferred[next(iter(self._transferred))]

    def hear(self, event: Event) -> None:
        """An event of the manager interface."""
        if isinstance(event, UserEvent) and event.name == USER_EVENT:
            left = self._transferred.pop(event.fields.get("call", ""), None)
            if left is not None:
                self.failed(left[0])

    @property
    def unreadable(self) -> tuple[str, str]:
        """Cause and remedy where Asterisk cannot play them."""
        place = self.directory
        return (
            f"Asterisk cannot read files in {place}: human agents hear no summary before a transferred call",
            f"Let Asterisk's user enter {place} and the folders above it (`chmod o+x`; in the systemd unit "
            "StateDirectoryMode=0711), or set announcements.directory to a folder that both may use",
        )

    @property
    def listed_by_others(self) -> bool:
        """Whether other users of this machine can see the names, and so read the files."""
        try:
            return bool(self.directory.stat().st_mode & 0o004)
        except OSError:
            return False

    # -- one summary -------------------------------------------------------------------------------

    async def put(self, name: str, pcm: bytes, lasts_s: float) -> bool:
        """Put a summary in place. It is removed when nobody can take the call any more, ``lasts_s`` from now."""
        path = Path(f"{name}.{self._ending}")
        try:
            await asyncio.to_thread(_write, path, pcm)
        except OSError as error:
            self.not_kept(error)
            return False
        asyncio.get_running_loop().call_later(lasts_s + KEPT_AFTER_S, _remove, path)
        return True

    def not_kept(self, error: OSError) -> None:
        remedy = "Let the service's user write there, or set announcements.directory to another folder"
        fields = {"directory": str(self.directory), "cause": error.strerror or str(error), "remedy": remedy}
        log.warning("announcement.write_failed", extra={"fields": fields})


class Announcement:
    """The announcement of one transfer: ``path`` is known at once, the file is there when ``written`` is over."""

    def __init__(self, announcements: Announcements, codec: ModelCodec, handoff: Handoff) -> None:
        """``codec`` must be used for nothing else."""
        self.handoff = handoff
        self.path = announcements.new_name()
        self.key = Path(self.path).name
        """The name for the model's server. It says nothing about the file's place."""
        self._announcements = announcements
        self._codec = codec
        self._spoken: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._writing: asyncio.Task[bool] | None = None

    def spoken(self, event: OutOfBandEnded) -> None:
        """The model has said something beside the conversation; perhaps this."""
        if event.key == self.key and not self._spoken.done():
            self._spoken.set_result(event.audio)
            if event.audio:
                pcm = self._codec.from_model(event.audio) + self._codec.end_item()
                timeout_s = self.handoff.destination.timeout_s
                self._writing = asyncio.ensure_future(self._announcements.put(self.path, pcm, timeout_s))

    @property
    def outlook(self) -> str:
        """Whether there is one: ``yes``, ``no``, or ``late`` while the model has not said it yet."""
        if not self._spoken.done():
            return "late"
        return "yes" if self._spoken.result() else "no"

    def give_up(self) -> None:
        """The model is gone: nothing will come any more."""
        if not self._spoken.done():
            self._spoken.set_result(b"")

    async def written(self, limit_s: float) -> bool:
        """Wait until the file is there; False when it will not be, or not within ``limit_s``."""
        try:
            async with asyncio.timeout(limit_s):
                await asyncio.shield(self._spoken)
                return self._writing is not None and await asyncio.shield(self._writing)
        except TimeoutError:
            return False


def _write(path: Path, pcm: bytes) -> None:
    being_written = path.with_suffix(BEING_WRITTEN)
    try:
        with open(os.open(being_written, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pcm)
            os.fchmod(file.fileno(), READ_BY_OTHERS)  # whatever the umask is
        being_written.rename(path)
    except OSError:
        being_written.unlink(missing_ok=True)
        raise


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()

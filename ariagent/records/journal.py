"""Writes down what happens in calls, while it happens, without ever holding one up.

    call ----CallRecord.tell----> queue (bounded) ----writer thread----> calls.db

A call only appends to the queue: its words are with SQLite at most half a second later, and then survive the
process. A disk that is full, a database that is locked, deleted or damaged is reported, and tried again for as long
as the service runs; what does not fit into the queue meanwhile is dropped and counted. The tables are in ``schema``.
"""

import contextlib
import logging
import math
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ariagent.config import RecordsSettings
from ariagent.errors import ResourceError
from ariagent.records import folder, rows, schema
from ariagent.records.alive import SEEN_EVERY_S, Identity
from ariagent.records.events import CallEnded, CallEvent, CallStarted, ModelUsed
from ariagent.records.rows import Row
from ariagent.redaction import Redaction

log = logging.getLogger(__name__)

Side = Literal["caller", "agent"]
Trouble = Callable[[str], None]

FLUSH_S = 0.5
BATCH_ROWS = 200
QUEUE_ROWS = 20_000
QUEUE_BYTES = 32_000_000
CALL_ROWS = 20_000
CALL_BYTES = 16_000_000
"""The most of one call, from one process; an hour of fast conversation is 5,000 rows and 2 MB. Its cost and its end are
written all the same."""
RETRY_S = 1.0
LAST_RETRY_S = 0.1
LOCKED_S = 2.0
REPORT_S = 60.0
PURGE_S = 60.0
PURGE_CALLS = 5
ERASE_AGAIN_S = 5.0
"""Seconds until the write-ahead log is emptied again, if that failed or a reader prevented it."""

_ONE_ROWS_FAULT = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    OverflowError,
    TypeError,
    ValueError,
)


@dataclass(slots=True, eq=False)
class CallRecord:
    """The record of one running call. Its methods never wait and never raise; call them from one thread."""

    journal: "Journal"
    call_id: str
    began: float
    """Seconds since the epoch."""
    ended: bool = False
    dropped: int = 0
    """Rows of this call that found no place."""
    row: tuple[int, int] | None = None
    """The writer's: which file (its ``application_id``), and the row in it."""
    rows: int = 0
    size: int = 0
    """Rows of this call that were queued, and roughly their bytes."""
    head: Row | None = None
    """The row that says whose call it is, for a database that has to start over."""

    def tell(self, event: CallEvent, at: float) -> None:
        """``event`` happened ``at`` (seconds since the epoch). Of the call's ends only the first one counts."""
        if not self.journal.keeps_records:
            return
        if isinstance(event, CallEnded):
            self._end(event, at)
            return
        row = rows.event(event, at, words=self.journal.writes_words(ended=self.ended), redact=self.journal.redact)
        if isinstance(event, CallStarted):
            self.head = row
        self._put(row, unbounded=isinstance(event, ModelUsed))

    def wave(self, side: Side, start_s: float, peaks: bytes) -> None:
        """Peaks (see ``audio.peaks``) of one side, from ``start_s`` seconds after the call began."""
        if peaks and self.journal.keeps_records:
            self._put(rows.wave(side, start_s, peaks))

    def _put(self, row: Row, *, unbounded: bool = False) -> None:
        if not unbounded and (self.rows >= CALL_ROWS or self.size >= CALL_BYTES):
            self.dropped += 1
            self.journal.dropped += 1
            return
        self.rows += 1
        self.size += row.size
        self.journal.put(self, row)

    def _end(self, event: CallEnded, at: float) -> None:
        if not self.ended:
            self.ended = True
            erases = self.journal.erases_words
            row = rows.event(event, at, words=not erases, erases_words=erases, redact=self.journal.redact)
            self.journal.put(self, row, always=True)
            self.journal.write_soon()


class Journal:
    """The writer of ``calls.db``. Make it with ``open``."""

    def __init__(
        self,
        directory: Path,
        settings: RecordsSettings,
        on_trouble: Trouble | None,
        redact: Redaction | None = None,
    ) -> None:
        self.path = directory / schema.FILE
        self.keeps_records = settings.enabled
        self.configure(settings, redact)
        self.dropped = 0
        """Rows that were not written, and will not be."""
        self._on_trouble = on_trouble
        self._queue: deque[tuple[CallRecord, Row]] = deque()
        # Two counters that only grow, one per thread, need no lock.
        self._bytes_in = self._bytes_out = 0
        self._batch: list[tuple[CallRecord, Row]] = []
        self._base: sqlite3.Connection | None = None
        self._inode = 0
        self._file = 0
        self._process = 0
        self._last_call = 0
        """The last row of a call that this journal has written to."""
        self._reported = float("-inf")
        self._failing = False
        self._seen_due = self._purge_due = self._erase_due = 0.0
        self._foreign = 0
        """SQLite's ``data_version``: another one after a change that somebody else made."""
        self._closing = threading.Event()
        self._give_up = 0.0
        self._due = threading.Event()
        self._thread: threading.Thread | None = None

    @classmethod
    def open(
        cls,
        directory: Path,
        settings: RecordsSettings,
        on_trouble: Trouble | None = None,
        redact: Redaction | None = None,
    ) -> "Journal":
        """The journal of this process. Where ``settings`` keep no records, one that does nothing.

        ``on_trouble`` is called, in the writer's thread, with every failure; ``redact`` hides secrets. Raises
        ResourceError for a directory that cannot be used and for a database of a newer version; anything else is tried
        again.
        """
        journal = cls(directory, settings, on_trouble, redact)
        if settings.enabled:
            _prepare(directory)
            for _ in range(2):
                try:
                    journal._connect()
                    break
                except (sqlite3.Error, OSError) as error:
                    journal._failed(error)
            journal._thread = threading.Thread(target=journal._run, name="records", daemon=True)
            journal._thread.start()
        return journal

    def configure(self, settings: RecordsSettings, redact: Redaction | None = None) -> None:
        """Keep what ``settings`` say from now on, of running calls too. ``enabled`` does not change any more."""
        self.redact: Callable[[str], str] = str if redact is None else redact
        """Hides secrets in a text."""
        self.erases_words = not settings.transcripts
        """When a call ends; until then they may be kept."""
        self._words_until_the_end = settings.transcripts or settings.until_the_end
        self._keep_s = settings.keep_days * 86400

    def begin(self, call_id: str, at: float) -> CallRecord:
        """A call arrived ``at`` (seconds since the epoch)."""
        record = CallRecord(self, call_id, at)
        self.put(record, rows.BEGIN, always=True)
        return record

    def resume(self, row: int, call_id: str, began: float) -> CallRecord:
        """Continue with the record of a call that a process began which is gone; ``row``: its in the database."""
        record = CallRecord(self, call_id, began, row=(self._file, row))
        self.put(record, rows.taken_over(self._process), always=True)
        return record

    def writes_words(self, *, ended: bool) -> bool:
        """Whether what is said in a call is written down now."""
        return self._words_until_the_end and not (ended and self.erases_words)

    def put(self, record: CallRecord, row: Row, *, always: bool = False) -> None:
        """For records: queue ``row``; ``always``: a call's beginning and end, for which there is always a place."""
        if self._thread is None:
            return
        full = len(self._queue) >= QUEUE_ROWS or self._bytes_in - self._bytes_out >= QUEUE_BYTES
        if self._closing.is_set() or (full and not always):
            self.dropped += 1
            record.dropped += 1
            return
        self._bytes_in += row.size
        self._queue.append((record, row))

    def write_soon(self) -> None:
        """Write what is queued without waiting for more: somebody may ask for the call that has just ended."""
        self._due.set()

    def close(self, timeout_s: float = 3.0) -> bool:
        """Write what is queued and close; waits up to ``timeout_s``. Returns whether everything was written."""
        if self._thread is None:
            return True
        self._give_up = time.monotonic() + timeout_s
        self._closing.set()
        self.write_soon()
        self._thread.join(timeout_s + LAST_RETRY_S)
        left = len(self._queue) + len(self._batch)
        self.dropped += left
        if left:
            log.warning("records.lost", extra={"fields": {"rows": left}})
        return not left

    # -- the writer's thread ----------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            last = self._closing.is_set()
            wait_s = FLUSH_S
            try:
                self._write_all()
                self._upkeep()
            except (sqlite3.Error, OSError, ResourceError) as error:
                wait_s = 0.0 if self._failed(error) else RETRY_S
            except Exception:
                log.exception("records.broken")
                self._disconnect()
                wait_s = RETRY_S
            if last and (not (self._queue or self._batch) or time.monotonic() >= self._give_up):
                self._disconnect()
                return
            self._due.wait(wait_s)
            self._due.clear()
            if last:
                time.sleep(LAST_RETRY_S)

    def _write_all(self) -> None:
        while self._batch or self._queue:
            while self._queue and len(self._batch) < BATCH_ROWS:
                self._batch.append(self._queue.popleft())
            base = self._connect()
            fresh: list[CallRecord] = []
            base.execute("BEGIN IMMEDIATE")
            try:
                for record, row in self._batch:
                    self._write(base, record, row, fresh)
                base.execute("COMMIT")
            except BaseException:
                for record in fresh:
                    record.row = None
                with contextlib.suppress(sqlite3.Error):
                    base.execute("ROLLBACK")
                raise
            # Committed rows are not written again, whatever fails from here on.
            written, self._batch = self._batch, []
            self._bytes_out += sum(row.size for _, row in written)
            if any(row.erases_words for _, row in written):
                self._erase_due = 0.0
            if self._failing:
                self._failing = False
                log.info("records.recovered", extra={"fields": {"dropped": self.dropped}})

    def _write(self, base: sqlite3.Connection, record: CallRecord, row: Row, fresh: list[CallRecord]) -> None:
        try:
            if record.row is None or record.row[0] != self._file:
                again = record.row is not None
                call = rows.insert_call(base, self._process, record.call_id, record.began, self._last_call)
                record.row = self._file, call
                fresh.append(record)
                if again and record.head is not None and record.head is not row:
                    record.head.write(base, call)
            self._last_call = max(self._last_call, record.row[1])
            row.write(base, record.row[1])
            if record.ended and record.dropped:
                rows.note_dropped(base, record.row[1], record.dropped)
        except _ONE_ROWS_FAULT as error:
            # For instance an event of a call that was deleted meanwhile: the others must not suffer for it.
            self.dropped += 1
            log.debug("records.refused", extra={"fields": {"cause": str(error)}})

    def _upkeep(self) -> None:
        if (damage := schema.damage_read(self.path, self._inode)) is not None:
            raise damage.with_traceback(None)
        now, wall = time.monotonic(), time.time()
        if now >= self._seen_due:
            self._seen_due = now + SEEN_EVERY_S
            rows.renew_process(self._connect(), self._process, wall)
        if now >= self._purge_due and not self._closing.is_set():
            deleted = rows.purge(self._connect(), self._process, wall - self._keep_s, PURGE_CALLS)
            if deleted:
                self._erase_due = 0.0
            if deleted < PURGE_CALLS:
                self._purge_due = now + PURGE_S
                _purge_damaged(self.path, wall - self._keep_s)
        (foreign,) = self._connect().execute("PRAGMA data_version").fetchone()
        if foreign != self._foreign:  # `ariagent calls --delete` may have left erased rows in the write-ahead log
            self._foreign, self._erase_due = foreign, 0.0
        if now >= self._erase_due:
            base = self._connect()
            self._erase_due = now + ERASE_AGAIN_S
            if rows.erased(base):
                self._erase_due = math.inf

    def _connect(self) -> sqlite3.Connection:
        """The connection, to the file that is there now."""
        try:
            inode = self.path.stat().st_ino
        except FileNotFoundError:
            inode = 0
        if self._base is not None:
            if inode == self._inode:
                return self._base
            self._disconnect()
        if not inode:
            # A journal without its file cannot be read, but would be read into a new one.
            for suffix in ("-wal", "-shm"):
                Path(f"{self.path}{suffix}").unlink(missing_ok=True)
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
            inode = self.path.stat().st_ino
        self._inode = inode
        base = schema.connect(self.path, writes=True, timeout_s=LOCKED_S)
        try:
            process = rows.insert_process(base, Identity.own(), time.time())
            (self._file,) = base.execute("PRAGMA application_id").fetchone()
        except BaseException:
            base.close()
            raise
        self._base, self._process = base, process
        # A former connection, or process, may have left erased rows in the write-ahead log.
        self._erase_due = 0.0
        return base

    def _disconnect(self) -> None:
        if self._base is not None:
            with contextlib.suppress(sqlite3.Error):
                self._base.close()
            self._base = None

    def _failed(self, error: Exception) -> bool:
        """Report, and make the next attempt start from the file; returns whether a damaged one was put aside."""
        damaged = _is_damage(error)
        text = f"{error} ({error.sqlite_errorname})" if hasattr(error, "sqlite_errorname") else str(error)
        self._failing = True
        self._disconnect()
        now = time.monotonic()
        if damaged or now - self._reported >= REPORT_S:
            self._reported = now
            fields = {"cause": text, "file": str(self.path), "queued": len(self._queue), "dropped": self.dropped}
            log.error("records.failing", extra={"fields": fields})
        if self._on_trouble is not None:
            self._on_trouble(text)
        return damaged and self._put_aside()

    def _put_aside(self) -> bool:
        try:
            if self.path.stat().st_ino != self._inode:
                return True  # another process has done so already
        except OSError:
            return True
        aside = f"{self.path}.damaged-{time.strftime('%Y%m%dT%H%M%S')}"
        for suffix in ("", "-wal", "-shm"):
            try:
                os.replace(f"{self.path}{suffix}", f"{aside}{suffix}")
            except FileNotFoundError:
                continue
            except OSError as error:
                log.error("records.move_aside_failed", extra={"fields": {"cause": str(error)}})
                return False
        log.error("records.moved_aside", extra={"fields": {"file": aside}})
        return True


def _prepare(directory: Path) -> None:
    remedy = "Name another state_directory, let the service's user write there, or set records.enabled to false"
    try:
        folder.make(directory)
    except OSError as error:
        cause = f"records of calls cannot be kept in {directory}: {error.strerror or error}"
        raise ResourceError(cause, remedy=remedy) from None
    if problem := folder.problem(directory):
        raise ResourceError(f"records of calls cannot be kept in {directory}: {problem}", remedy=remedy)


def _is_damage(error: Exception) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_ERROR:
        return "no such table" in str(error) or "no such column" in str(error)
    return code in schema.DAMAGE


def _purge_damaged(path: Path, before: float) -> None:
    for aside in path.parent.glob(f"{path.name}.damaged-*"):
        with contextlib.suppress(OSError):
            if aside.stat().st_mtime < before:
                aside.unlink()

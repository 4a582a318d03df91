"""Reads the journal's database, while the service writes it or when there is none running."""

import json
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import tzinfo
from pathlib import Path
from typing import Literal

from ariagent.errors import AriagentError
from ariagent.localtime import day as local_day
from ariagent.localtime import midnight
from ariagent.realtime.events import TOKENS, Usage
from ariagent.records import rows, schema
from ariagent.records.alive import Identity
from ariagent.records.cost import KINDS
from ariagent.records.events import MessageTaken
from ariagent.records.model import CallRow, EventRow, MessageRow, UseRow, WaveRow, of_kind

LOCKED_S = 5.0
ERASE_LIMIT_S, ERASE_AGAIN_S = 3.0, 0.05
"""How long, and how often, the write-ahead log is tried to be emptied while somebody reads."""
GroupBy = Literal["agent", "day"]


class RecordsError(AriagentError):
    """The records cannot be read, or what was asked for is not in them."""


class UnknownCallError(RecordsError):
    """No call has this id, or several have."""


_COLUMNS = "id, call, visit, began, answered, ended, state, agent, caller, seat, result, reason, side, words, dropped"
_LIVES = "lives(pid, birth, namespace, seen)"
_RUNS = f"process IN (SELECT id FROM processes WHERE {_LIVES})"
_SUMS = ", ".join(f"sum({kind})" for kind in KINDS) + ", sum(transcribed_s), sum(cost)"


class Store:
    """The records under one ``state_directory``."""

    def __init__(self, directory: Path, zone: tzinfo | None = None) -> None:
        """``zone``: the time zone of days and times; None: the machine's."""
        self.path = directory / schema.FILE
        self.zone = zone

    # -- lists ------------------------------------------------------------------------------------

    def live(self, agent: str | None = None) -> list[CallRow]:
        """Calls in progress now, the longest first."""
        return self._calls(f"ended IS NULL AND {_RUNS}", [], "ORDER BY began", agent)

    def unfinished_calls(self) -> list[CallRow]:
        """Calls without an end, of any process; ``lost`` those whose process is gone."""
        return self._calls("ended IS NULL", [], "ORDER BY began")

    def past(self, limit: int | None, agent: str | None = None, since: float | None = None) -> list[CallRow]:
        """Calls that are over (or lost), the latest first; ``since``: that began then or later."""
        over = f"(ended IS NOT NULL OR NOT {_RUNS})"
        where, values = (f"{over} AND began >= ?", [since]) if since is not None else (over, [])
        return self._calls(where, values, "ORDER BY began DESC, id DESC", agent, -1 if limit is None else limit)

    def find(self, name: str) -> CallRow:
        """The one call whose id is ``name``, or begins or ends with it. Raises UnknownCallError."""
        call, _, visit = name.partition("/")
        if visit and not visit.isdecimal():
            raise UnknownCallError(f"there is no call {name!r}", remedy="A later visit is written as ID/2")
        exact = self._calls("call = ? AND visit = ?", [call, int(visit or 1)], "")
        if exact:
            return exact[0]
        text = call.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        found = self._calls(
            "(call LIKE ? ESCAPE '\\' OR call LIKE ? ESCAPE '\\') AND visit = ?",
            [f"{text}%", f"%{text}", int(visit or 1)],
            "ORDER BY began DESC",
            limit=6,
        )
        if len(found) == 1:
            return found[0]
        if not found:
            raise UnknownCallError(f"there is no call {name!r}", remedy="`ariagent calls --all` lists all calls")
        some = ", ".join(row.id for row in found[:5]) + (", ..." if len(found) > 5 else "")
        raise UnknownCallError(f"{name!r} matches several calls: {some}", remedy="Give more characters of the id")

    def visits(self, call: str) -> list[CallRow]:
        """All visits of the call with this id."""
        return self._calls("call = ?", [call], "ORDER BY visit")

    def messages(self, limit: int | None, agent: str | None = None, since: float | None = None) -> list[MessageRow]:
        """Callers' messages, the latest first; ``since``: then or later."""
        select = (
            "SELECT events.call, at, fields FROM events JOIN calls ON calls.id = events.call "
            "WHERE name = ? AND (? IS NULL OR agent = ?) AND (? IS NULL OR at >= ?) "
            "ORDER BY at DESC, events.id DESC LIMIT ?"
        )
        with self._open() as base:
            values = (MessageTaken.NAME, agent, agent, since, since, -1 if limit is None else limit)
            rows = base.execute(select, values).fetchall()
        calls = {row: self._calls("id = ?", [row], "")[0] for row in {row for row, _, _ in rows}}
        return [
            MessageRow(calls[row], at, left.kind, left.number, left.when, left.text)
            for row, at, text in rows
            for _, left in of_kind(MessageTaken, [EventRow(at, MessageTaken.NAME, _fields(text))])
        ]

    def writer(self) -> int | None:
        """The process id of the service that writes here now; None where none does, or in another container."""
        select = f"SELECT pid FROM processes WHERE namespace = ? AND {_LIVES} ORDER BY seen DESC LIMIT 1"
        with self._open() as base:
            found = base.execute(select, (Identity.own().namespace,)).fetchone()
        return int(found[0]) if found is not None else None

    # -- one call ---------------------------------------------------------------------------------

    def events(self, call: CallRow) -> list[EventRow]:
        """The events, in order."""
        with self._open() as base:
            rows = base.execute("SELECT at, name, fields FROM events WHERE call = ? ORDER BY at, id", (call.row,))
            return [EventRow(at, name, _fields(text)) for at, name, text in rows]

    def waves(self, call: CallRow) -> list[WaveRow]:
        """Peaks of both sides, in order."""
        with self._open() as base:
            rows = base.execute("SELECT side, start_s, peaks FROM waves WHERE call = ? ORDER BY start_s", (call.row,))
            return [WaveRow(*row) for row in rows]

    def use(self, call: CallRow) -> list[UseRow]:
        """Tokens and money, by model."""
        with self._open() as base:
            select = f"SELECT model, {_SUMS} FROM use WHERE call = ? GROUP BY model"
            return [_use(model, amounts) for model, *amounts in base.execute(select, (call.row,))]

    # -- sums -------------------------------------------------------------------------------------

    def use_by(self, group: GroupBy, agent: str | None = None, since: float | None = None) -> dict[str, list[UseRow]]:
        """Tokens and money of all calls, by agent or by local day (``2026-11-22``), then by model."""
        key = "agent" if group == "agent" else "local_day(began)"
        select = (
            f"SELECT {key}, model, count(*), {_SUMS} FROM use JOIN calls ON calls.id = use.call "
            "WHERE (? IS NULL OR agent = ?) AND (? IS NULL OR began >= ?) GROUP BY 1, 2, cost IS NULL ORDER BY 1, 2"
        )
        found: dict[str, list[UseRow]] = {}
        with self._open() as base:
            base.create_function("local_day", 1, lambda at: local_day(at, self.zone))
            for name, model, calls, *amounts in base.execute(select, (agent, agent, since, since)):
                found.setdefault(name, []).append(replace(_use(model, amounts), calls=calls))
        return found

    def spent(self, start: float, end: float) -> float:
        """The cost of calls that began from ``start`` until before ``end``."""
        select = "SELECT total(cost) FROM use JOIN calls ON calls.id = use.call WHERE began >= ? AND began < ?"
        with self._open() as base:
            return float(base.execute(select, (start, end)).fetchone()[0])

    def talked_s(self, since: float) -> tuple[float, float]:
        """How long calls have lasted from ``since`` on, in seconds: all, and those of callers without a number. Calls
        in progress, and lost ones, are not counted."""
        select = (
            "SELECT total(ended - max(answered, ?)), total((caller = '') * (ended - max(answered, ?))) "
            "FROM calls WHERE ended > ? AND answered IS NOT NULL"
        )
        with self._open() as base:
            every, unknown = base.execute(select, (since, since, since)).fetchone()
            return float(every), float(unknown)

    def callers(self, since: float) -> list[tuple[str, float]]:
        """Number and time of each call that was taken from ``since`` on. A call that came back is the same one."""
        select = (
            "SELECT caller, began FROM calls WHERE began >= ? AND visit = 1 AND caller <> '' AND result <> 'busy' "
            "ORDER BY began"
        )
        with self._open() as base:
            return [(str(number), float(at)) for number, at in base.execute(select, (since,))]

    # -- changes ----------------------------------------------------------------------------------

    def delete(self, call: CallRow) -> bool:
        """Erase everything kept of ``call``. Raises RecordsError for one in progress.

        Returns whether nothing of it is left on the disk. Somebody who reads prevents that; a service that writes here
        erases the rest soon, or when it starts.
        """
        if call.live:
            raise RecordsError(f"the call {call.id} is still running", remedy="Delete it after its end")
        if not os.access(self.path, os.W_OK):
            raise self._unreadable(f"{self.path} is not writable")
        try:
            with closing(schema.connect(self.path, writes=True, timeout_s=LOCKED_S)) as base:
                base.create_function("lives", 4, _lives)
                # It may have been deleted, or taken over, since it was read; and its row may be another call's now.
                same, over = "id = ? AND call = ? AND visit = ?", f"(ended IS NOT NULL OR NOT {_RUNS})"
                values = (call.row, call.call, call.visit)
                if not base.execute(f"DELETE FROM calls WHERE {same} AND {over}", values).rowcount:
                    raise UnknownCallError(f"the call {call.id} was deleted at this moment, or is running again")
                return _erased(base)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise self._unreadable(str(error)) from None
            cause = f"another program keeps {self.path} locked; nothing was deleted"
            raise RecordsError(cause, remedy="Run the command again") from None
        except sqlite3.Error as error:
            raise self._unreadable(str(error)) from None

    # -- inside -----------------------------------------------------------------------------------

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        if not os.access(self.path.parent, os.X_OK) and self.path.parent.exists():
            raise self._unreadable("permission denied")
        try:
            inode = self.path.stat().st_ino
        except (FileNotFoundError, NotADirectoryError):
            raise self._nothing() from None
        try:
            with closing(schema.connect(self.path, writes=False, timeout_s=LOCKED_S)) as base:
                if base.execute("PRAGMA user_version").fetchone() == (0,):
                    raise self._nothing()  # it is just being made
                base.create_function("lives", 4, _lives)
                yield base
        except schema.NewerSchemaError as error:
            raise RecordsError(str(error), remedy=error.remedy) from None
        except sqlite3.Error as error:
            schema.reading_failed(self.path, inode, error)
            raise self._unreadable(str(error)) from None

    def _nothing(self) -> RecordsError:
        return RecordsError(
            f"nothing was recorded in {self.path.parent}",
            remedy="Name the service's settings with -c FILE. The service keeps records if records.enabled is true",
        )

    def _unreadable(self, cause: str) -> RecordsError:
        return RecordsError(
            f"the records in {self.path} cannot be read: {cause}",
            remedy="Run this as the service's user; the service puts a damaged file aside and begins a new one",
        )

    def _calls(
        self, where: str, values: Sequence[object], order: str, agent: str | None = None, limit: int = -1
    ) -> list[CallRow]:
        if agent is not None:
            where, values = f"{where} AND agent = ?", [*values, agent]
        select = (
            f"SELECT {_COLUMNS}, (SELECT sum(cost) FROM use WHERE use.call = calls.id), "
            f"ended IS NULL AND NOT {_RUNS} FROM calls WHERE {where} {order} LIMIT ?"
        )
        with self._open() as base:
            rows = base.execute(select, [*values, limit]).fetchall()
        # A row whose process is gone tells so.
        return [replace(CallRow(*row[:-1]), state="lost") if row[-1] else CallRow(*row[:-1]) for row in rows]


def spent_today(directory: Path, now: float, zone: tzinfo | None = None) -> tuple[str, float]:
    """The local day of ``now`` and what its calls have cost so far: how ``DailySpending`` begins.

    Nothing where there are no records; raises RecordsError where they cannot be read.
    """
    day = local_day(now, zone)
    store = Store(directory)
    return day, store.spent(midnight(now, zone), now + 86400) if store.path.exists() else 0.0


@dataclass(frozen=True, slots=True)
class Today:
    """The counts for the caps, as far as they are in the records."""

    day: str
    """The local date."""
    began: float
    """Local midnight, in seconds since the epoch."""
    talked_s: float = 0.0
    """How long the day's calls have lasted so far."""
    talked_unknown_s: float = 0.0
    """The part of it that belongs to callers without a number."""
    callers: Sequence[tuple[str, float]] = ()
    """The callers of the last hour: number, and when."""


def calls_today(directory: Path, now: float, zone: tzinfo | None = None) -> Today:
    """The calls of the local day of ``now``, so far.

    How ``Admission`` begins. Nothing where there are no records; raises RecordsError where they cannot be read.
    """
    day = local_day(now, zone)
    store = Store(directory)
    if not store.path.exists():
        return Today(day, midnight(now, zone))
    began = midnight(now, zone)
    return Today(day, began, *store.talked_s(began), store.callers(now - 3600))


def _erased(base: sqlite3.Connection) -> bool:
    """Empty the write-ahead log, which holds what was deleted; returns whether that was possible in time.

    A checkpoint that waits for readers itself keeps the service from writing.
    """
    until = time.monotonic() + ERASE_LIMIT_S
    with suppress(sqlite3.OperationalError):
        base.execute("PRAGMA incremental_vacuum(500)").fetchall()
        base.execute("PRAGMA busy_timeout=0").fetchall()
        while not (erased := rows.erased(base)) and time.monotonic() < until:
            time.sleep(ERASE_AGAIN_S)
        return erased
    return False


def _lives(pid: int, birth: str, namespace: str, seen: float) -> bool:
    return Identity(pid, birth, namespace).lives(seen, time.time())


def _fields(text: str) -> dict[str, object]:
    fields = json.loads(text)
    return fields if isinstance(fields, dict) else {"": fields}


def _use(model: str, amounts: list[float | None]) -> UseRow:
    counts = {kind: int(amount or 0) for kind, amount in zip(KINDS, amounts, strict=False)}
    return UseRow(model, Usage(*(counts[kind] for kind in TOKENS)), float(amounts[-2] or 0.0), amounts[-1])

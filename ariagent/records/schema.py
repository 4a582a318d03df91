"""The journal's database: ``calls.db`` in ``state_directory``, SQLite in WAL mode, for its owner only.

    processes   every run of the service that wrote here: what it takes to see whether it still lives
    calls       one row a call (a caller who comes back later under the same call id has several): what a list shows
    events      everything that happened, in order, with its fields as JSON: see ``records.events``
    waves       peaks of both sides' audio, see ``audio.peaks``
    use         tokens and money of a call, summed by model

Times are seconds since the epoch; a wave's ``start_s`` counts from its call's ``began``. ``calls`` and ``use`` only
repeat what is in ``events``. Another process can rebuild the conversation of a call that broke off from its events
alone (``call.takeover``).

``application_id`` tells one file from another that took its place.
``user_version`` is the schema's version. A file of a newer version is left alone. Version 1 has the same tables, but
its events may have other fields: it becomes version 2 as it is, and an event that cannot be read is only shown.
"""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from ariagent.errors import ResourceError

FILE = "calls.db"
VERSION = 2
DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

_TABLES = """
CREATE TABLE processes (
    id INTEGER PRIMARY KEY,
    pid INTEGER NOT NULL,
    birth TEXT NOT NULL,      -- tells a later process with the same pid apart
    namespace TEXT NOT NULL,  -- where the pid means something
    seen REAL NOT NULL        -- renewed while it runs
);
CREATE TABLE calls (
    id INTEGER PRIMARY KEY,
    process INTEGER NOT NULL REFERENCES processes (id),
    call TEXT NOT NULL,
    visit INTEGER NOT NULL,
    began REAL NOT NULL,
    answered REAL,
    ended REAL,
    state TEXT NOT NULL DEFAULT '',
    agent TEXT NOT NULL DEFAULT '',
    caller TEXT NOT NULL DEFAULT '',
    seat TEXT NOT NULL DEFAULT '',
    result TEXT NOT NULL DEFAULT '',
    reason TEXT NOT NULL DEFAULT '',
    side TEXT NOT NULL DEFAULT '',   -- who spoke last
    words TEXT NOT NULL DEFAULT '',  -- and what
    dropped INTEGER NOT NULL DEFAULT 0,
    UNIQUE (call, visit)
);
CREATE INDEX calls_began ON calls (began);
CREATE INDEX calls_open ON calls (id) WHERE ended IS NULL;
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    call INTEGER NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    at REAL NOT NULL,
    name TEXT NOT NULL,
    fields TEXT NOT NULL
);
CREATE INDEX events_call ON events (call);
CREATE TABLE waves (
    id INTEGER PRIMARY KEY,
    call INTEGER NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    side TEXT NOT NULL,
    start_s REAL NOT NULL,
    peaks BLOB NOT NULL
);
CREATE INDEX waves_call ON waves (call);
CREATE TABLE use (
    call INTEGER NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    model TEXT NOT NULL,
    input_text INTEGER NOT NULL DEFAULT 0,
    cached_text INTEGER NOT NULL DEFAULT 0,
    output_text INTEGER NOT NULL DEFAULT 0,
    input_audio INTEGER NOT NULL DEFAULT 0,
    cached_audio INTEGER NOT NULL DEFAULT 0,
    output_audio INTEGER NOT NULL DEFAULT 0,
    transcribed_s REAL NOT NULL DEFAULT 0,
    cost REAL,  -- at the prices of the time; NULL: the model had none
    PRIMARY KEY (call, model)
);
"""


_damaged: dict[tuple[Path, int], sqlite3.Error] = {}
"""Databases, by path and inode, in which a reader of this process met damage."""


class NewerSchemaError(ResourceError):
    """The file was written by a newer ariagent."""


def connect(path: Path, *, writes: bool, timeout_s: float) -> sqlite3.Connection:
    """Open the database; it must be there unless ``writes``.

    Raises NewerSchemaError for a newer file, sqlite3.Error for one that cannot be used.
    """
    mode = "rwc" if writes else "ro"
    # Percent-encoded, for a path may hold what ends a URI's.
    base = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=timeout_s, isolation_level=None,
        check_same_thread=False,
    )  # fmt: skip
    try:
        if writes:
            for pragma in (
                "auto_vacuum=INCREMENTAL",
                "journal_mode=WAL",
                # Written rows survive kill -9; only a power cut may take the last ones.
                "synchronous=NORMAL",
                "foreign_keys=ON",
                "secure_delete=ON",
                "journal_size_limit=4194304",
                # KiB. One who only adds reads next to nothing again; by default this would fill to 2 MB.
                "cache_size=-256",
            ):
                base.execute(f"PRAGMA {pragma}").fetchall()
        _check_version(base, path, writes=writes)
    except BaseException:
        base.close()
        raise
    return base


def reading_failed(path: Path, inode: int, error: sqlite3.Error) -> None:
    """A reader met this error. If it is damage, the journal of this process learns of it: it may never read there."""
    if getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGE:
        _damaged[path, inode] = error


def damage_read(path: Path, inode: int) -> sqlite3.Error | None:
    """The damage that a reader met, once; None: there was none."""
    return _damaged.pop((path, inode), None)


def _check_version(base: sqlite3.Connection, path: Path, *, writes: bool) -> None:
    (version,) = base.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise NewerSchemaError(
            f"{path} was written by a newer ariagent (version {version} of its schema, this one knows {VERSION})",
            remedy="Upgrade ariagent, or name another state_directory",
        )
    if 0 < version < VERSION and writes:
        base.execute(f"PRAGMA user_version={VERSION}")
    if version == 0 and writes:
        with closing(base.cursor()) as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            # Another process may have made them meanwhile.
            if cursor.execute("PRAGMA user_version").fetchone() == (0,):
                for statement in _TABLES.split(";\n"):
                    cursor.execute(statement)
                cursor.execute(f"PRAGMA user_version={VERSION}")
                cursor.execute(f"PRAGMA application_id={int.from_bytes(os.urandom(3)) + 1}")
            cursor.execute("COMMIT")

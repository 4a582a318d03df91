"""What is written into the journal's tables: each row knows its statement."""

import json
import re
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from ariagent.records.alive import Identity
from ariagent.records.cost import KINDS

TEXT_LIMIT = 32_000
"""Longer texts of an event are cut, in characters."""
WORDS_LIMIT = 200
"""Of the last words that a list shows."""

_WORDS = ("said", "arguments", "output", "text", "cut")
"""Fields that hold what was said or told: not kept where the site keeps no transcripts."""

_LENGTH = re.compile(r"\(\d+ characters\)")


@dataclass(frozen=True, slots=True)
class Row:
    """Statements for one thing that happened; ``:call`` is the call's row."""

    statements: tuple[tuple[str, dict[str, object]], ...] = ()
    size: int = field(default=0)
    """Roughly, in bytes."""
    erases_words: bool = False
    """What was said in the call is not kept beyond this."""

    def write(self, base: sqlite3.Connection, call: int) -> None:
        for statement, values in self.statements:
            base.execute(statement, {"call": call, **values})
        if self.erases_words:
            _erase_words(base, call)


BEGIN = Row()
"""A call's beginning: its row in ``calls`` is made with the first thing that is written of it."""

_EVENT = "INSERT INTO events (call, at, name, fields) VALUES (:call, :at, :name, :fields)"
_WAVE = "INSERT INTO waves (call, side, start_s, peaks) VALUES (:call, :side, :start_s, :peaks)"
_STARTED = "UPDATE calls SET agent = :agent, caller = :caller, seat = :seat, state = 'ringing' WHERE id = :call"
_PARTY = "UPDATE calls SET caller = :caller WHERE id = :call"
_ANSWERED = "UPDATE calls SET answered = :at, state = 'talking' WHERE id = :call"
_STATE = "UPDATE calls SET state = :state WHERE id = :call"
_SPOKE = "UPDATE calls SET side = :side, words = :said WHERE id = :call"
_UNSAID = (
    "UPDATE calls SET words = '(' || length(words) || ' characters)' "
    "WHERE id = :call AND words <> '' AND words NOT GLOB '([0-9]* characters)'"
)
_ENDED = "UPDATE calls SET ended = :at, result = :result, reason = :reason, state = 'ended' WHERE id = :call"
_SUMMED = (*KINDS, "transcribed_s")
_USE = (
    f"INSERT INTO use (call, model, cost, {', '.join(_SUMMED)}) "
    f"VALUES (:call, :model, :cost, {', '.join(':' + name for name in _SUMMED)}) "
    f"ON CONFLICT (call, model) DO UPDATE SET {', '.join(f'{name} = {name} + excluded.{name}' for name in _SUMMED)}, "
    "cost = CASE WHEN excluded.cost IS NULL THEN cost ELSE coalesce(cost, 0) + excluded.cost END"
)


def event(name: str, at: float, fields: Mapping[str, object], *, words: bool, erases_words: bool = False) -> Row:
    """The row of event ``name``. Without ``words`` it tells how long each text was, not the text; with ``erases_words``
    so do those before it, from then on."""
    kept = {str(key): _kept(str(key), value, words=words) for key, value in fields.items()}
    when, text = float(at), _json(kept)
    statements: list[tuple[str, dict[str, object]]] = [(_EVENT, {"at": when, "name": clean(name), "fields": text})]

    def plain(*keys: str) -> dict[str, object]:
        return {key: _plain(kept.get(key)) for key in keys}

    match name:
        case "call.started":
            statements.append((_STARTED, plain("agent", "caller", "seat")))
        case "call.caller_changed":
            statements.append((_PARTY, plain("caller")))
        case "call.answered":
            statements.append((_ANSWERED, {"at": when}))
        case "call.state":
            statements.append((_STATE, plain("state")))
        case "turn.caller" | "turn.agent":
            statements.append((_SPOKE, {"side": name.removeprefix("turn."), **plain("said")}))
        case "call.ended":
            statements.append((_ENDED, {"at": when, **plain("result", "reason")}))
        case "usage":
            cost = kept.get("cost")
            money = float(cost) if isinstance(cost, (int, float)) else None
            amounts = {key: _amount(kept.get(key)) for key in _SUMMED}
            statements.append((_USE, {"cost": money, **plain("model"), **amounts}))
    return Row(tuple(statements), len(text) + 200, erases_words)


def taken_over(process: int) -> Row:
    """The row of a call that another process goes on with."""
    return Row((("UPDATE calls SET process = :process WHERE id = :call", {"process": process}),))


def wave(side: str, start_s: float, peaks: bytes) -> Row:
    """A row of peaks, ``start_s`` seconds after the call began."""
    values: dict[str, object] = {"side": side, "start_s": float(start_s), "peaks": bytes(peaks)}
    return Row(((_WAVE, values),), len(peaks) + 200)


def insert_process(base: sqlite3.Connection, own: Identity, now: float) -> int:
    """The row of this process, made when it has none yet."""
    key = (own.pid, own.birth, own.namespace)
    with base:
        base.execute("BEGIN IMMEDIATE")
        found = base.execute("SELECT id FROM processes WHERE pid = ? AND birth = ? AND namespace = ?", key).fetchone()
        if found is None:
            insert = "INSERT INTO processes (pid, birth, namespace, seen) VALUES (?, ?, ?, ?)"
            found = (base.execute(insert, (*key, now)).lastrowid,)
    return int(found[0])


def renew_process(base: sqlite3.Connection, process: int, now: float) -> None:
    base.execute("UPDATE processes SET seen = ? WHERE id = ?", (now, process))


def insert_call(base: sqlite3.Connection, process: int, call_id: str, began: float) -> int:
    """A row for a call; one that was here before under the same id gets the next number of visit."""
    call = clean(call_id)
    insert = (
        "INSERT INTO calls (process, call, began, visit) "
        "VALUES (?, ?, ?, (SELECT coalesce(max(visit), 0) + 1 FROM calls WHERE call = ?))"
    )
    row = base.execute(insert, (process, call, float(began), call)).lastrowid
    assert row is not None
    return row


def _erase_words(base: sqlite3.Connection, call: int) -> None:
    for row, text in base.execute("SELECT id, fields FROM events WHERE call = ?", (call,)).fetchall():
        fields = json.loads(text)
        if isinstance(fields, dict) and any(fields.get(key) is not None for key in _WORDS):
            kept = {key: _kept(key, value, words=False) for key, value in fields.items()}
            base.execute("UPDATE events SET fields = ? WHERE id = ?", (_json(kept), row))
    base.execute(_UNSAID, {"call": call})


def note_dropped(base: sqlite3.Connection, call: int, dropped: int) -> None:
    base.execute("UPDATE calls SET dropped = ? WHERE id = ?", (dropped, call))


def purge(base: sqlite3.Connection, process: int, before: float, at_most: int) -> bool:
    """Delete calls that began ``before``, the oldest first; returns whether there may be more."""
    old = "SELECT id FROM calls WHERE began < ? AND (ended IS NOT NULL OR process <> ?) ORDER BY began LIMIT ?"
    deleted = base.execute(f"DELETE FROM calls WHERE id IN ({old})", (before, process, at_most)).rowcount
    if not deleted:
        return False
    base.execute("PRAGMA incremental_vacuum(500)").fetchall()
    if deleted == at_most:
        return True
    base.execute(
        "DELETE FROM processes WHERE id <> ? AND seen < ? AND id NOT IN (SELECT process FROM calls)",
        (process, time.time() - 86400),
    )
    # What is deleted is still in the write-ahead log until then.
    base.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return False


def clean(text: str) -> str:
    """``text`` without what UTF-8 cannot hold (half of a surrogate pair, from a model's JSON)."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _kept(key: str, value: object, *, words: bool) -> object:
    if not words and key in _WORDS and value is not None:
        if isinstance(value, str) and _LENGTH.fullmatch(value):
            return value  # only its length was kept from the beginning
        return f"({len(value if isinstance(value, str) else _json(value))} characters)"
    if isinstance(value, str) and len(value) > TEXT_LIMIT:
        return value[:TEXT_LIMIT] + "..."
    return value


def _json(value: object) -> str:
    try:
        text = json.dumps(value, default=str, ensure_ascii=False, allow_nan=False)
    except (ValueError, TypeError, RecursionError):
        plain = {key: str(item)[:TEXT_LIMIT] for key, item in value.items()} if isinstance(value, dict) else str(value)
        text = json.dumps(plain, ensure_ascii=False)
    if len(text) > 8 * TEXT_LIMIT:
        text = json.dumps({"cut": text[: 8 * TEXT_LIMIT]}, ensure_ascii=False)
    return clean(text)


def _plain(value: object) -> str:
    text = "" if value is None or value == "-" else str(value)
    return clean(text[:WORDS_LIMIT])


def _amount(value: object) -> int | float:
    return value if isinstance(value, (int, float)) and value >= 0 else 0

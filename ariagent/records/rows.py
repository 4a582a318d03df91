"""The rows of the journal's tables: each row knows its statement."""

import json
import re
import sqlite3
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pydantic_core import to_json

from ariagent.records import events
from ariagent.records.alive import Identity
from ariagent.records.cost import KINDS
from ariagent.text import encodable

TEXT_LIMIT = 32_000
"""Longer texts of an event are cut, in characters."""
WORDS_LIMIT = 200
"""Characters of the last words that a list shows."""

_LENGTH = re.compile(r"\(\d+ characters\)")


@dataclass(frozen=True, slots=True)
class Row:
    """Statements for one thing that happened; ``:call`` is the call's row."""

    statements: tuple[tuple[str, dict[str, object]], ...] = ()
    size: int = field(default=0)
    """Roughly, in bytes."""
    erases_words: bool = False
    """The words of the call are erased with this row."""

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
_CONTINUED = "UPDATE calls SET answered = coalesce(answered, :at) WHERE id = :call"
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


def event(
    event: events.CallEvent,
    at: float,
    *,
    words: bool,
    erases_words: bool = False,
    redact: Callable[[str], str] = str,
) -> Row:
    """The row of an event, without secrets. Without ``words`` it keeps how long each text was that was said, not the
    text; with ``erases_words`` the same is done to the call's earlier events."""
    kept = (event if words else _without_words(event)).with_texts(lambda text: _cut(redact(text)))
    when, text = float(at), _json(kept.to_fields())
    statements: list[tuple[str, dict[str, object]]] = [(_EVENT, {"at": when, "name": event.NAME, "fields": text})]
    if (column := _column(kept, when)) is not None:
        statements.append(column)
    return Row(tuple(statements), len(text) + 200, erases_words)


def _column(event: events.CallEvent, at: float) -> tuple[str, dict[str, object]] | None:
    """The statement for ``calls`` or ``use`` that makes a list of calls show an event."""
    match event:
        case events.CallStarted(agent=agent, caller=caller, seat=seat):
            return _STARTED, {"agent": _plain(agent), "caller": _plain(caller), "seat": _plain(seat)}
        case events.CallerChanged(caller=caller):
            return _PARTY, {"caller": _plain(caller)}
        case events.CallAnswered():
            return _ANSWERED, {"at": at}
        case events.CallContinued():
            return _CONTINUED, {"at": at}
        case events.StateChanged(state=state):
            return _STATE, {"state": _plain(state)}
        case events.CallerTurn(said=said):
            return _SPOKE, {"side": "caller", "said": _plain(events.NOT_TRANSCRIBED if said is None else said)}
        case events.CallerTurnSoFar(said=said):
            return _SPOKE, {"side": "caller", "said": _plain(said)}
        case events.AgentTurn(said=said):
            return _SPOKE, {"side": "agent", "said": _plain(said)}
        case events.CallEnded(result=result, reason=reason):
            return _ENDED, {"at": at, "result": _plain(result), "reason": _plain(reason)}
        case events.ModelUsed(model=model, cost=cost):
            amounts = {name: max(0, getattr(event, name)) for name in _SUMMED}
            return _USE, {"model": _plain(model), "cost": cost, **amounts}
    return None


def taken_over(process: int) -> Row:
    """The row of a call that another process continues with."""
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


def insert_call(base: sqlite3.Connection, process: int, call_id: str, began: float, last: int) -> int:
    """A row for a call; one that was here before under the same id gets the next number of visit.

    It is above the row ``last``, which may be deleted: late events of that call are not to get into this one.
    """
    call = encodable(call_id)
    insert = (
        "INSERT INTO calls (id, process, call, began, visit) VALUES "
        "((SELECT max(coalesce(max(id), 0), ?) + 1 FROM calls), ?, ?, ?, "
        "(SELECT coalesce(max(visit), 0) + 1 FROM calls WHERE call = ?))"
    )
    row = base.execute(insert, (last, process, call, float(began), call)).lastrowid
    assert row is not None
    return row


def _erase_words(base: sqlite3.Connection, call: int) -> None:
    for row, name, text in base.execute("SELECT id, name, fields FROM events WHERE call = ?", (call,)).fetchall():
        fields = json.loads(text)
        event = events.read(name, fields) if isinstance(fields, dict) else None
        # Whatever this version cannot read may have been said.
        kept = {"cut": _length(text)} if event is None else _without_words(event).to_fields()
        if kept != fields:
            base.execute("UPDATE events SET fields = ? WHERE id = ?", (_json(kept), row))
    base.execute(_UNSAID, {"call": call})


def note_dropped(base: sqlite3.Connection, call: int, dropped: int) -> None:
    base.execute("UPDATE calls SET dropped = ? WHERE id = ?", (dropped, call))


def purge(base: sqlite3.Connection, process: int, before: float, at_most: int) -> int:
    """Delete calls that began ``before``, the oldest first; returns how many, ``at_most`` if there may be more.

    They are in the write-ahead log until ``erased``.
    """
    old = "SELECT id FROM calls WHERE began < ? AND (ended IS NOT NULL OR process <> ?) ORDER BY began LIMIT ?"
    deleted = base.execute(f"DELETE FROM calls WHERE id IN ({old})", (before, process, at_most)).rowcount
    if not deleted:
        return 0
    base.execute("PRAGMA incremental_vacuum(500)").fetchall()
    base.execute(
        "DELETE FROM processes WHERE id <> ? AND seen < ? AND id NOT IN (SELECT process FROM calls)",
        (process, time.time() - 86400),
    )
    return deleted


def erased(base: sqlite3.Connection) -> bool:
    """Empty the write-ahead log, which holds what was erased before; returns whether no reader prevented it."""
    ((prevented, _, _),) = base.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return not prevented


def _without_words(event: events.CallEvent) -> events.CallEvent:
    return event.with_texts(_length, only_words=True)


def is_length(text: str) -> bool:
    """Whether a text of an event is only the length of what was said."""
    return _LENGTH.fullmatch(text) is not None


def _length(text: str) -> str:
    # Some texts were kept as a length from the beginning. An empty text stays empty.
    return text if not text or is_length(text) else f"({len(text)} characters)"


def _cut(text: str) -> str:
    return text[:TEXT_LIMIT] + "..." if len(text) > TEXT_LIMIT else text


def _json(fields: Mapping[str, object]) -> str:
    kept = {key: encodable(each) if isinstance(each, str) else each for key, each in fields.items()}
    # A number that JSON cannot hold would make the row unreadable for others.
    return to_json(kept, inf_nan_mode="null", fallback=str).decode()


def _plain(text: str) -> str:
    return "" if text == "-" else encodable(text[:WORDS_LIMIT])

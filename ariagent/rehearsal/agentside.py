"""The agent's side of a call that a synthetic caller held: read from the service's records of it."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from ariagent.errors import ConfigurationError
from ariagent.records import events as rec
from ariagent.records import schema
from ariagent.records.rows import is_length
from ariagent.rehearsal.judge import AgentSide, Remark, ToolCall

WRITTEN_LIMIT_S = 5.0
"""Records are written a moment after things happen."""
_EVENTS = (
    "SELECT events.at, events.name, events.fields FROM events JOIN calls ON events.call = calls.id "
    "WHERE calls.call = ? AND events.name IN (?, ?) ORDER BY events.id"
)
_ENDS = "SELECT ended, result, reason FROM calls WHERE call = ? ORDER BY visit"


async def read_agent_side(path: Path, call_id: str, placed_at: float) -> AgentSide | None:
    """The records of a call, after a short wait for its end; None if there are none.

    ``placed_at``: seconds since the epoch, from which the times in the result count. Raises ConfigurationError for
    records that cannot be read.
    """
    deadline = asyncio.get_running_loop().time() + WRITTEN_LIMIT_S
    while True:
        try:
            found, ended = await asyncio.to_thread(_read, path, call_id, placed_at)
        except sqlite3.Error as error:
            raise ConfigurationError(f"{path} cannot be read: {error}") from None
        if ended or asyncio.get_running_loop().time() >= deadline:
            return found
        await asyncio.sleep(0.1)


def _read(path: Path, call_id: str, placed_at: float) -> tuple[AgentSide | None, bool]:
    with closing(schema.connect(path, writes=False, timeout_s=2.0)) as base:
        ends = base.execute(_ENDS, (call_id,)).fetchall()
        events = base.execute(_EVENTS, (call_id, rec.AgentTurn.NAME, rec.ToolCalled.NAME)).fetchall()
    if not ends:
        return None, False
    remarks, tools = [], []
    for at, name, text in events:
        match rec.read(name, json.loads(text)):
            case rec.AgentTurn(said=said) if said:
                remarks.append(Remark(at - placed_at, said))
            case rec.ToolCalled() as called:
                tools.append(ToolCall(at - placed_at, called.tool, _arguments(called.arguments)))
    if any(is_length(remark.text) for remark in remarks):
        remarks = []  # without the words of one remark it is not known what was never said
    ended, result, reason = ends[-1]
    return AgentSide(tuple(remarks), tuple(tools), result or None, reason or None), ended is not None


def _arguments(text: str) -> dict[str, Any] | None:
    """None: the records have only the length of the arguments."""
    if is_length(text):
        return None
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}

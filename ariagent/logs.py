"""Structured logs: an event's name with fields, as text or JSON lines, each with the id of its call.

A module logs ``log.info("media.refused", extra={"fields": {"uuid": uuid}})``. A call logs typed events through
``CallLog``, which adds ``call`` and gives them to the call's record.
"""

import json
import logging
import sys
import time
from collections.abc import Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from ariagent.lograte import LineBudget
from ariagent.records.events import CallEvent

Side = Literal["caller", "agent"]
LONGEST_FIELD = 2_000
"""Characters of a field in a line of a call; peers send longer ones."""


class Record(Protocol):
    """Where a call's events are kept. Nothing here waits or raises."""

    def tell(self, event: CallEvent, at: float) -> None:
        """``event`` happened ``at`` (seconds since the epoch)."""

    def wave(self, side: Side, start_s: float, peaks: bytes) -> None:
        """Loudness of one side (see ``audio.peaks``), ``start_s`` seconds after the call began."""


class CallLog(logging.LoggerAdapter[logging.Logger]):
    """Logger of one call: every record carries the field ``call``.

    A peer can cause a line with everything it sends. At most LINES_PER_S alike lines a second are written; the next one
    says in ``unlogged`` how many were not.
    """

    def __init__(self, logger: logging.Logger, call_id: str) -> None:
        super().__init__(logger, {})
        self.call_id = call_id
        self.record: Record | None = None
        """Gets every event, from when it is set."""
        self._budgets: dict[str, LineBudget] = {}  # by event; the names are ariagent's

    def tell(self, event: CallEvent, level: int | None = None, *, words: bool = False) -> None:
        """Write an event to the log, at ``level`` or else at the event's own, and to the call's record.

        The log gets no private field. ``words``: the site wants what was said in its log.
        """
        level = event.LEVEL if level is None else level
        if level is not None:
            if (budget := self._budgets.get(event.NAME)) is None:
                budget = self._budgets[event.NAME] = LineBudget()
            unlogged = budget.take(time.monotonic())
            if unlogged is not None and self.logger.isEnabledFor(level):
                shown: dict[str, object] = {"call": self.call_id}
                shown.update((key, _short(value)) for key, value in event.for_log(words=words).items())
                if unlogged:
                    shown["unlogged"] = unlogged
                self.logger.log(level, event.NAME, extra={"fields": shown})
        if self.record is not None:
            self.record.tell(event, time.time())

    def wave(self, side: Side, start_s: float, peaks: bytes) -> None:
        """Loudness of one side, for the record."""
        if self.record is not None:
            self.record.wave(side, start_s, peaks)

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        extra = kwargs.setdefault("extra", {})
        extra["fields"] = {"call": self.call_id, **extra.get("fields", {})}
        return msg, kwargs


def _short(value: object) -> object:
    return f"{value[:LONGEST_FIELD]}..." if isinstance(value, str) and len(value) > LONGEST_FIELD else value


def _fields(record: logging.LogRecord) -> Mapping[str, object]:
    fields = getattr(record, "fields", None)
    return fields if isinstance(fields, Mapping) else {}


class TextFormatter(logging.Formatter):
    """``2026-01-31T12:00:00.123+01:00 INFO call.answered call=1795357064.1 seat=03``, in local time.

    ``redact`` hides secrets in a line.
    """

    def __init__(self, redact: Callable[[str], str] = str) -> None:
        super().__init__()
        self._redact = redact
        self._second, self._stamp = -1, ("", "")  # of the last line: before and behind its milliseconds

    def format(self, record: logging.LogRecord) -> str:
        return self._redact(self._line(record))

    def _line(self, record: logging.LogRecord) -> str:
        second = int(record.created)
        if second != self._second:
            whole = datetime.fromtimestamp(second).astimezone().isoformat(timespec="seconds")
            self._second, self._stamp = second, (whole[:19], whole[19:])
        stamp = f"{self._stamp[0]}.{int(record.created * 1000) % 1000:03d}{self._stamp[1]}"
        fields = "".join(f" {key}={_text(value)}" for key, value in _fields(record).items())
        line = f"{stamp} {record.levelname} {record.getMessage()}{fields}"
        return line + self._trace(record)

    def _trace(self, record: logging.LogRecord) -> str:
        return "\n" + self.formatException(record.exc_info) if record.exc_info else ""


class JsonFormatter(TextFormatter):
    """One JSON object a line: time (ISO 8601, UTC, milliseconds), level, event, logger, then the fields."""

    def _line(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "logger": record.name,
            **_fields(record),
        }
        if trace := self._trace(record).strip():
            entry["trace"] = trace
        return json.dumps(entry, default=str)


def _text(value: object) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    # Quoted where a reader (or awk) could mistake it for two fields, or a caller's words for a line of ours; escaped
    # where a terminal would obey it.
    printable = text.isprintable()
    if text and printable and not any(c in text for c in ' "='):
        return text
    return json.dumps(text, ensure_ascii=not printable)


def configure(level: str = "info", style: str = "text", redact: Callable[[str], str] = str) -> None:
    """Send the program's logs to standard error. Called once, by the command line. ``redact`` hides secrets."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(redact) if style == "json" else TextFormatter(redact))
    # Nothing of this is shown, and to find it out took longer than the rest of a line (logging's "Optimization").
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    logging.getLogger("ariagent").setLevel(level.upper())
    for chatty in ("websockets", "aiohttp.access", "aioari", "aioswagger11", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.WARNING)

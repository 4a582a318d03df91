"""Reads what the records have of calls that another process served, or that come back from human agents."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ariagent.call.takeover import InterruptedCall, returned
from ariagent.config import Settings
from ariagent.dialogue.memory import Memory
from ariagent.records.store import RecordsError, Store

log = logging.getLogger(__name__)


@contextmanager
def if_readable(**about: str) -> Iterator[None]:
    """Run the block as far as the records can be read, and log if they cannot: that is no reason not to serve.

    ``about``: what was read, for the log.
    """
    try:
        yield
    except RecordsError as error:
        log.warning("records.not_read", extra={"fields": {**about, "cause": error.line}})


def interrupted_calls(settings: Settings) -> list[InterruptedCall]:
    """Calls that no process has ended, as far as the records can be read."""
    records, found = settings.records, []
    if not records.enabled:
        return []
    store = Store(settings.state_directory)
    with if_readable():
        for call in store.unfinished_calls():
            # Without transcripts the words of visits that are over are erased.
            visits = [v for v in store.visits(call.call) if v.visit < call.visit and records.transcripts]
            before = [event for visit in visits for event in store.events(visit)]
            words = records.transcripts or records.until_the_end
            found.append(InterruptedCall.from_record(call, store.events(call), before, words=words))
    return found


def transferred_call(settings: Settings, call_id: str) -> Memory | None:
    """The conversation with a caller who was transferred not long ago and has come back; None: not known."""
    if not (settings.records.enabled and settings.records.transcripts):
        return None
    store = Store(settings.state_directory)
    memory: Memory | None = None
    with if_readable(call=call_id):
        visits = store.visits(call_id)
        events = [event for visit in visits for event in store.events(visit)]
        memory = returned(visits[-1], events, time.time()) if visits else None
    return memory

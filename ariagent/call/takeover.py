"""What the records know of calls of a former process that go on, or come back from people. Reads the disk."""

import logging
import time

from ariagent.call.resume import BrokenOff, history_of
from ariagent.config import Settings
from ariagent.dialogue.memory import KEPT_S, Memory
from ariagent.records.store import RecordsError, Store

log = logging.getLogger(__name__)

SERVICE_DIED = "service_died"
LEFT_MEANWHILE = "left_meanwhile"
"""The reasons of calls that ended while there was no service: it had died, or left them to the next one."""
_NAMES_CALLER = ("call.started", "call.caller_changed")


def unended(settings: Settings) -> list[BrokenOff]:
    """Calls that no process has ended; none where the records do not tell, which is no reason not to serve."""
    records, found = settings.records, []
    if not records.enabled:
        return []
    store = Store(settings.state_directory)
    try:
        for call in store.unended():
            # Those of visits that are over are erased where none are kept.
            visits = [v for v in store.visits(call.call) if v.visit < call.visit and records.transcripts]
            before = [event for visit in visits for event in store.events(visit)]
            words = records.transcripts or records.until_the_end
            found.append(BrokenOff.of(call, store.events(call), before, words=words))
    except RecordsError as error:
        log.warning("records.not_read", extra={"fields": {"cause": error.line}})
    return found


def handed_on(settings: Settings, call_id: str) -> Memory | None:
    """The conversation with a caller who went to people not long ago, and has come back; None: not known."""
    if not (settings.records.enabled and settings.records.transcripts):
        return None
    store = Store(settings.state_directory)
    try:
        visits = store.visits(call_id)
        events = [event for visit in visits for event in store.events(visit)]
    except RecordsError as error:
        log.warning("records.not_read", extra={"fields": {"call": call_id, "cause": error.line}})
        return None
    last = visits[-1] if visits else None
    if last is None or last.ended is None or last.ended < time.time() - KEPT_S:
        return None
    if last.result != "transferred" and last.reason not in (SERVICE_DIED, LEFT_MEANWHILE):
        return None
    places = [str(event.fields.get("destination", "")) for event in events if event.name == "call.handed_over"]
    numbers = [str(event.fields.get("caller", "-")) for event in events if event.name in _NAMES_CALLER]
    number = next((number for number in reversed(numbers) if number != "-"), "")
    return Memory(history_of(events), places[-1] if places else "a colleague", number)

"""The bill of a sandbox: what its responses have cost, and which of them the client threw away (CORE)."""

from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Any

Json = dict[str, Any]

MOST_ENTRIES = 10_000


@dataclass(slots=True)
class Entry:
    """One response that is over."""

    session: str
    response: str
    status: str
    """``completed``, ``cancelled``, ``incomplete`` or ``failed``."""
    input_tokens: int
    output_tokens: int
    items: list[str] = field(default_factory=list)
    """Items of its output."""
    deleted: list[str] = field(default_factory=list)
    """Those of them that the client deleted."""


class Bill:
    """The responses of all sessions of a server, the newest last. It is made from the events that the server sends."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=MOST_ENTRIES)

    def note_sent(self, session: str, event: Json) -> None:
        """A session sent this event."""
        if event["type"] == "response.done":
            response = event["response"]
            usage = response["usage"] or {}
            items = [item["id"] for item in response["output"]]
            tokens = usage.get("input_tokens", 0), usage.get("output_tokens", 0)
            self._entries.append(Entry(session, response["id"], response["status"], *tokens, items))
        elif event["type"] == "conversation.item.deleted":
            for entry in reversed(self._entries):
                if entry.session == session and event["item_id"] in entry.items:
                    entry.deleted.append(event["item_id"])
                    break

    def entries(self) -> list[Json]:
        """The responses as JSON."""
        return [asdict(entry) for entry in self._entries]

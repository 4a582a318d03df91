"""Tools that the model's provider runs in one call (MCP): which, and for how long. CORE.

ariagent does not run them and sees no more of them than the provider tells. Times are monotonic seconds.
"""

from dataclasses import dataclass

from ariagent.realtime.events import ProviderToolEnded, ProviderToolStarted

OTHER = "other"
"""The label of servers that are not in the agent's settings: the model's server may name anything."""


@dataclass(frozen=True, slots=True)
class Ran:
    """A tool that is over."""

    name: str
    server: str
    seconds: float


class ProviderTools:
    """``servers``: the MCP servers of the agent's settings."""

    def __init__(self, servers: tuple[str, ...]) -> None:
        self._servers = servers
        self._running: dict[
            str, tuple[ProviderToolStarted, float]
        ] = {}  # tools that run, by item; the session limits their number

    @property
    def running(self) -> bool:
        """A tool is at work."""
        return bool(self._running)

    def started(self, event: ProviderToolStarted, now: float) -> None:
        self._running[event.item_id] = (event, now)

    def ended(self, event: ProviderToolEnded, now: float) -> Ran:
        began, since = self._running.pop(event.item_id, (ProviderToolStarted(event.item_id, "", ""), now))
        return Ran(began.name, self.server(began.server), now - since)

    def lost(self) -> list[str]:
        """The session is gone, and what it ran is not told any more; returns the items of what that was."""
        items = list(self._running)
        self._running.clear()
        return items

    def server(self, name: str) -> str:
        """The server's name for logs and metrics."""
        return name if name in self._servers else OTHER

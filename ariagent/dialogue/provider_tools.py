"""Tools that the model's provider runs in one call (MCP): how long they take, when the caller is given a sign. CORE.

ariagent does not run them and sees no more of them than the provider tells.
"""

from dataclasses import dataclass

from ariagent.realtime.events import ProviderToolEnded, ProviderToolStarted

SIGN_AFTER_S = 1.0
SIGN_AGAIN_S = 4.0
"""As for tools that ariagent runs."""
OTHER = "other"
"""The label of servers that are not in the agent's settings: the model's server may name anything."""


@dataclass(frozen=True, slots=True)
class Ran:
    """A tool that is over."""

    name: str
    server: str
    seconds: float


class ProviderTools:
    """Times: monotonic seconds. ``servers``: those of the agent's settings."""

    def __init__(self, servers: tuple[str, ...]) -> None:
        self._servers = servers
        self._running: dict[str, tuple[ProviderToolStarted, float]] = {}  # by item; the session bounds them
        self._sign_due = float("inf")

    @property
    def running(self) -> bool:
        """A tool is at work."""
        return bool(self._running)

    def started(self, event: ProviderToolStarted, now: float) -> None:
        if not self._running:
            self._sign_due = now + SIGN_AFTER_S
        self._running[event.item_id] = (event, now)

    def ended(self, event: ProviderToolEnded, now: float) -> Ran:
        began, since = self._running.pop(event.item_id, (ProviderToolStarted(event.item_id, "", ""), now))
        if not self._running:
            self._sign_due = float("inf")
        return Ran(began.name, self.server(began.server), now - since)

    def lost(self) -> None:
        """The session is gone, and what it ran is not told any more."""
        self._running.clear()
        self._sign_due = float("inf")

    def server(self, name: str) -> str:
        """The server's name for logs and metrics."""
        return name if name in self._servers else OTHER

    def sign_due(self, now: float) -> bool:
        """Whether the caller should be given a sign now; the next one is due after SIGN_AGAIN_S."""
        if now < self._sign_due:
            return False
        self._sign_due = now + SIGN_AGAIN_S
        return True

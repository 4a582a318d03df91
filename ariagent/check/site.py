"""What checks look at: the settings, and the peers that these name."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field

from ariagent.ami.client import AmiClient
from ariagent.check import ari
from ariagent.check.ari import Probe
from ariagent.config import Settings
from ariagent.errors import AmiRefusedError
from ariagent.pool.queues import QueueBoard


@dataclass(frozen=True, slots=True)
class Manager:
    """The manager interface, logged in, and the queues that it has listed."""

    client: AmiClient
    queues: QueueBoard


@dataclass(slots=True)
class Site:
    """One installation. A service that checks itself gives the connections that it has."""

    settings: Settings
    source: str
    """Where the settings come from."""
    probe: Probe
    version: str = ""
    """Asterisk's, once that is known."""
    given_manager: Manager | None = None
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def manager(self) -> Manager:
        """Of this Asterisk; connected at the first use, and until the site is closed. Raises AmiError."""
        if self.given_manager is None:
            assert self.settings.ami is not None
            board = QueueBoard()
            client = AmiClient(self.settings.ami, lambda event: board.handle(event, 0.0))
            await self._stack.enter_async_context(client.session())
            with suppress(AmiRefusedError):  # there is no such action without app_queue
                await client.action_list("QueueStatus")
            self.given_manager = Manager(client, board)
        client = self.given_manager.client
        if not client.connected and client.failure is not None:
            raise client.failure
        return self.given_manager

    async def close(self) -> None:
        """End the connections that were made for the checks."""
        await self._stack.aclose()


@asynccontextmanager
async def opened(settings: Settings, source: str) -> AsyncIterator[Site]:
    """A site whose connections end with the context."""
    async with ari.probe(settings.asterisk) as probe:
        site = Site(settings, source, probe)
        try:
            yield site
        finally:
            await site.close()

"""The subject of the checks: the settings, and connections to the peers that they name."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from ariagent.ami.client import AmiClient
from ariagent.check import ari
from ariagent.check.ari import Probe
from ariagent.config import Settings
from ariagent.errors import AmiRefusedError, ConfigurationError, InternalError
from ariagent.install.ours import STATE
from ariagent.pool.queues import QueueBoard


@dataclass(frozen=True, slots=True)
class Manager:
    """A logged-in AMI connection, and the queues that it has listed."""

    client: AmiClient
    queues: QueueBoard


@dataclass(slots=True)
class Site:
    """One installation. A service that checks itself passes its own connections."""

    settings: Settings
    source: str
    """The settings' file."""
    given_probe: Probe | None
    """None: the settings do not allow one, see ``no_probe``."""
    version: str = ""
    """Asterisk's version, once it is known."""
    given_manager: Manager | None = None
    installation: Path = Path("/") / STATE
    """Folder with the list of files that ``ariagent install`` wrote."""
    serving: bool = True
    """Whether a service should take calls by now. If so, seats that take none are worth a warning."""
    no_probe: ConfigurationError | None = None
    """Why there is no ``probe``: a password or a CA file that cannot be read."""
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    @property
    def probe(self) -> Probe:
        """A client for requests to ARI. Raises ConfigurationError if the settings do not allow any."""
        if self.given_probe is None:
            raise self.no_probe or InternalError("a site without a probe")
        return self.given_probe

    async def manager(self) -> Manager:
        """The AMI connection, made at the first use and closed with the site. Raises AmiError."""
        if self.given_manager is None:
            assert self.settings.ami is not None
            board = QueueBoard()
            client = AmiClient(self.settings.ami)
            client.subscribe(lambda event: board.handle(event, 0.0))
            await self.stack.enter_async_context(client.session())
            with suppress(AmiRefusedError):  # there is no such action without app_queue
                await client.action_list("QueueStatus")
            self.given_manager = Manager(client, board)
        client = self.given_manager.client
        if not client.connected and client.failure is not None:
            raise client.failure
        return self.given_manager

    async def close(self) -> None:
        """Close the connections that were made for the checks."""
        await self.stack.aclose()


@asynccontextmanager
async def opened(settings: Settings, source: str, *, serving: bool = True) -> AsyncIterator[Site]:
    """A site. Its connections are closed when the context ends."""
    site = Site(settings, source, None, serving=serving)
    try:
        site.given_probe = await site.stack.enter_async_context(ari.probe(settings.asterisk))
    except ConfigurationError as error:
        site.no_probe = error
    try:
        yield site
    finally:
        await site.close()

"""Plain requests to ARI, for looking: which status came, and why none did. The service's own client is AriClient."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import aiohttp
from yarl import URL

from ariagent.ari.connection import redirected, session, unreachable
from ariagent.config import AsteriskSettings
from ariagent.errors import AriError, why

FORGET_LIMIT_S, FORGET_PAUSE_S = 5.0, 0.05
"""For an application to be forgotten; between two looks."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What Asterisk answered. ``body`` is None where it is not JSON."""

    status: int
    body: Any
    headers: dict[str, str]

    @property
    def message(self) -> str:
        """Why it refused, in its words."""
        return str(self.body["message"]) if isinstance(self.body, dict) and "message" in self.body else ""


class Probe:
    """Asks Asterisk. Every request returns within ``asterisk.request_timeout_s`` or raises AriError."""

    def __init__(self, settings: AsteriskSettings, connections: aiohttp.ClientSession) -> None:
        self._settings = settings
        self._session = connections
        self._base = settings.url

    async def ask(self, method: str, path: str, **query: str) -> Answer:
        """``path`` is below ``/ari/`` and already escaped."""
        url = URL(f"{self._base}/ari/{path}", encoded=True).update_query(query)
        try:
            async with self._session.request(
                method, url, allow_redirects=False, server_hostname=self._settings.tls_name
            ) as response:
                if 300 <= response.status < 400:
                    raise redirected(self._settings, response.status, response.headers.get("Location", ""))
                try:
                    body = await response.json(content_type=None)
                except ValueError:
                    body = None
                return Answer(response.status, body, dict(response.headers))
        except TimeoutError:
            raise AriError(
                f"{self._base} did not answer within {self._settings.request_timeout_s:g} s",
                remedy="Is a firewall between, or is Asterisk stuck? Try `asterisk -rx 'core show uptime'`",
            ) from None
        except aiohttp.ClientError as error:
            raise await unreachable(self._settings, error, look_closer=True) from None
        except UnicodeError as error:
            raise AriError(f"the host of asterisk.url is no name: {error}", remedy="Correct asterisk.url") from None

    @asynccontextmanager
    async def application(self, name: str) -> AsyncIterator[None]:
        """Register a Stasis application of this name for the length of the context. Raises AriError."""
        stream = await self._listen(name)
        try:
            yield
        finally:
            # Also when we are cancelled (Ctrl-C).
            await asyncio.shield(self._forget(name, stream))

    async def _listen(self, name: str) -> aiohttp.ClientWebSocketResponse:
        try:
            async with asyncio.timeout(self._settings.request_timeout_s):
                return await self._session.ws_connect(
                    f"{self._base}/ari/events", params={"app": name}, server_hostname=self._settings.tls_name
                )
        except (aiohttp.ClientError, TimeoutError) as error:
            raise AriError(
                f"the event stream cannot be opened: {'timed out' if isinstance(error, TimeoutError) else why(error)}",
                remedy="Load res_http_websocket and res_ari_events; a proxy between must pass WebSockets on",
            ) from None

    async def _forget(self, name: str, stream: aiohttp.ClientWebSocketResponse) -> None:
        """Asterisk looks whether an application can go when its stream ends, and no more: one whose last channel was
        not quite gone then stays for ever. So its stream is opened and ended again until it has gone."""
        with suppress(AriError, TimeoutError):
            async with asyncio.timeout(FORGET_LIMIT_S):
                while True:
                    await stream.close()
                    for _ in range(3):
                        if (await self.ask("GET", f"applications/{name}")).status == 404:
                            return
                        await asyncio.sleep(FORGET_PAUSE_S)
                    stream = await self._listen(name)


@asynccontextmanager
async def probe(settings: AsteriskSettings) -> AsyncIterator[Probe]:
    """A Probe; its connections end with the context."""
    async with session(settings) as made:
        yield Probe(settings, made)

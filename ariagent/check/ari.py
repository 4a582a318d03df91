"""Plain ARI requests for the checks: the HTTP status, or why there was no answer. The service itself uses AriClient."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import aiohttp
from yarl import URL

from ariagent.ari.connection import in_between, no_stream, redirected, session, unreachable
from ariagent.config import AsteriskSettings
from ariagent.errors import AriError, why

FORGET_LIMIT_S, FORGET_PAUSE_S = 5.0, 0.05
"""Time for Asterisk to forget an application, and the pause between two looks."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Asterisk's answer. ``body`` is None if it is not JSON."""

    status: int
    body: Any
    headers: dict[str, str]

    @property
    def server(self) -> str:
        """The program that answered: Asterisk, or a proxy in between. Empty if it does not say."""
        return self.headers.get("Server", "")

    @property
    def message(self) -> str:
        """Asterisk's reason for a refusal; empty if it gives none."""
        return str(self.body["message"]) if isinstance(self.body, dict) and "message" in self.body else ""


class Probe:
    """Asks Asterisk. Every request returns within ``asterisk.request_timeout_s`` or raises AriError."""

    def __init__(self, settings: AsteriskSettings, connections: aiohttp.ClientSession) -> None:
        self._settings = settings
        self._session = connections
        self._base = settings.url

    async def ask(self, method: str, path: str, *, body: Mapping[str, Any] | None = None, **query: str) -> Answer:
        """Send one request. ``path`` is below ``/ari/`` and already escaped; ``body`` is sent as JSON."""
        url = URL(f"{self._base}/ari/{path}", encoded=True).update_query(query)
        try:
            async with self._session.request(
                method, url, json=body, allow_redirects=False, server_hostname=self._settings.tls_name
            ) as response:
                if 300 <= response.status < 400:
                    raise redirected(self._settings, response.status, response.headers.get("Location", ""))
                text = await response.text(errors="replace")
                server = response.headers.get("Server", "")
                if (proxy := in_between(self._settings, response.status, text, server)) is not None:
                    raise proxy
                try:
                    said = json.loads(text)
                except (ValueError, RecursionError):
                    said = None
                return Answer(response.status, said, dict(response.headers))
        except TimeoutError:
            raise AriError(
                f"{self._base} did not answer within {self._settings.request_timeout_s:g} s",
                remedy="Look for a firewall in between, or a stuck Asterisk (try `asterisk -rx 'core show uptime'`)",
            ) from None
        except aiohttp.ClientError as error:
            raise await unreachable(self._settings, error, look_closer=True) from None
        except UnicodeError as error:
            raise AriError(f"asterisk.url has an invalid host name: {error}", remedy="Correct asterisk.url") from None

    @asynccontextmanager
    async def application(self, name: str, on_message: Callable[[dict[str, Any]], None]) -> AsyncIterator[None]:
        """Register a Stasis application of this name while the context lasts. Raises AriError.

        ``on_message`` is called with each of the application's events and must not raise.
        """
        stream = await self._listen(name)
        reading = asyncio.ensure_future(_read(stream, on_message))
        try:
            yield
        finally:
            reading.cancel()
            await asyncio.wait([reading])
            # Also after a cancellation (Ctrl-C).
            await asyncio.shield(self._forget(name, stream))

    async def _listen(self, name: str) -> aiohttp.ClientWebSocketResponse:
        try:
            async with asyncio.timeout(self._settings.request_timeout_s):
                return await self._session.ws_connect(
                    f"{self._base}/ari/events", params={"app": name}, server_hostname=self._settings.tls_name
                )
        except aiohttp.WSServerHandshakeError as error:
            raise no_stream(error.status) from None
        except (aiohttp.ClientError, TimeoutError) as error:
            raise AriError(
                f"the event stream cannot be opened: {'timed out' if isinstance(error, TimeoutError) else why(error)}",
                remedy="Load res_http_websocket and res_ari_events. A proxy in between must support WebSockets",
            ) from None

    async def _forget(self, name: str, stream: aiohttp.ClientWebSocketResponse) -> None:
        """Have Asterisk remove the application. Asterisk removes it only when its stream ends and no channel is left
        in it. So the stream is opened and closed again until the application is gone."""
        with suppress(AriError, TimeoutError):
            async with asyncio.timeout(FORGET_LIMIT_S):
                while True:
                    await stream.close()
                    for _ in range(3):
                        if (await self.ask("GET", f"applications/{name}")).status == 404:
                            return
                        await asyncio.sleep(FORGET_PAUSE_S)
                    stream = await self._listen(name)


async def _read(stream: aiohttp.ClientWebSocketResponse, on_message: Callable[[dict[str, Any]], None]) -> None:
    async for message in stream:
        with suppress(ValueError, RecursionError):
            if message.type is aiohttp.WSMsgType.TEXT and isinstance(event := json.loads(message.data), dict):
                on_message(event)


@asynccontextmanager
async def probe(settings: AsteriskSettings) -> AsyncIterator[Probe]:
    """A Probe. Its connections are closed when the context ends."""
    async with session(settings) as made:
        yield Probe(settings, made)

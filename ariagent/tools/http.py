"""Sends the requests of tools and lookups: to allowed hosts at allowed addresses, bounded in time and size."""

import asyncio
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from ariagent import __version__
from ariagent.config import HttpRequestSettings, OutboundSettings
from ariagent.errors import why
from ariagent.tools import answer as answers
from ariagent.tools import request as requests
from ariagent.tools.answer import Answer
from ariagent.tools.paced import PacedConnector, largest_body
from ariagent.tools.request import Request
from ariagent.values.addresses import address_allowed, host_allowed, is_address
from ariagent.values.outcome import NOT_DONE, SORRY, UNSURE, Kind, ToolFailure

RETRY_AFTER_S = 0.1
"""Seconds before the second try; twice as long before each further one."""
WORTH_A_RETRY = (502, 503, 504)
_CHUNK = 4096
_FORBIDDEN = "it is not allowed to connect to that address"


class _ForbiddenAddressError(OSError):
    """Everything that a name resolved to is out of bounds."""


class GuardedResolver(AbstractResolver):
    """Resolves names to allowed addresses only: the very ones that are connected to, so that a name whose address
    changes between check and use (DNS rebinding) gains nothing."""

    def __init__(self, inner: AbstractResolver, private: tuple[str, ...]) -> None:
        self._inner = inner
        self._private = private

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        allowed = [result for result in found if address_allowed(result["host"], self._private)]
        if not allowed:
            raise _ForbiddenAddressError(f"{host} is at {', '.join(result['host'] for result in found)}")
        return allowed

    async def close(self) -> None:
        await self._inner.close()


class HttpClient:
    """One for the service. Nothing is kept between requests: no cookies, no connections.

    ``resolver`` and ``wall_clock`` (seconds since the epoch) are for tests.
    """

    def __init__(
        self,
        outbound: OutboundSettings,
        *,
        resolver: AbstractResolver | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._outbound = outbound
        self._resolver = resolver
        self._wall_clock = wall_clock
        self._session: aiohttp.ClientSession | None = None

    async def fetch(self, settings: HttpRequestSettings, request: Request) -> Answer:
        """Send it; the answer of a success. Raises ToolFailure, within ``timeout_s``."""
        url = URL(request.url, encoded=True)
        self._check(url)
        tries = 1 + (settings.retries if request.method == "GET" else 0)
        sent = _Sent()
        try:
            async with asyncio.timeout(settings.timeout_s) as bound:
                for done in range(1, tries + 1):
                    try:
                        return await self._try(settings, request, url, sent, last=done == tries)
                    except aiohttp.ClientError as error:
                        if done == tries or _forbidden(error):
                            raise
                    except _TryAgain:
                        pass
                    await asyncio.sleep(RETRY_AFTER_S * 2 ** (done - 1))
        except TimeoutError:
            if not bound.expired():
                raise
            cause = f"there was no answer within {settings.timeout_s:g} s"
            raise ToolFailure(Kind.TIMEOUT, cause, remedy=sent.doubt(request.method)) from None
        except aiohttp.ClientError as error:
            raise _failure(error, sent.doubt(request.method)) from None
        raise AssertionError("the last try returns or raises")

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _check(self, url: URL) -> None:
        host = url.host or ""
        if not host_allowed(host, self._outbound.allowed_hosts):
            raise ToolFailure(Kind.FORBIDDEN, "it is not allowed to go to that host", detail=f"host {host}")
        # A literal address is never resolved.
        if is_address(host) and not address_allowed(host, self._outbound.private):
            raise ToolFailure(Kind.FORBIDDEN, _FORBIDDEN, detail=f"address {host}")

    async def _try(
        self, settings: HttpRequestSettings, request: Request, url: URL, sent: "_Sent", *, last: bool
    ) -> Answer:
        headers = {**requests.headers(settings, request.body, int(self._wall_clock())), **request.headers}
        largest_body.set(settings.max_bytes)
        answer = await self._opened().request(
            request.method, url, data=request.body, headers=headers, allow_redirects=False, trace_request_ctx=sent
        )
        try:
            if answer.status in WORTH_A_RETRY and not last:
                raise _TryAgain
            answers.check_status(answer.status, method=request.method)
            return await _read(answer, request.method, settings.max_bytes)
        finally:
            answer.close()  # and not released: the rest of an answer is not waited for

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            resolver = GuardedResolver(self._resolver or aiohttp.ThreadedResolver(), self._outbound.private)
            self._session = aiohttp.ClientSession(
                # Each request on a connection of its own: one that the server has just closed cannot fail a POST, and
                # every connection is made to an address that was checked for it.
                # How many there are at once the gate decides, which is fair between calls.
                connector=PacedConnector(limit=0, resolver=resolver, use_dns_cache=False, force_close=True),
                trace_configs=[_connections()],
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
                auto_decompress=False,
                trust_env=False,
                headers={
                    "User-Agent": f"ariagent/{__version__}",
                    "Accept": "application/json",
                    # A small compressed answer can be a large one.
                    "Accept-Encoding": "identity",
                },
            )
            # aiohttp sends PUT and DELETE a second time by itself when the connection is lost.
            self._session._retry_connection = False
        return self._session


class _TryAgain(Exception):  # noqa: N818
    """An answer that may be another one in a moment."""


@dataclass(slots=True)
class _Sent:
    """How far a request came."""

    connected: bool = False

    def doubt(self, method: str) -> str:
        """The advice to the model if there was no answer."""
        return SORRY if method == "GET" else UNSURE if self.connected else NOT_DONE


def _connections() -> aiohttp.TraceConfig:
    """Notes that a connection was made: the request may be on its way."""
    config = aiohttp.TraceConfig()

    async def made(session: aiohttp.ClientSession, context: Any, params: Any) -> None:
        context.trace_request_ctx.connected = True

    config.on_connection_create_end.append(made)
    return config


async def _read(answer: aiohttp.ClientResponse, method: str, limit: int) -> Answer:
    if answer.status == 303:
        return Answer()  # a page that the server wrote for browsers
    if answer.headers.get("Content-Encoding", "").lower() not in ("", "identity"):
        return answers.unread(Kind.BAD_ANSWER, "the server sent a compressed answer", method=method)
    too_large = f"the server's answer is longer than {limit} bytes"
    if (answer.content_length or 0) > limit:
        return answers.unread(Kind.TOO_LARGE, too_large, method=method)
    body = bytearray()
    async for chunk in answer.content.iter_chunked(_CHUNK):
        body += chunk
        if len(body) > limit:
            return answers.unread(Kind.TOO_LARGE, too_large, method=method)
    return Answer(answer.headers.get("Content-Type", "")[:200], bytes(body), answer.charset)


def _forbidden(error: aiohttp.ClientError) -> bool:
    return isinstance(getattr(error, "os_error", None), _ForbiddenAddressError)


def _failure(error: aiohttp.ClientError, doubt: str) -> ToolFailure:
    if _forbidden(error):
        return ToolFailure(Kind.FORBIDDEN, _FORBIDDEN, detail=str(getattr(error, "os_error", "")))
    if isinstance(error, aiohttp.InvalidURL):  # an address in a writing that only some programs take for one
        return ToolFailure(Kind.FORBIDDEN, _FORBIDDEN, detail=type(error).__name__)
    if isinstance(error, aiohttp.ClientConnectorError):
        return ToolFailure(Kind.UNREACHABLE, "the server cannot be reached", remedy=doubt, detail=why(error))
    if isinstance(error, aiohttp.ClientConnectionError | aiohttp.ClientPayloadError):
        return ToolFailure(Kind.UNREACHABLE, "the connection was lost", remedy=doubt, detail=str(error))
    return ToolFailure(
        Kind.BAD_ANSWER, "the server's answer is not proper HTTP", remedy=doubt, detail=type(error).__name__
    )

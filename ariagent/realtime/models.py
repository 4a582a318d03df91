"""Asks the model's server for its list of models: the configured host only, with its key, bounded in time and size."""

import asyncio
import logging
from urllib.parse import urlsplit

import aiohttp

from ariagent.config import RealtimeSettings
from ariagent.errors import why
from ariagent.proxies import uses_proxy
from ariagent.realtime.client import session_headers
from ariagent.realtime.lifetimes import models_url, shutdown_dates

log = logging.getLogger(__name__)

MAX_BYTES = 1024 * 1024
"""Largest size of the list, in bytes; OpenAI's has some 100 entries of 120 bytes."""
_CHUNK = 16 * 1024


async def announced(realtime: RealtimeSettings) -> dict[str, str | None]:
    """The server's models by name with their shutdown dates (None: none is announced).

    Empty where the server has no such list, does not let the key read it, or does not answer: calls do not need it.
    """
    url = models_url(realtime.url)
    if url is None:
        return {}
    try:
        async with asyncio.timeout(realtime.connect_timeout_s):
            return shutdown_dates(await _fetch(url, session_headers(realtime)))
    except TimeoutError:
        cause = f"no answer within {realtime.connect_timeout_s:g} s"
    except (aiohttp.ClientError, ValueError) as error:
        cause = why(error)
    log.debug("models.not_listed", extra={"fields": {"url": url, "cause": cause}})
    return {}


async def _fetch(url: str, headers: dict[str, str]) -> bytes:
    """The body of a good answer. Raises ValueError for any other one."""
    # A small compressed answer can be a large one: none is asked for, and one that comes is no JSON.
    asked = {"User-Agent": "ariagent", "Accept": "application/json", "Accept-Encoding": "identity", **headers}
    async with (
        aiohttp.ClientSession(
            # A proxy of the environment is used as sessions use it.
            trust_env=await uses_proxy(urlsplit(url).hostname or ""),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
        ) as session,
        # A redirection would take the key to another server.
        session.get(url, headers=asked, allow_redirects=False) as answer,
    ):
        if answer.status != 200:
            raise ValueError(f"HTTP {answer.status}")
        body = bytearray()
        async for chunk in answer.content.iter_chunked(_CHUNK):
            body += chunk
            if len(body) > MAX_BYTES:
                answer.close()
                raise ValueError(f"longer than {MAX_BYTES} bytes")
        return bytes(body)

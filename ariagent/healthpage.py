"""Reading ``/healthz`` from a port at which somebody else may answer: no redirects, not more than a service says."""

import json

import aiohttp

LARGEST_BYTES = 64 * 1024


async def health_at(url: str, limit_s: float) -> object:
    """The JSON there, whatever its status. Raises aiohttp.ClientError, TimeoutError, and ValueError if it is none."""
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=limit_s)) as session,
        session.get(url, allow_redirects=False, headers={"Accept-Encoding": "identity"}) as answer,
    ):
        body = b""
        while chunk := await answer.content.read(LARGEST_BYTES + 1 - len(body)):
            body += chunk
            if len(body) > LARGEST_BYTES:
                raise ValueError(f"more than {LARGEST_BYTES} bytes")
    try:
        return json.loads(body)
    except RecursionError:
        raise ValueError("nested too deeply") from None

"""Finds the dialplan contexts that have an extension, as far as ARI shows them.

ARI cannot list the dialplan. The device state of ``Local/EXTEN@CONTEXT`` tells whether one context has an extension
(measured with Asterisk 22.10.1), so contexts that are likely are asked one by one.
"""

from __future__ import annotations

import asyncio

from ariagent.ari.client import AriClient
from ariagent.caller import CONTEXT
from ariagent.errors import AriError

USUAL = (
    CONTEXT,
    *("from-internal", "internal", "default", "main", "local", "phones", "users", "from-phones", "from-sip"),
    *("from-trunk", "from-pstn", "from-external", "incoming", "inbound", "ext-queues", "ext-local"),
)
"""Names that sites use: FreePBX's, those of Asterisk's samples and guides."""
MOST_ENDPOINTS = 30
"""Telephones that are asked for their context."""


async def has_extension(ari: AriClient, extension: str, context: str) -> bool | None:
    """Whether ``context`` has ``extension``; None where Asterisk does not tell."""
    try:
        return await ari.device_state(f"Local/{extension}@{context}") != "INVALID"
    except AriError:
        return None


async def contexts_with(ari: AriClient, extension: str) -> list[str]:
    """Contexts that have ``extension``, likely ones first. There may be others."""
    likely = [*await _of_phones(ari), *await _in_use(ari), *USUAL]
    names = [name for name in dict.fromkeys(likely) if name]
    found = await asyncio.gather(*(has_extension(ari, extension, name) for name in names))
    return [name for name, there in zip(names, found, strict=True) if there]


async def _of_phones(ari: AriClient) -> list[str]:
    try:
        phones = (await ari.endpoints())[:MOST_ENDPOINTS]
    except AriError:
        return []
    found = await asyncio.gather(*(ari.endpoint_context(phone) for phone in phones), return_exceptions=True)
    return [context for context in found if isinstance(context, str)]


async def _in_use(ari: AriClient) -> list[str]:
    try:
        return [channel.context for channel in await ari.channels()]
    except AriError:
        return []

"""The checks after each test find what it left: a channel, a bridge, a task, a call that did not end, a fault."""

import asyncio
import logging
from typing import Any

import pytest
from pydantic import SecretStr

from ariagent.ari.client import AriClient
from ariagent.config import AsteriskSettings

pytestmark = pytest.mark.asterisk

AT_ONCE_S = 0.2


async def test_a_channel(bed: Any, asterisk: Any) -> None:
    await bed.nothing_in_asterisk(AT_ONCE_S)
    await asterisk.cli("channel originate Local/600@ariagent-internal/n application Wait 30")
    with pytest.raises(AssertionError, match=r"core show channels concise.*Local/600@ariagent"):
        await bed.nothing_in_asterisk(AT_ONCE_S)
    await asterisk.cli("channel request hangup all")
    await bed.nothing_in_asterisk()


async def test_a_bridge(bed: Any, asterisk: Any) -> None:
    settings = AsteriskSettings(url=asterisk.ari_url, user=asterisk.ari_user, password=SecretStr(asterisk.ari_password))
    async with AriClient(settings) as ari:
        await ari.connect()
        await ari.create_bridge("left-behind")
        with pytest.raises(AssertionError, match=r"bridge show all.*left-behind"):
            await bed.nothing_in_asterisk(AT_ONCE_S)
        await ari.destroy_bridge("left-behind")


async def test_a_task(bed: Any) -> None:
    await bed.no_task(AT_ONCE_S)
    left = asyncio.create_task(asyncio.Event().wait(), name="left behind")
    with pytest.raises(AssertionError, match="left behind"):
        await bed.no_task(AT_ONCE_S)
    left.cancel()
    await bed.no_task()


@pytest.mark.parametrize("events", [["call.started"], ["call.started", "call.ended", "call.ended"], ["call.fault"]])
async def test_a_call_that_did_not_end_once(events: list[str], log: Any) -> None:
    log.check()
    for event in events:
        logging.getLogger("ariagent.call").info(event, extra={"fields": {"call": "1"}})
    with pytest.raises(AssertionError):
        log.check()

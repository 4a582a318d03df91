"""Ordinary calls on a real Asterisk, from the first ring to the last trace."""

from typing import Any

import pytest

pytestmark = pytest.mark.asterisk


@pytest.mark.parametrize("number", ["7000", "7001"])
async def test_caller_is_greeted(number: str, sandbox: Any, service: Any, dial: Any, log: Any) -> None:
    model = await sandbox()
    await service(model)
    call, ear = await dial(number)
    first, last = await ear.utterance()
    assert 1000 * (last - first) == pytest.approx(len("Good day to you.") * 65, abs=60)
    await call.hangup()
    await log.wait("call.ended")

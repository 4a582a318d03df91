"""Errors as one line for a reader."""

import aiohttp
import pytest

from ariagent.errors import AriagentError, told, why
from lab.ports import free_tcp_port


@pytest.mark.parametrize(
    ("cause", "remedy", "line"),
    [
        ("it is broken", "", "it is broken"),
        ("it is broken", "Mend it", "it is broken. Mend it"),
        ("invalid key: sk-***.", "Check it", "invalid key: sk-***. Check it"),
        ("what?", "Ask", "what? Ask"),
    ],
)
def test_cause_and_remedy(cause: str, remedy: str, line: str) -> None:
    assert told(cause, remedy) == line
    assert AriagentError(cause, remedy=remedy).line == line


async def test_a_connection_that_is_refused_says_so_and_nothing_else() -> None:
    closed = free_tcp_port()
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientError) as caught:
            await session.get(f"http://127.0.0.1:{closed}/")
    assert why(caught.value) == "Connection refused"
    assert why(ValueError("odd")) == "odd"
    assert why(TimeoutError()) == "TimeoutError"

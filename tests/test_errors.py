"""Errors as one line for people."""

import pytest

from ariagent.errors import AriagentError, told


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

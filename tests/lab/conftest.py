"""A real Asterisk and the tools of the lab."""

import asyncio
from collections.abc import Iterator

import pytest

from lab.asterisk import AsteriskInstance
from lab.packages import AsteriskProgram, default_lab_dir, ensure_asterisk, ensure_tool

_NO_QUEUE, _CLOSED = "Set(ARIAGENT_HUMAN_QUEUE=nosuchqueue)", "Set(ARIAGENT_HUMAN_QUEUE=closed)"
_RESORT = "Set(ARIAGENT_LAST_RESORT=ariagent-internal,7920,1)"
_DIRECT, _QUEUE = "Gosub(ariagent-direct,${EXTEN},1)", "Gosub(ariagent-queue,${EXTEN},1(empty))"
EXTENSIONS = {
    "7911": (_NO_QUEUE, _DIRECT),
    "7912": ("Set(ARIAGENT_HUMAN_QUEUE=)", _DIRECT),
    "7920": ("Answer()", "Queue(support,tc,,,300)"),
    "7921": (_NO_QUEUE, _RESORT, _DIRECT),
    "7922": (_NO_QUEUE, _RESORT, _QUEUE),
    "7923": (_CLOSED, _RESORT, _DIRECT),
    "7924": (_CLOSED, _RESORT, _QUEUE),
    "7930": (_NO_QUEUE, "Set(ARIAGENT_LAST_RESORT=nowhere,1,1)", _DIRECT),
    "7940": ("Set(ARIAGENT_HUMAN_QUEUE=brief)", _DIRECT),
    "7941": ("Answer()", "Wait(0.3)", "Hangup()"),
}
"""Numbers of sites whose human queue does not exist, lets nobody in, or has somebody who is there for a moment."""
ADDITIONS = {
    "queues.conf": "[empty](ariagent-seats)\n[closed]\njoinempty = no\nretry = 1\n[brief]\nretry = 1\n"
    "member => Local/7941@ariagent-internal/n\n",
    "extensions.conf": "[ariagent-internal](+)\n"
    + "".join(
        f"exten => {number},{priority},{line}\n"
        for number, lines in EXTENSIONS.items()
        for priority, line in enumerate(lines, 1)
    ),
}


@pytest.fixture(scope="session")
def program() -> AsteriskProgram:
    """The Asterisk to start: the machine's or the lab's."""
    return ensure_asterisk(default_lab_dir())


@pytest.fixture(scope="session")
def asterisk(program: AsteriskProgram, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AsteriskInstance]:
    """A running Asterisk. Its async methods may be awaited from any event loop."""
    instance = AsteriskInstance(program, tmp_path_factory.mktemp("asterisk"), additions=ADDITIONS)
    asyncio.run(instance.start())
    yield instance
    asyncio.run(instance.stop())


@pytest.fixture(scope="session")
def sipp() -> list[str]:
    """The argv prefix that runs SIPp."""
    return ensure_tool("sipp", default_lab_dir())

"""A real Asterisk and the tools of the lab."""

import asyncio
from collections.abc import Iterator

import pytest

from ariagent.lab.asterisk import AsteriskInstance
from ariagent.lab.packages import AsteriskProgram, default_lab_dir, ensure_asterisk, ensure_tool


@pytest.fixture(scope="session")
def program() -> AsteriskProgram:
    """The Asterisk to start: the machine's or the lab's."""
    return ensure_asterisk(default_lab_dir())


@pytest.fixture(scope="session")
def asterisk(program: AsteriskProgram, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AsteriskInstance]:
    """A running Asterisk. Its async methods may be awaited from any event loop."""
    instance = AsteriskInstance(program, tmp_path_factory.mktemp("asterisk"))
    asyncio.run(instance.start())
    yield instance
    asyncio.run(instance.stop())


@pytest.fixture(scope="session")
def sipp() -> list[str]:
    """The argv prefix that runs SIPp."""
    return ensure_tool("sipp", default_lab_dir())

"""A real Asterisk for the integration tests: one per run, in a temporary folder, its packages from the lab's folder."""

import asyncio
from collections.abc import Iterator

import pytest

from ariagent.lab.asterisk import AsteriskInstance
from ariagent.lab.packages import default_lab_dir, ensure_asterisk


@pytest.fixture(scope="session")
def asterisk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AsteriskInstance]:
    """A running Asterisk. Its async methods may be awaited from any event loop."""
    instance = AsteriskInstance(ensure_asterisk(default_lab_dir()), tmp_path_factory.mktemp("asterisk"))
    asyncio.run(instance.start())
    yield instance
    asyncio.run(instance.stop())

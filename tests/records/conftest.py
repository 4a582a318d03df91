"""A journal in a folder of its own, and what it takes to read and to break it."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ariagent.config import RecordsSettings
from ariagent.records.journal import Journal
from ariagent.records.store import Store

Until = Callable[[Callable[[], bool]], None]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def store(directory: Path) -> Store:
    return Store(directory)


@pytest.fixture
def journal(directory: Path) -> Iterator[Journal]:
    made = Journal.open(directory, RecordsSettings())
    yield made
    made.close()


@pytest.fixture
def until() -> Until:
    """Waits, with a generous limit, for something another thread or process does."""

    def wait(condition: Callable[[], bool], limit_s: float = 20.0) -> None:
        end = time.monotonic() + limit_s
        while not condition():
            assert time.monotonic() < end, "did not happen in time"
            time.sleep(0.01)

    return wait

"""The fixtures of the integration tests, which these are too, and services as processes of their own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from lab import environment as lab
from lab.conf import SEATS
from tests.loading import loaded

_PATH = Path(__file__).parents[1] / "integration" / "conftest.py"
_module = loaded("integration_fixtures", _PATH)
_fixture = type(_module.bed)
globals().update({name: found for name, found in vars(_module).items() if isinstance(found, _fixture)})


@pytest.fixture(scope="session")
def seats() -> int:
    """How many seats ``asterisk`` has."""
    return SEATS


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.asterisk)


@pytest.fixture
def run(bed: Any, tmp_path: Path) -> Any:
    """``async with run(model, "first", agent={...}) as process``: a service with the records of all others of this
    test; ``agent`` changes some of the settings of its agent, and whatever else is given is a section of its own."""

    @asynccontextmanager
    async def service(
        model: Any, name: str, *, agent: dict[str, Any] | None = None, **sections: Any
    ) -> AsyncIterator[lab.Process]:
        settings = {
            "realtime": {"url": model.url, "api_key": "test"},
            "agents": {"default": {**_module.AGENT, **(agent or {})}},
            "state_directory": str(tmp_path / "state"),
            **sections,
        }
        async with lab.service(bed.asterisk, tmp_path, settings, name) as process:
            yield process

    return service

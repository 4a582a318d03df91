"""The fixtures of the integration tests, which these are too; and nothing else."""

import importlib.util
from pathlib import Path

import pytest

_PATH = Path(__file__).parents[1] / "integration" / "conftest.py"
_spec = importlib.util.spec_from_file_location("integration_fixtures", _PATH)
assert _spec is not None
assert _spec.loader is not None
_module = importlib.util.module_from_spec(_spec)
# Their dataclasses look for their own module.
__import__("sys").modules[_spec.name] = _module
_spec.loader.exec_module(_module)
_fixture = type(_module.bed)
globals().update({name: found for name, found in vars(_module).items() if isinstance(found, _fixture)})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.asterisk)

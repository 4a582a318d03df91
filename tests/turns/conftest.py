"""The model's file, where the lab has fetched it."""

import os
from pathlib import Path

import pytest

from ariagent.synthesis.programs import LAB
from ariagent.turns import modelfile
from lab.packages import default_lab_dir


def lab_file(name: str) -> Path:
    """A file that `make setup` fetches. Without it the test is skipped."""
    assert os.environ[LAB] == str(default_lab_dir())
    path = modelfile.folder() / name
    if not path.exists():
        (pytest.fail if "ARIAGENT_NO_SKIP" in os.environ else pytest.skip)(f"make setup has not fetched {name}")
    return path


@pytest.fixture
def model() -> Path:
    return lab_file(modelfile.MODEL.name)


@pytest.fixture
def wheel() -> Path:
    return lab_file(modelfile.WHEEL)

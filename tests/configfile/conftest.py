"""Settings files that are written for a test and read."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from ariagent.config import Settings
from ariagent.configfile import load
from ariagent.errors import ConfigurationError, told


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ariagent.yaml"


@pytest.fixture
def loaded(file: Path) -> Callable[..., Settings]:
    """``loaded(text, {NAME: value}, serving=True)``: the settings of a file with this text in this environment."""

    def load_text(text: str = "", environment: Mapping[str, str] | None = None, **options: Any) -> Settings:
        file.write_text(text)
        return load(file, environment or {}, **options)

    return load_text


@pytest.fixture
def complaint(loaded: Callable[..., Settings], file: Path) -> Callable[..., str]:
    """Errors and advice of ``loaded``, with the file's path written as FILE."""

    def complain(text: str = "", environment: Mapping[str, str] | None = None, **options: Any) -> str:
        with pytest.raises(ConfigurationError) as caught:
            loaded(text, environment, **options)
        return told(str(caught.value), caught.value.remedy).replace(str(file), "FILE")

    return complain

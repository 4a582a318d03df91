"""Programs in a folder of unpacked packages."""

from pathlib import Path

import pytest

from ariagent.errors import ConfigurationError
from ariagent.synthesis import unpacked


@pytest.mark.parametrize(
    ("program", "libraries"),
    [
        ("usr/lib64/ld-linux-x86-64.so.2", "usr/lib/x86_64-linux-gnu"),
        ("usr/lib/ld-linux-aarch64.so.1", "usr/lib/aarch64-linux-gnu"),
    ],
)
def test_loader_is_found_on_each_architecture(tmp_path: Path, program: str, libraries: str) -> None:
    (tmp_path / libraries).mkdir(parents=True)
    (tmp_path / program).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / program).touch()
    found = unpacked.loader(tmp_path)
    assert found[:2] == (str(tmp_path / program), "--library-path")
    assert str(tmp_path / libraries) in found[2].split(":")


def test_loader_of_an_incomplete_folder_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="lacks") as caught:
        unpacked.loader(tmp_path)
    assert "Delete the folder" in caught.value.remedy

"""Where the programs that speak are found, and what is said where they are not."""

import os
import stat
from pathlib import Path

import pytest

from ariagent.errors import ConfigurationError
from ariagent.synthesis import debian, programs
from ariagent.synthesis.unpacked import STAMP, folder_of


@pytest.fixture(autouse=True)
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with no program at all; returns a folder on its PATH."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(programs.LAB, raising=False)
    return tmp_path / "bin"


def program(path: Path) -> Path:
    path.write_text("#!/bin/sh\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def unpack(folder: Path) -> Path:
    """The layout of a fetched package."""
    root = folder_of("flite", folder)
    for name in ("usr/lib64/ld-linux-x86-64.so.2", "usr/bin/flite", STAMP):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_the_machines_own_comes_first(bare: Path, tmp_path: Path) -> None:
    unpack(tmp_path / "cache" / "ariagent")
    own = program(bare / "flite")
    assert programs.installed("flite") == [str(own)]


def test_then_what_was_fetched_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = unpack(tmp_path / "cache" / "ariagent")
    assert programs.installed("flite")[-1] == str(root / "usr/bin/flite")
    lab = unpack(tmp_path / "lab")
    monkeypatch.setenv(programs.LAB, str(tmp_path / "lab"))
    assert programs.installed("flite")[-1] == str(lab / "usr/bin/flite")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_program_of_somebody_elses_is_not_run(tmp_path: Path) -> None:
    root = unpack(tmp_path / "cache" / "ariagent")
    os.chown(root / STAMP, 12345, -1)
    with pytest.raises(ConfigurationError, match="flite, which speaks sentences, is not on this machine"):
        programs.installed("flite")


def test_nothing_is_looked_for_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unpack(tmp_path / "here" / ".lab")
    unpack(tmp_path / "here" / "relative" / "ariagent")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert programs.cache_dir() == tmp_path / "home" / ".cache" / "ariagent"
    with pytest.raises(ConfigurationError):
        programs.installed("flite")


@pytest.mark.parametrize(
    ("manager", "command", "fetch"),
    [("apt-get", "apt-get install flite", True), ("dnf", "dnf install flite", False), ("", "Install it,", False)],
)
def test_the_remedy_fits_the_machine(bare: Path, tmp_path: Path, manager: str, command: str, fetch: bool) -> None:
    if manager:
        program(bare / manager)
    with pytest.raises(ConfigurationError) as caught:
        programs.installed("flite")
    assert command in caught.value.remedy
    assert ("--fetch" in caught.value.remedy) is fetch
    assert "play: FILE.wav" in caught.value.remedy
    assert "Asterisk" not in caught.value.line
    assert not (tmp_path / "cache").exists()


def test_fetching_goes_into_the_users_cache_and_only_when_it_is_missing(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, Path]] = []

    def ensure_package(package: str, folder: Path, progress: object) -> Path:
        asked.append((package, folder))
        return unpack(folder)

    monkeypatch.setattr(debian, "ensure_package", ensure_package)
    assert programs.fetched("flite")[-1].endswith("/cache/ariagent/packages/flite/usr/bin/flite")
    assert programs.fetched("flite") == programs.installed("flite")
    assert asked == [("flite", tmp_path / "cache" / "ariagent")]


def test_a_cache_that_cannot_be_written_says_what_to_set(bare: Path, tmp_path: Path) -> None:
    for tool in ("apt-get", "dpkg-deb"):
        program(bare / tool)
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(ConfigurationError, match="cannot be kept in") as caught:
        programs.fetched("flite")
    assert "XDG_CACHE_HOME" in caught.value.remedy


def test_without_apt_fetching_says_what_to_install() -> None:
    with pytest.raises(ConfigurationError, match="so is apt-get, which fetches it") as caught:
        programs.fetched("flite")
    assert caught.value.remedy == "Install flite with the system's own package manager"

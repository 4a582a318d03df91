"""Whose settings a command uses that was given none."""

import os
from pathlib import Path

import pytest

from ariagent.config import DEFAULT_PATH
from ariagent.lab.whose import ENV_FILE, LAB_FILE, caller_settings, running_lab, settings_file

NONE = Path("not-installed.yaml")
ENV = "ARI_URL=http://127.0.0.1:7\nARI_USER=someone\nARI_PASSWORD='a b'\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def lab() -> None:
    """One whose Asterisk, as far as can be seen, is this process."""
    ENV_FILE.parent.mkdir()
    ENV_FILE.write_text(f"{ENV}ASTERISK_PID={os.getpid()}\n")
    LAB_FILE.write_text("max_calls: 3\n")


def test_without_a_lab() -> None:
    assert running_lab() == {}
    assert settings_file(None, installed=NONE) is None
    assert settings_file(NONE, installed=NONE) == NONE


def test_the_labs_while_it_is_up(lab: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert settings_file(None, installed=NONE) == LAB_FILE
    assert capsys.readouterr().err == f"ariagent: settings: {LAB_FILE}, of the lab that is up\n"


def test_what_is_given_or_installed_goes_first(lab: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    installed = tmp_path / DEFAULT_PATH.name
    installed.touch()
    assert settings_file(Path("mine.yaml"), installed=installed) == Path("mine.yaml")
    assert settings_file(None, installed=installed) is None
    assert capsys.readouterr().err == ""
    assert settings_file(None, lab_first=True, installed=installed) == LAB_FILE


def test_a_lab_that_is_down(lab: None) -> None:
    ENV_FILE.write_text(f"{ENV}ASTERISK_PID=0\n")
    assert running_lab() == {}
    assert settings_file(None, lab_first=True, installed=NONE) is None


def test_a_caller_needs_the_labs_asterisk_only(lab: None, capsys: pytest.CaptureFixture[str]) -> None:
    asterisk = caller_settings(None, quiet=True).asterisk
    assert (asterisk.url, asterisk.user) == ("http://127.0.0.1:7", "someone")
    assert asterisk.password.get_secret_value() == "a b"
    assert capsys.readouterr().err == ""

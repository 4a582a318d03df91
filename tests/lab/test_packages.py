"""Programs without root: which Asterisk will do, and fetching packages for real where apt has a Debian mirror."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ariagent.errors import ConfigurationError
from ariagent.synthesis import debian
from ariagent.synthesis.sources import candidates, system_sources
from lab import packages
from lab.processes import CHECKOUT

can_fetch = pytest.mark.skipif(
    shutil.which("apt-get") is None or not candidates(system_sources()), reason="apt has no Debian mirror here"
)


@pytest.mark.parametrize(
    ("banner", "suffices"),
    [
        ("Asterisk 22.10.1", True),
        ("Asterisk 22.10.1+dfsg+~cs6.17.60671434-1", True),
        ("Asterisk 22.11.0-rc1", True),
        ("Asterisk 22.9.0", False),
        ("Asterisk 20.20.0\n", True),
        ("Asterisk 20.19.2", False),
        ("Asterisk 21.12.3", False),
        ("Asterisk 21.99.0", False),
        ("Asterisk 23.3.0", False),
        ("Asterisk 23.4.0", True),
        ("Asterisk 24.0.0", True),
        ("Asterisk 18.26.4", False),
        ("Asterisk certified/22.8-cert1", False),
        ("Asterisk 20.25-cert3", False),
        ("Asterisk GIT-master-f0c1c1a7", False),
        ("", False),
    ],
)
def test_version_threshold(banner: str, suffices: bool) -> None:
    assert packages.version_suffices(banner) is suffices


def test_an_old_asterisk_on_the_machine_is_passed_over_aloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _program(tmp_path / "asterisk", "#!/bin/sh\necho Asterisk 20.6.0\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    said: list[str] = []
    with pytest.raises(ConfigurationError, match="so is apt-get"):
        packages.ensure_asterisk(tmp_path / "lab", said.append)
    assert any("20.6.0 is too old" in line for line in said)


def test_without_apt_the_error_is_one_line_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError) as caught:
        packages.ensure_package("asterisk", tmp_path / "lab", lambda _: None)
    assert "\n" not in caught.value.line
    assert "22.10" in caught.value.remedy


def test_without_a_debian_mirror_the_error_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian, "system_sources", list)
    for tool in ("apt-get", "dpkg-deb"):
        _program(tmp_path / tool, "#!/bin/sh\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="no Debian mirror") as caught:
        packages.ensure_package("asterisk", tmp_path / "lab", lambda _: None)
    assert "forky" in caught.value.remedy


def test_without_an_index_the_lab_has_no_judge_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    said: list[str] = []
    assert not packages.ensure_judge(tmp_path, said.append)
    assert "could not be fetched" in said[-1]
    assert "skipped" in said[-1]
    assert not packages.ensure_judge(tmp_path, said.append, without="So answers come later")
    assert said[-1].endswith(". So answers come later")
    assert list((tmp_path / "models").iterdir()) == []


def test_the_machines_own_tool_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = _program(tmp_path / "sipp", "#!/bin/sh\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert packages.ensure_tool("sipp", tmp_path / "lab") == [str(own)]


def test_the_labs_asterisk_is_found_again_without_a_word() -> None:
    first = packages.ensure_asterisk(packages.default_lab_dir())
    said: list[str] = []
    assert packages.ensure_asterisk(packages.default_lab_dir(), said.append) == first
    assert said == []
    assert (first.modules_dir / "chan_audiosocket.so").exists()
    assert (first.data_dir / "rest-api" / "channels.json").exists()


@pytest.mark.long
@can_fetch
def test_fetching_survives_a_cut_off_run_and_two_processes_at_once(tmp_path: Path) -> None:
    lab = tmp_path / "lab"
    # Remains of a run that was cut off while it unpacked: archives, no stamp, and files that do not belong.
    (archive,) = debian._download(["netbase"], debian.SUITE, lab / "apt", lambda _: None)
    assert archive.exists()
    for name in ("netbase.partial", "netbase"):
        (lab / "packages" / name).mkdir(parents=True)
        (lab / "packages" / name / "stray").touch()
    script = (
        "import sys; from pathlib import Path; from lab.packages import ensure_package; "
        "print(ensure_package('netbase', Path(sys.argv[1])))"
    )
    argv = [sys.executable, "-c", script, str(lab)]
    both = [subprocess.Popen(argv, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    outcomes = [(*process.communicate(timeout=240), process.returncode) for process in both]
    root = lab / "packages" / "netbase"
    for stdout, stderr, code in outcomes:
        assert code == 0, stderr.decode()
        assert stdout.decode().strip() == str(root)
    progress = b"".join(stderr for _, stderr, _ in outcomes).decode()
    assert progress.count("netbase is ready") == 1
    assert (root / "etc" / "protocols").exists()
    assert not (root / "stray").exists()
    assert list(lab.rglob("*.deb")) == []
    # The machine's own apt was left alone: everything apt wrote is in the lab.
    assert (lab / "apt" / "state" / "lists").is_dir()


@can_fetch
@pytest.mark.long
def test_a_package_that_does_not_exist_is_named(tmp_path: Path) -> None:
    lab = packages.default_lab_dir()
    with pytest.raises(ConfigurationError, match="no-such-package-here"):
        packages.ensure_package("no-such-package-here", lab, lambda _: None)
    assert not (lab / "packages" / "no-such-package-here").exists()


def _program(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    assert os.access(path, os.X_OK)
    return path

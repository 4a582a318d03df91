"""The systemd units: systemd takes them, and they leave the service no more than it needs."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ariagent.config import Settings
from ariagent.records import folder

FOLDER = Path(__file__).parents[1] / "packaging"
UNITS = sorted(FOLDER.glob("*.service"))
ANALYZE = shutil.which("systemd-analyze")


def options(unit: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", unit.read_text(), re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


def runnable(unit: Path, folder: Path) -> Path:
    """The same with a program that is there."""
    copy = folder / unit.name
    copy.write_text(re.sub(r"^ExecStart=.*$", "ExecStart=/bin/true", unit.read_text(), flags=re.MULTILINE))
    return copy


def test_there_are_units() -> None:
    assert [unit.name for unit in UNITS] == ["ariagent-rescue.service", "ariagent.service"]


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not here")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_understands_it(unit: Path, tmp_path: Path) -> None:
    argv = [str(ANALYZE), "verify", str(runnable(unit, tmp_path))]
    run = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not here")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_its_sandbox_is_tight(unit: Path, tmp_path: Path) -> None:
    argv = [str(ANALYZE), "security", "--offline=true", "--threshold=20", str(runnable(unit, tmp_path))]
    run = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    if "unrecognized option" in run.stderr:
        pytest.skip("systemd-analyze is too old to judge a file")
    assert run.returncode == 0, run.stdout


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_it_is_nobody_in_particular_and_comes_back_at_once(unit: Path) -> None:
    found = options(unit)
    assert found["User"] == ["ariagent"]
    assert found["CapabilityBoundingSet"] == [""]
    assert found["Restart"] == ["always"]
    assert found["RestartSec"][0] in ("100ms", "1s")
    assert found["StartLimitIntervalSec"] == ["0"]


def test_draining_is_waited_for() -> None:
    found = options(FOLDER / "ariagent.service")
    assert int(found["TimeoutStopSec"][0]) > Settings().drain_timeout_s
    assert found["RestartPreventExitStatus"] == ["2"]
    assert Path("/var/lib") / found["StateDirectory"][0] == Settings().state_directory


def test_asterisks_user_reaches_the_spoken_summaries_and_nobody_lists_what_else_is_there() -> None:
    found = options(FOLDER / "ariagent.service")
    assert Settings().briefs.directory is None, "they are in the state directory"
    assert int(found["StateDirectoryMode"][0], 8) == folder.MODE == 0o711

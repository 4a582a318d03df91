"""The systemd units: systemd takes them, and they leave the service no more than it needs."""

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ariagent.config import Settings
from ariagent.errors import ConfigurationError
from ariagent.records import folder
from lab.packages import default_lab_dir, ensure_tool

FOLDER = Path(__file__).parents[1] / "packaging"
UNITS = sorted(FOLDER.glob("*.service"))

Analyze = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def analyze() -> Analyze:
    """``analyze(*words)`` runs systemd-analyze: the machine's, else the distribution's, unpacked. No systemd runs."""
    try:
        argv = ensure_tool("systemd-analyze", default_lab_dir())
    except ConfigurationError as error:
        pytest.skip(f"systemd-analyze is not here and cannot be fetched: {error}")
    environment = dict(os.environ)
    if len(argv) > 1:
        environment["SYSTEMD_UNIT_PATH"] = str(Path(argv[-1]).parents[1] / "lib/systemd/system")

    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([*argv, *words], capture_output=True, text=True, timeout=60, check=False, env=environment)

    return run


def options(unit: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", unit.read_text(), re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


def runnable(unit: Path, folder: Path) -> Path:
    """The unit with a program that exists."""
    copy = folder / unit.name
    copy.write_text(re.sub(r"^ExecStart=.*$", "ExecStart=/bin/true", unit.read_text(), flags=re.MULTILINE))
    return copy


def test_there_are_units() -> None:
    assert [unit.name for unit in UNITS] == ["ariagent-rescue.service", "ariagent.service"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_understands_it(unit: Path, tmp_path: Path, analyze: Analyze) -> None:
    copy = runnable(unit, tmp_path)
    run = analyze("verify", str(copy))
    assert (run.returncode, run.stderr) == (0, "")
    # Also what an administrator may switch on.
    copy.write_text(re.sub(r"^#(?=[A-Z]\w+=)", "", copy.read_text(), flags=re.MULTILINE))
    assert "\nLoadCredential=" in copy.read_text()
    run = analyze("verify", str(copy))
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_its_sandbox_is_tight(unit: Path, tmp_path: Path, analyze: Analyze) -> None:
    run = analyze("security", "--offline=true", "--threshold=20", str(runnable(unit, tmp_path)))
    if "unrecognized option" in run.stderr:
        pytest.skip("systemd-analyze is too old to judge a file")
    assert run.returncode == 0, run.stdout


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_it_is_nobody_in_particular_and_comes_back_at_once(unit: Path) -> None:
    found = options(unit)
    assert found["User"] == ["ariagent"]
    assert found["CapabilityBoundingSet"] == [""]
    assert found["Restart"] == ["always"]
    assert found["RestartSec"] == ["5s" if "rescue" in unit.name else "100ms"]
    assert found["StartLimitIntervalSec"] == ["0"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_it_leaves_no_core_and_no_open_file_and_cannot_take_all_memory(unit: Path) -> None:
    found = options(unit)
    assert found["LimitCORE"] == ["0"]
    assert found["UMask"] == ["0077"]
    assert found["MemoryMax"] == (["512M"] if "rescue" in unit.name else ["2G"])
    assert found["TasksMax"] == (["64"] if "rescue" in unit.name else ["512"])


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_it_can_see_whether_another_process_of_the_same_user_lives(unit: Path) -> None:
    """``records.alive`` reads /proc/PID/stat and /proc/sys/kernel/random/boot_id."""
    assert not {"ProcSubset", "PrivateUsers", "PrivatePIDs"} & set(options(unit))


def test_both_have_the_same_settings_and_secrets() -> None:
    """Settings with ``file:${CREDENTIALS_DIRECTORY}/NAME``, which is another folder in each of them."""
    service, rescue = (FOLDER / f"{name}.service" for name in ("ariagent", "ariagent-rescue"))
    handed = [set(re.findall(r"^#LoadCredential=(.*)$", unit.read_text(), re.MULTILINE)) for unit in (service, rescue)]
    assert {line.partition(":")[0] for line in handed[1]} == {"ami-password"}
    assert handed[1] < handed[0]
    for key in ("User", "Group", "EnvironmentFile"):
        assert options(service)[key] == options(rescue)[key]
    for unit in (service, rescue):
        assert options(unit)["ExecStart"][0].endswith(" -c /etc/ariagent/ariagent.yaml")
        assert "/run/credentials/" not in unit.read_text()


def test_draining_is_waited_for() -> None:
    found = options(FOLDER / "ariagent.service")
    assert int(found["TimeoutStopSec"][0]) > Settings().drain_timeout_s
    assert found["RestartPreventExitStatus"] == ["2"]
    assert Path("/var/lib") / found["StateDirectory"][0] == Settings().state_directory


def test_the_keeper_gets_the_signals_and_outlives_the_service() -> None:
    found = options(FOLDER / "ariagent.service")
    # systemd's default signals every process of the unit.
    assert found["KillMode"] == ["mixed"]
    # systemd's default ends the unit when the kernel has ended any process of it.
    assert found["OOMPolicy"] == ["continue"]


def test_asterisks_user_reaches_the_spoken_summaries_and_nobody_lists_what_else_is_there() -> None:
    found = options(FOLDER / "ariagent.service")
    assert Settings().announcements.directory is None, "they are in the state directory"
    assert int(found["StateDirectoryMode"][0], 8) == folder.MODE == 0o711

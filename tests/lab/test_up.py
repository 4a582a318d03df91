"""The lab in the background, with nothing started; ``make lab-up`` itself is tested with the service."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ariagent.errors import ConfigurationError
from ariagent.lab import up
from ariagent.lab.processes import ProcessRef


def test_status_of_a_lab_that_never_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert up.status(tmp_path) == 1
    assert capsys.readouterr().out.count("not running") == len(up.PARTS)


def test_down_without_a_lab_is_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert up.down(tmp_path) == 0
    assert "nothing was running" in capsys.readouterr().err


def test_down_ends_what_is_noted_and_nothing_else(tmp_path: Path) -> None:
    noted, stranger = (
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
        for _ in range(2)
    )
    try:
        ours, theirs = ProcessRef.of(noted.pid), ProcessRef.of(stranger.pid)
        assert ours is not None
        assert theirs is not None
        # The stranger has the pid that the lab's service once had, but not its start time.
        state = {"sandbox": [ours.pid, ours.started_ticks], "service": [theirs.pid, theirs.started_ticks - 1]}
        (tmp_path / "lab.json").write_text(json.dumps(state))
        (tmp_path / "lab.env").write_text("SIP_PORT=1\n")
        assert up.down(tmp_path) == 0
        assert not ours.alive
        assert theirs.alive
        assert sorted(os.listdir(tmp_path)) == []
    finally:
        for process in (noted, stranger):
            process.kill()
            process.wait()


def test_a_damaged_state_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "lab.json").write_text('{"asterisk": 7}')
    with pytest.raises(ConfigurationError, match="damaged"):
        up.status(tmp_path)


def test_read_env_of_a_lab_that_is_down(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="not up") as caught:
        up.read_env(tmp_path)
    assert "make lab-up" in caught.value.remedy


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["status"], 1, "asterisk  not running"),
        (["down"], 0, "nothing was running"),
        (["down", "--force"], 2, "unknown: --force"),
        (["nonsense"], 2, "invalid choice"),
        ([], 2, "usage:"),
    ],
)
def test_commands(tmp_path: Path, arguments: list[str], code: int, text: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ariagent.lab", *arguments],
        env={**os.environ, "ARIAGENT_LAB": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == code
    assert text in done.stdout + done.stderr

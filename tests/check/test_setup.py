"""What the settings and the machine say by themselves."""

import os
from pathlib import Path
from typing import Any

import pytest

from ariagent.check.machine import check_machine, judge_files, judge_folder
from ariagent.check.report import Result, Status
from ariagent.check.setup import check_settings
from ariagent.config import Settings

GOOD: dict[str, Any] = {"asterisk": {"password": "p"}, "realtime": {"api_key": "k"}}


def told(**sections: Any) -> list[Result]:
    return check_settings(Settings.model_validate({**GOOD, **sections}), "a.yaml")


def test_nothing_to_say() -> None:
    assert [(r.status, r.found) for r in told()] == [(Status.OK, "a.yaml: 1 agent (default)")]
    assert told(agents={"default": {}, "b": {}})[0].found == "a.yaml: 2 agents (default, b)"


@pytest.mark.parametrize(
    ("sections", "status", "found"),
    [
        ({"asterisk": {}}, Status.WARNING, "asterisk.password is empty"),
        ({"realtime": {}}, Status.FAILED, "realtime.api_key: api.openai.com needs a key"),
        (
            {"asterisk": {"password": "p", "app": "other"}},
            Status.WARNING,
            "asterisk.app is other; the shipped dialplan says Stasis(ariagent)",
        ),
        (
            {"control": {"host": "0.0.0.0"}},
            Status.WARNING,
            "control.host is 0.0.0.0: tokens and what callers say travel there in the clear",
        ),
        (
            {"audiosocket": {"allowed": ["127.0.0.0/8", "0.0.0.0/0"]}},
            Status.WARNING,
            "audiosocket.allowed is everybody: only a call's UUID keeps strangers from its audio",
        ),
        (
            {"audiosocket": {"max_connections": 10}, "max_calls": 11},
            Status.WARNING,
            "audiosocket.max_connections (10) is less than max_calls",
        ),
        (
            {"agents": {"desk": {}}},
            Status.WARNING,
            "there is no agent named default, which takes the calls that name no other",
        ),
        (
            {"agents": {"default": {"opening": None}}},
            Status.WARNING,
            "agents.default has no opening: callers are not told that they talk to a machine",
        ),
    ],
)
def test_something_to_say(sections: dict[str, Any], status: Status, found: str) -> None:
    _, *others = told(**sections)
    assert [(r.status, r.found) for r in others] == [(status, found)]
    assert others[0].remedy


def test_a_local_server_needs_no_key() -> None:
    assert len(told(realtime={"url": "ws://127.0.0.1:1"})) == 1


@pytest.mark.parametrize(
    ("limit", "calls", "status"), [(340, 60, Status.OK), (339, 60, Status.WARNING), (-1, 10**6, Status.OK)]
)
def test_open_files(limit: int, calls: int, status: Status) -> None:
    assert judge_files(limit, calls).status is status


class TestFolder:
    def test_there(self, tmp_path: Path) -> None:
        assert judge_folder(tmp_path).status is Status.OK

    def test_can_be_made(self, tmp_path: Path) -> None:
        assert judge_folder(tmp_path / "a" / "b").status is Status.OK
        assert not (tmp_path / "a").exists()

    def test_under_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_text("")
        result = judge_folder(tmp_path / "a" / "b")
        assert (result.status, result.found) == (Status.WARNING, f"{tmp_path / 'a'} is no folder")

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
    def test_not_writable(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o500)
        assert judge_folder(tmp_path / "a").status is Status.WARNING


def test_records_that_are_not_kept_need_no_folder(tmp_path: Path) -> None:
    sections = {"state_directory": str(tmp_path), "records": {"enabled": False}}
    names = [result.name for result in check_machine(Settings.model_validate(sections))]
    assert names == ["machine", "open files"]

"""Findings from the settings and the machine alone."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ariagent.check.host import judge_files, judge_folder
from ariagent.check.report import Result, Status
from ariagent.check.settings import check_settings
from ariagent.config import RecordsSettings, Settings
from ariagent.errors import ResourceError
from ariagent.records.journal import Journal

GOOD: dict[str, Any] = {"asterisk": {"password": "p"}, "realtime": {"api_key": "k"}}


def told(**sections: Any) -> list[Result]:
    return check_settings(Settings.model_validate({**GOOD, **sections}), "a.yaml")


def test_nothing_to_say() -> None:
    caps = (
        "caps: minutes a day 1440, minutes a day of callers without a number 60, calls of one number an hour none, "
        "USD a day none"
    )
    assert [(r.status, r.found) for r in told()] == [(Status.OK, f"a.yaml: 1 agent (default); {caps}")]
    assert told(agents={"default": {}, "b": {}})[0].found.startswith("a.yaml: 2 agents (default, b); caps: ")


@pytest.mark.parametrize(
    ("sections", "status", "found"),
    [
        ({"asterisk": {}}, Status.WARNING, "asterisk.password is empty"),
        ({"realtime": {}}, Status.FAILED, "realtime.api_key: api.openai.com needs a key"),
        (
            {"asterisk": {"password": "p", "url": "http://10.0.0.5:8088"}},
            Status.WARNING,
            "asterisk.url is http: the ARI user's password goes to another machine unencrypted",
        ),
        (
            {"ami": {"password": "p", "host": "10.0.0.5"}},
            Status.WARNING,
            "ami.tls is false: the AMI traffic goes to another machine unencrypted",
        ),
        (
            {"realtime": {"api_key": "${NOT_SET_HERE}"}},
            Status.FAILED,
            "the environment variable NOT_SET_HERE is not set",
        ),
        (
            {"control": {"host": "0.0.0.0"}},
            Status.WARNING,
            "control.host is 0.0.0.0: tokens and callers' words are sent unencrypted",
        ),
        (
            {"audiosocket": {"allowed": ["127.0.0.0/8", "0.0.0.0/0"]}},
            Status.WARNING,
            "audiosocket.allowed includes every address: only a call's UUID protects its audio",
        ),
        (
            {"audiosocket": {"max_connections": 10}, "max_calls": 11},
            Status.WARNING,
            "audiosocket.max_connections (10) is less than max_calls",
        ),
        (
            {"caps": {"minutes_per_day": None}, "max_calls": 10},
            Status.WARNING,
            "no daily cap is set: 10 calls at once may cost 14400 minutes of the model a day",
        ),
        (
            {"caps": {"minutes_per_day_unknown": None}},
            Status.WARNING,
            "callers without a number have no daily cap of their own: they can use up the day's minutes",
        ),
        (
            {"records": {"enabled": False}},
            Status.WARNING,
            "records.enabled is false: the daily caps begin at zero again at each restart of the service",
        ),
        (
            {"agents": {"desk": {}}},
            Status.WARNING,
            "there is no agent named default: if neither the dialplan nor a route names an agent, a call has none",
        ),
        (
            {"agents": {"default": {"opening": None}}},
            Status.WARNING,
            "agents.default has no opening: callers are not told that they are talking to an AI",
        ),
    ],
)
def test_something_to_say(sections: dict[str, Any], status: Status, found: str) -> None:
    _, *others = told(**sections)
    assert [(r.status, r.found) for r in others] == [(status, found)]
    assert others[0].remedy


@pytest.mark.parametrize("url", ["https://10.0.0.5:8089", "http://localhost:8088", "http://[::1]:8088"])
def test_where_nobody_can_listen_nothing_is_said(url: str) -> None:
    assert (
        len(told(asterisk={"password": "p", "url": url}, ami={"password": "p", "host": "10.0.0.5", "tls": True})) == 1
    )


def test_a_local_server_needs_no_key() -> None:
    assert len(told(realtime={"url": "ws://127.0.0.1:1"})) == 1


@pytest.mark.parametrize(
    ("limit", "calls", "status"), [(340, 60, Status.OK), (339, 60, Status.WARNING), (-1, 10**6, Status.OK)]
)
def test_open_files(limit: int, calls: int, status: Status) -> None:
    assert judge_files(limit, calls).status is status


def folder(path: Path, **sections: Any) -> Result:
    return judge_folder(Settings.model_validate({"state_directory": str(path), **sections}))


class TestFolder:
    """The verdict is that of a service that starts: without records it does not."""

    def test_there(self, tmp_path: Path) -> None:
        assert folder(tmp_path).status is Status.OK
        assert list(tmp_path.iterdir()) == [], "nothing is left of the attempt"

    def test_can_be_made(self, tmp_path: Path) -> None:
        assert folder(tmp_path / "a" / "b").status is Status.OK
        assert not (tmp_path / "a").exists()

    def test_under_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_text("")
        result = folder(tmp_path / "a" / "b")
        assert result.status is Status.FAILED
        assert result.found.endswith(f": {tmp_path / 'a'} is not a folder")

    @pytest.mark.parametrize("directory", [Path("/proc/ariagent"), Path("/proc/sys")])
    def test_where_even_root_may_not_write(self, directory: Path) -> None:
        result = folder(directory)
        assert result.status is Status.FAILED
        assert f"records of calls cannot be kept in {directory}: " in result.found
        with pytest.raises(ResourceError, match="records of calls cannot be kept in") as caught:
            Journal.open(directory, RecordsSettings())
        assert str(caught.value).startswith(f"records of calls cannot be kept in {directory}: ")

    def test_without_records_calls_work(self) -> None:
        result = folder(Path("/proc/ariagent"), records={"enabled": False})
        assert result.status is Status.WARNING

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
    def test_of_another_user(self, tmp_path: Path) -> None:
        """Asked and started by the same user, check and service say the same."""
        tmp_path.chmod(0o755)
        state = tmp_path / "state"
        state.mkdir(mode=0o700)
        for parent in tmp_path.parents:
            if parent.owner() == "root" and not parent.stat().st_mode & 0o001:
                parent.chmod(parent.stat().st_mode | 0o001)
        told = as_nobody(lambda: str(folder(state).line))
        assert told.startswith("failed "), told
        assert "cannot write to" in told

        def begins() -> str:
            try:
                Journal.open(state, RecordsSettings())
            except ResourceError as error:
                return error.line
            return "begun"

        assert as_nobody(begins).startswith(f"records of calls cannot be kept in {state}: ")


def as_nobody(work: Callable[[], str]) -> str:
    """The result of ``work`` in a process of another user."""
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            os.write(writing, work().encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading) as told:
        said = told.read()
    os.waitpid(child, 0)
    return said


@pytest.mark.parametrize(
    ("mode", "found"),
    [
        (0o711, ""),
        (0o700, ""),
        (0o750, ""),
        (0o755, "list the files"),
        (0o777, "put files there"),
        (0o733, "put files"),
    ],
)
def test_a_state_directory_that_others_can_use(tmp_path: Path, mode: int, found: str) -> None:
    directory = tmp_path / "state"
    directory.mkdir()
    directory.chmod(mode)
    result = judge_folder(Settings.model_validate({"state_directory": str(directory)}))
    assert result.status is (Status.WARNING if found else Status.OK)
    assert found in result.found
    assert not found or result.remedy == f"`chmod o-rw {directory}`"
    assert directory.stat().st_mode & 0o777 == mode, "it is reported, not changed"


def test_an_agent_whose_time_zone_is_not_clear() -> None:
    week = {"mon": "08:00-09:00"}
    hours = {"a": {"timezone": "Europe/Berlin", "week": week}, "b": {"timezone": "UTC", "week": week}}
    _, result = told(hours=hours)
    assert result.status is Status.WARNING
    assert result.found == "agents.default uses this machine's time zone, but hours use Europe/Berlin, UTC"
    assert len(told(hours=hours, timezone="UTC")) == 1
    assert len(told(hours=hours, agents={"default": {"timezone": "UTC"}})) == 1

"""The file that the service leaves for the commands on its machine."""

import stat
from pathlib import Path
from typing import Any

import pytest

from ariagent.control import localfile
from ariagent.control.localfile import Access

ACCESS = Access("http://127.0.0.1:9094", "token")


def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    directory = tmp_path / "not" / "yet"
    localfile.write(directory, ACCESS)
    assert stat.S_IMODE((directory / localfile.FILE).stat().st_mode) == 0o600
    assert localfile.read(directory) == ACCESS
    assert [path.name for path in directory.iterdir()] == [localfile.FILE]


def test_a_later_services_file_is_left(tmp_path: Path) -> None:
    localfile.write(tmp_path, ACCESS)
    later = Access("http://127.0.0.1:9095", "another")
    localfile.write(tmp_path, later)
    localfile.remove(tmp_path, ACCESS.token)
    assert localfile.read(tmp_path) == later
    localfile.remove(tmp_path, later.token)
    assert localfile.read(tmp_path) is None
    localfile.remove(tmp_path, later.token)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"url": "x"}', "7"])
def test_what_is_none_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / localfile.FILE).write_text(text)
    assert localfile.read(tmp_path) is None


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:1"),
        ("0.0.0.0", "http://127.0.0.1:1"),
        ("::", "http://[::1]:1"),
        ("::1", "http://[::1]:1"),
        ("pbx.example.com", "http://pbx.example.com:1"),
    ],
)
def test_the_address_for_this_machine(host: str, url: str) -> None:
    assert localfile.url_of(host, 1) == url


async def test_the_service_makes_one_and_takes_it_away(make_site: Any) -> None:
    site = await make_site()
    assert localfile.read(site.directory) == Access(site.url, site.local_token)
    assert len(site.local_token) >= 40
    await site.server.close()
    assert localfile.read(site.directory) is None


async def test_without_a_place_for_it_the_service_runs(
    make_site: Any, tmp_path: Path, token: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    site = await make_site()
    assert "control.not_written" in caplog.text
    assert (await site.ask("GET", "/v1/calls", token["viewer"]))[0] == 200

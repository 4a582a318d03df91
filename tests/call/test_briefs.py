"""Summaries as files that Asterisk plays."""

import asyncio
import logging
from pathlib import Path

import pytest

from ariagent.audio.format import SLIN8, SLIN24
from ariagent.call import briefs as module
from ariagent.call.briefs import Briefs


async def test_a_summary_is_put_in_place_and_removed_after_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_AFTER_S", 0.05)
    briefs = Briefs(tmp_path / "a" / "b", SLIN24)
    briefs.clear()
    name = briefs.new_name()
    assert await briefs.put(name, b"\x01\x02", 0.05)
    path = Path(f"{name}.sln24")
    assert path.read_bytes() == b"\x01\x02"
    assert path.stat().st_mode & 0o777 == 0o640 & ~_umask()
    async with asyncio.timeout(10):
        while list(briefs.directory.iterdir()):
            await asyncio.sleep(0.01)


async def test_the_ending_tells_the_rate(tmp_path: Path) -> None:
    briefs = Briefs(tmp_path, SLIN8)
    await briefs.put(briefs.new_name(), b"", 60)
    assert [path.suffix for path in tmp_path.iterdir()] == [".sln"]


def test_what_a_former_process_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "brief-1.sln24").write_bytes(b"")
    (tmp_path / "brief-2.part").write_bytes(b"")
    (tmp_path / "other").write_bytes(b"")
    Briefs(tmp_path, SLIN24).clear()
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


async def test_a_directory_that_cannot_be_used_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_bytes(b"")
    briefs = Briefs(tmp_path / "file", SLIN24)
    with caplog.at_level(logging.WARNING):
        briefs.clear()
        assert not await briefs.put(briefs.new_name(), b"", 1)
    assert [record.message for record in caplog.records] == ["brief.not_kept"] * 2


def test_names_are_absolute_and_cannot_be_guessed(tmp_path: Path) -> None:
    briefs = Briefs(tmp_path, SLIN24)
    names = {briefs.new_name() for _ in range(100)}
    assert len(names) == 100
    assert all(Path(name).is_absolute() for name in names)


def _umask() -> int:
    import os

    mask = os.umask(0)
    os.umask(mask)
    return mask

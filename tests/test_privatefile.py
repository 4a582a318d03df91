"""Files that only their owner may read."""

import os
import stat
from pathlib import Path

import pytest

from ariagent import privatefile


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(autouse=True)
def open_umask() -> object:
    before = os.umask(0)
    yield None
    os.umask(before)


@pytest.mark.parametrize("before", [None, 0o644, 0o666, 0o400])
def test_only_the_owner_may_read_it(tmp_path: Path, before: int | None) -> None:
    path = tmp_path / "call.html"
    if before is not None:
        path.write_text("old")
        path.chmod(before)
    privatefile.write(path, "für Ann")
    assert (path.read_text(encoding="utf-8"), mode(path)) == ("für Ann", 0o600)
    assert list(tmp_path.iterdir()) == [path]


def test_who_has_the_old_file_open_does_not_see_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "call.html"
    path.write_text("old")
    with path.open() as reader:
        privatefile.write(path, b"new")
        assert reader.read() == "old"


def test_a_link_leads_to_the_file(tmp_path: Path) -> None:
    real, link = tmp_path / "real.html", tmp_path / "link.html"
    real.write_text("old")
    real.chmod(0o644)
    link.symlink_to(real)
    privatefile.write(link, "new")
    assert (link.is_symlink(), real.read_text(), mode(real)) == (True, "new", 0o600)


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    with pytest.raises(OSError):
        privatefile.write(path, "new")
    with pytest.raises(OSError):
        privatefile.write(tmp_path / "none" / "call.html", "new")
    assert list(tmp_path.iterdir()) == [path]


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    try:
        privatefile.write(Path(f"/dev/fd/{writer}"), "new")
        assert os.read(reader, 10) == b"new"
    finally:
        os.close(reader)
        os.close(writer)

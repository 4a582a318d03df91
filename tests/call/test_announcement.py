"""Announcements: what is asked of the model, what becomes of it, and the files that Asterisk plays."""

import asyncio
import logging
import os
import time
from pathlib import Path

import pytest

from ariagent.ami.events import UserEvent
from ariagent.audio.format import SLIN8, SLIN24
from ariagent.audio.rates import ModelCodec
from ariagent.call import announcement as module
from ariagent.call.announcement import Announcement, Announcements, announcements_wanted
from ariagent.config import Settings
from ariagent.config.handoff import DestinationSettings
from ariagent.dialogue.handoff import Handoff
from ariagent.logs import CallLog
from ariagent.realtime.events import OutOfBandEnded, Usage


async def test_a_summary_is_put_in_place_and_removed_after_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_AFTER_S", 0.05)
    announcements = Announcements(tmp_path / "a" / "b", SLIN24)
    await announcements.clear()
    name = announcements.new_name()
    assert await announcements.put(name, b"\x01\x02", 0.05)
    path = Path(f"{name}.sln24")
    assert path.read_bytes() == b"\x01\x02"
    async with asyncio.timeout(10):
        while list(announcements.directory.iterdir()):
            await asyncio.sleep(0.01)


async def test_the_ending_tells_the_rate(tmp_path: Path) -> None:
    announcements = Announcements(tmp_path, SLIN8)
    await announcements.put(announcements.new_name(), b"", 60)
    assert [path.suffix for path in tmp_path.iterdir()] == [".sln"]


async def test_what_a_former_process_left_is_removed_once_nobody_can_take_its_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A caller may wait in the human queue while the service is started again."""
    monkeypatch.setattr(module, "KEPT_AFTER_S", 3.0)
    kept = tmp_path / "announcement-3.sln24"
    for name in ("announcement-1.sln24", "announcement-2.part", "other", kept.name):
        (tmp_path / name).write_bytes(b"")
    os.utime(tmp_path / "announcement-1.sln24", (0, time.time() - 64.0))
    os.utime(kept, (0, time.time() - 60.0))
    await Announcements(tmp_path, SLIN24, 60.0).clear()
    assert sorted(path.name for path in tmp_path.iterdir()) == [kept.name, "other"]
    async with asyncio.timeout(10):
        while kept.exists():
            await asyncio.sleep(0.01)


async def test_a_directory_that_cannot_be_used_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_bytes(b"")
    announcements = Announcements(tmp_path / "file", SLIN24)
    with caplog.at_level(logging.WARNING):
        await announcements.clear()
        assert not await announcements.put(announcements.new_name(), b"", 1)
    assert [record.message for record in caplog.records] == ["announcement.write_failed"] * 2


def test_names_are_absolute_and_cannot_be_guessed(tmp_path: Path) -> None:
    announcements = Announcements(tmp_path, SLIN24)
    names = {announcements.new_name() for _ in range(100)}
    assert len(names) == 100
    assert all(Path(name).is_absolute() for name in names)


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
async def test_whoever_was_told_the_name_can_read_it_and_nobody_else_can_list_it(tmp_path: Path, umask: int) -> None:
    """Asterisk is another user, whatever the service's umask is."""
    before = os.umask(umask)
    try:
        announcements = Announcements(tmp_path / "state" / "announcements", SLIN24)
        await announcements.clear()
        name = announcements.new_name()
        assert await announcements.put(name, b"", 60)
    finally:
        os.umask(before)
    assert announcements.directory.stat().st_mode & 0o777 == 0o711
    assert not announcements.listed_by_others
    assert Path(f"{name}.sln24").stat().st_mode & 0o777 == 0o644
    announcements.directory.chmod(0o755)
    assert announcements.listed_by_others


async def test_a_folder_that_the_site_made_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o2750)
    await Announcements(tmp_path, SLIN24).clear()
    assert tmp_path.stat().st_mode & 0o7777 == 0o2750


async def test_a_sample_is_as_a_summary_would_be_and_leaves_nothing(tmp_path: Path) -> None:
    announcements = Announcements(tmp_path, SLIN24)
    async with announcements.sample() as name:
        path = Path(f"{name}.sln24")
        assert (path.stat().st_size, path.stat().st_mode & 0o777) == (60 * 48, 0o644)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError):
        async with Announcements(tmp_path / "nowhere", SLIN24).sample():
            pass


def test_that_asterisk_cannot_play_them_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    announcements = Announcements(tmp_path, SLIN24)
    assert announcements.playable, "until the contrary is known"
    for played in (None, False, False, None):
        announcements.tried(played)
    assert not announcements.playable
    assert [record.message for record in caplog.records] == ["announcement.not_played"]
    assert str(tmp_path) in caplog.records[0].fields["remedy"]  # type: ignore[attr-defined]
    announcements.tried(True)
    assert announcements.playable
    announcements.tried(False)
    assert [record.message for record in caplog.records] == ["announcement.not_played"] * 2


@pytest.mark.parametrize(("kinds", "wanted"), [((), False), (("blind",), False), (("blind", "warm"), True)])
def test_whether_any_are_wanted(kinds: tuple[str, ...], wanted: bool) -> None:
    places = {f"place{n}": {"queue": "q", "description": "d", "kind": kind} for n, kind in enumerate(kinds)}
    assert announcements_wanted(Settings.model_validate({"destinations": places})) == wanted


class TestSummariesThatAsteriskCannotPlay:
    @pytest.fixture
    def announcements(self, tmp_path: Path) -> Announcements:
        made = Announcements(tmp_path, SLIN24)
        self.failures = 0

        def count() -> None:
            self.failures += 1

        made.on_failed = count
        return made

    async def test_asterisk_is_asked_once_a_minute(self, announcements: Announcements) -> None:
        asked: list[bool] = []

        async def prove() -> bool:
            asked.append(True)
            return False

        announcements.prove = prove
        announcements.look()
        announcements.look()
        assert announcements._proving is not None
        await announcements._proving
        assert asked == [True]
        assert not announcements.playable
        announcements._proved_at -= module.PROVE_EVERY_S
        announcements.look()
        await announcements._proving
        assert len(asked) == 2

    async def test_without_an_answer_nothing_changes(self, announcements: Announcements) -> None:
        async def prove() -> None:
            return None

        announcements.tried(True)
        announcements._proved_at -= module.PROVE_EVERY_S
        announcements.prove = prove
        announcements.look()
        assert announcements._proving is not None
        await announcements._proving
        assert announcements.playable

    def test_the_dialplan_tells_of_a_call_that_has_left(
        self, announcements: Announcements, caplog: pytest.LogCaptureFixture
    ) -> None:
        call = CallLog(logging.getLogger("ariagent.test"), "c1")
        announcements.handed(call, 1.0)
        announcements.hear(UserEvent("Another", {"call": "c1"}))
        announcements.hear(UserEvent(module.USER_EVENT, {"call": "c2"}))
        announcements.hear(UserEvent(module.USER_EVENT, {}))
        assert self.failures == 0
        for _ in range(2):
            announcements.hear(UserEvent(module.USER_EVENT, {"call": "c1"}))
        assert self.failures == 1, "once for each call"
        [told] = [record for record in caplog.records if record.getMessage() == "announcement.failed"]
        assert told.fields["call"] == "c1"  # type: ignore[attr-defined]

    async def test_a_call_that_left_while_asterisk_was_asked_has_no_summary_either(
        self, announcements: Announcements
    ) -> None:
        """A queue that cannot play one tells nobody."""
        answer = asyncio.get_running_loop().create_future()

        async def prove() -> bool:
            played: bool = await answer
            return played

        logger = logging.getLogger("ariagent.test")
        announcements.handed(CallLog(logger, "before"), time.monotonic() - 1.0)
        announcements.prove = prove
        announcements.look()
        announcements.handed(CallLog(logger, "meanwhile"), time.monotonic())
        answer.set_result(False)
        assert announcements._proving is not None
        await announcements._proving
        assert self.failures == 1
        announcements.hear(UserEvent(module.USER_EVENT, {"call": "meanwhile"}))
        assert self.failures == 1, "once for each call"
        announcements.hear(UserEvent(module.USER_EVENT, {"call": "before"}))
        assert self.failures == 2

    def test_so_many_calls_are_remembered(self, announcements: Announcements) -> None:
        for number in range(module.MOST_TRANSFERRED + 10):
            announcements.handed(CallLog(logging.getLogger("ariagent.test"), f"c{number}"), 1.0)
        announcements.hear(UserEvent(module.USER_EVENT, {"call": "c0"}))
        assert self.failures == 0
        announcements.hear(UserEvent(module.USER_EVENT, {"call": f"c{module.MOST_TRANSFERRED}"}))
        assert self.failures == 1


HANDOFF = Handoff("warm", DestinationSettings(queue="support", description="d", timeout_s=60), "model")


class TestAnnouncement:
    @staticmethod
    def announcement(folder: Path) -> Announcement:
        return Announcement(Announcements(folder, SLIN24), ModelCodec(SLIN24, "pcm"), HANDOFF)

    async def test_the_server_is_not_told_where_the_file_will_be(self, tmp_path: Path) -> None:
        announcement = self.announcement(tmp_path)
        assert announcement.path.startswith(str(tmp_path))
        assert "/" not in announcement.key
        assert len(announcement.key) <= 64

    async def test_what_the_server_says_under_this_key_is_the_announcement(self, tmp_path: Path) -> None:
        announcement = self.announcement(tmp_path)
        announcement.spoken(OutOfBandEnded("another", b"", "", Usage()))
        assert announcement.outlook == "late"
        announcement.spoken(OutOfBandEnded(announcement.key, bytes(960), "A refund.", Usage()))
        announcement.spoken(OutOfBandEnded(announcement.key, bytes(480), "Again.", Usage()))
        assert announcement.outlook == "yes"
        assert await announcement.written(10.0)
        assert Path(f"{announcement.path}.sln24").read_bytes() == bytes(960)

    async def test_one_that_was_refused_is_none(self, tmp_path: Path) -> None:
        announcement = self.announcement(tmp_path)
        announcement.spoken(OutOfBandEnded(announcement.key, b"", "", Usage()))
        assert announcement.outlook == "no"
        assert not await announcement.written(10.0)

    async def test_one_that_cannot_be_written_is_none(self, tmp_path: Path) -> None:
        announcement = self.announcement(tmp_path / "nowhere")
        announcement.spoken(OutOfBandEnded(announcement.key, bytes(960), "A refund.", Usage()))
        assert not await announcement.written(10.0)

    async def test_without_the_model_there_will_be_none(self, tmp_path: Path) -> None:
        announcement = self.announcement(tmp_path)
        announcement.give_up()
        assert announcement.outlook == "no"
        assert not await announcement.written(10.0)

    async def test_is_not_waited_for_for_ever(self, tmp_path: Path) -> None:
        announcement = self.announcement(tmp_path)
        assert not await announcement.written(0.0)
        assert announcement.outlook == "late"

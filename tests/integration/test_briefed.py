"""A human agent who takes a call hears and sees first what it is about."""

import asyncio
import dataclasses
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ariagent import configfile
from ariagent.call import announcement as announcement_module
from ariagent.check.audio import check_audio
from ariagent.check.report import Result
from ariagent.check.site import opened
from lab import environment as lab
from lab.asterisk import AsteriskInstance
from lab.packages import default_lab_dir

BOTH_WAYS = pytest.mark.parametrize("number", ["7000", pytest.param("7001", marks=pytest.mark.long)])
SCENARIO = Path(__file__).parent / "scenarios" / "handoff.yaml"
BRIEFED = {
    "queue": "support",
    "description": "the service desk",
    "timeout_s": 20,
    "name_prefix": "AI: ",
    "fields": {"order": "number of the order"},
}
SPOKEN = {"scenario": SCENARIO, "voice": "rms"}


async def file_in(directory: Path) -> bytes:
    """The audio of the summary, once it is in place."""
    async with asyncio.timeout(20):
        # Samples that Asterisk is asked to play are short.
        while not (found := [path for path in directory.glob("*.sln24") if path.stat().st_size > 10_000]):
            await asyncio.sleep(0.02)
    return found[0].read_bytes()


def at_8_khz(pcm: bytes) -> Any:
    import soxr

    return soxr.resample(np.frombuffer(pcm, "<i2"), 24_000, 8_000).astype(np.int16)


async def hears_announcement(running: Any, answering: Any, sound: Any) -> None:
    """The phone that answered hears the whole summary."""
    wanted = sound.loud_part(at_8_khz(await file_in(running.settings.state_directory / "announcements")), 8000)
    fit = 0.0
    async with asyncio.timeout(30):
        while fit < 0.9:
            await asyncio.sleep(0.2)
            _, fit = sound.best_match(wanted, answering.heard())


@BOTH_WAYS
async def test_who_takes_the_call_is_told_what_it_is_about(
    number: str, asterisk: Any, sandbox: Any, service: Any, phone: Any, dial: Any, log: Any, ear: Any, sound: Any
) -> None:
    model = await sandbox(**SPOKEN)
    running = await service(
        model, agent={"handoff": ["briefed"], "transcription": None}, destinations={"briefed": BRIEFED}
    )
    human = await phone("1001", register=True)
    call, hearing = await dial(number)
    await hearing.utterance()
    await call.send_dtmf("5")
    incoming = await human.incoming(30)
    headers = incoming.invite.headers
    assert headers.get("x-ariagent-reason") == "a test"
    assert headers.get("x-ariagent-summary").startswith("Mrs Miller wants to know")
    assert headers.get("x-ariagent-fields") == "order=A 17"
    handed = await log.wait("call.transferred", kind="briefed")
    assert headers.get("x-ariagent-call") == handed["call"]
    assert "AI:" in headers.get("from"), headers.get("from")
    await file_in(running.settings.state_directory / "announcements")  # made while it rings
    await incoming.answer()
    human_ear, answered = ear(incoming), time.monotonic()
    await hears_announcement(running, incoming, sound)
    # Meanwhile the caller hears music; then both are connected.
    assert hearing.loud_ms(answered) > 1000
    await hearing.wait_quiet(0.3)
    await asyncio.gather(call.play(sound.tone(0.5, hz=700.0)), incoming.play(sound.tone(0.5, hz=1300.0)))
    await asyncio.gather(hearing.utterance(time.monotonic() - 1, 0.3), human_ear.utterance(time.monotonic() - 1, 0.3))
    await log.wait("call.ended", result="transferred")
    await call.hangup()
    await incoming.ended(20)


async def test_a_summary_that_does_not_come_stops_nothing(
    sandbox: Any, service: Any, phone: Any, dial: Any, log: Any, tmp_path: Path, ends_with_people: Any
) -> None:
    nowhere = tmp_path / "file"
    nowhere.write_text("not a directory")
    await service(
        await sandbox(scenario=SCENARIO),
        agent={"handoff": ["briefed"], "transcription": None},
        destinations={"briefed": BRIEFED},
        announcements={"directory": nowhere / "announcements"},
    )
    human = await phone("1001", register=True)
    call, hearing = await dial("7000")
    await hearing.utterance()
    await call.send_dtmf("5")
    await ends_with_people(call, human)
    assert log.named("announcement.write_failed")


async def test_an_extension_is_told_too_while_the_caller_hears_music(
    sandbox: Any, service: Any, phone: Any, dial: Any, log: Any, ear: Any, sound: Any
) -> None:
    model = await sandbox(**SPOKEN)
    boss = {**BRIEFED, "queue": None, "extension": "1002"}
    running = await service(
        model, agent={"handoff": ["briefed"], "transcription": None}, destinations={"briefed": boss}
    )
    human = await phone("1002", register=True)
    call, hearing = await dial("7001")
    await hearing.utterance()
    await call.send_dtmf("5")
    incoming = await human.incoming(30)
    assert incoming.invite.headers.get("x-ariagent-reason") == "a test"
    await file_in(running.settings.state_directory / "announcements")
    await incoming.answer()
    answered = time.monotonic()
    await hears_announcement(running, incoming, sound)
    assert hearing.loud_ms(answered) > 1000, "the caller heard nothing meanwhile"
    await log.wait("call.ended", result="transferred")
    # Then the two talk, and nobody takes the caller away again.
    own = ear(incoming)
    for speaker, listener in ((call, own), (incoming, hearing), (call, own)):
        await listener.wait_quiet(0.3)
        spoke = time.monotonic()
        await speaker.play(sound.tone(0.5))
        await listener.wait_loud(spoke)
    assert len(log.named("call.started")) == 1
    await call.hangup()
    await incoming.ended(20)


async def test_a_key_for_a_person_hands_over_with_a_summary_of_the_conversation(
    sandbox: Any, service: Any, phone: Any, dial: Any, log: Any, ear: Any, sound: Any
) -> None:
    model = await sandbox(**SPOKEN)
    agent = {"handoff": ["briefed"], "transcription": None, "keypad": {"actions": {"0": "person"}}}
    running = await service(model, agent=agent, destinations={"briefed": BRIEFED})
    human = await phone("1001", register=True)
    call, hearing = await dial("7000")
    await hearing.utterance()
    await call.send_dtmf("0")
    incoming = await human.incoming(30)
    handed = await log.wait("call.transferred", kind="briefed", by="caller")
    assert handed["destination"] == "briefed"
    await file_in(running.settings.state_directory / "announcements")
    await incoming.answer()
    await hears_announcement(running, incoming, sound)
    await call.hangup()
    await incoming.ended(20)


async def test_the_caller_never_hears_the_summary_also_when_the_human_agent_hangs_up(
    sandbox: Any, service: Any, phone: Any, dial: Any, log: Any, ear: Any, sound: Any
) -> None:
    boss = {**BRIEFED, "queue": None, "extension": "1002"}
    running = await service(
        await sandbox(**SPOKEN), agent={"handoff": ["briefed"], "transcription": None}, destinations={"briefed": boss}
    )
    human = await phone("1002", register=True)
    call, hearing = await dial("7001")
    await hearing.utterance()
    await call.send_dtmf("5")
    incoming = await human.incoming(30)
    await file_in(running.settings.state_directory / "announcements")
    await incoming.answer()
    own = ear(incoming)
    await hears_announcement(running, incoming, sound)
    await own.wait_quiet(1.0)
    await call.play(sound.tone(0.5))  # they talk
    hung_up = time.monotonic()
    await incoming.hangup()
    await call.ended(20)
    assert hearing.loud_ms(hung_up + 0.5) == 0


async def test_somebody_who_hangs_up_during_the_summary_has_not_taken_the_call(
    sandbox: Any, service: Any, phone: Any, dial: Any, log: Any
) -> None:
    boss = {**BRIEFED, "queue": None, "extension": "1002"}
    model = await sandbox(**SPOKEN)
    running = await service(
        model, agent={"handoff": ["briefed"], "transcription": None}, destinations={"briefed": boss}
    )
    human = await phone("1002", register=True)
    call, hearing = await dial("7001")
    await hearing.utterance()
    await call.send_dtmf("5")
    incoming = await human.incoming(30)
    await file_in(running.settings.state_directory / "announcements")
    await incoming.answer()
    await hearing.wait_loud(time.monotonic())  # music
    await incoming.hangup()
    session = await model.wait_session(2, timeout=20)
    async with asyncio.timeout(20):
        while not any("hung up again" in p.get("text", "") for i in session.items for p in i.get("content", [])):
            await asyncio.sleep(0.02)
    await call.hangup()
    await log.wait("call.ended", count=2)


# -- an Asterisk that is another user, as on every real installation ---------------------------------------------------

NOBODY = 65534
AS_NOBODY = f'chown -R {NOBODY}:{NOBODY} "$0" && exec setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups -- "$@"'


def nobody_can_read(path: Path) -> bool:
    return all(parent.stat().st_mode & 0o001 for parent in (path, *path.parents))


@pytest.fixture
async def place() -> AsyncIterator[Path]:
    """A folder that everybody may enter; pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="ariagent-announcements-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
async def others_asterisk(asterisk: AsteriskInstance, bed: Any, place: Path) -> AsyncIterator[AsteriskInstance]:
    """One that runs as nobody, while the service is root; the phones go there."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root can start an Asterisk as another user")
    if not nobody_can_read(Path(__file__).parents[2]) or not nobody_can_read(default_lab_dir()):
        pytest.skip("this checkout cannot be read by another user")
    root = place / "asterisk"
    root.mkdir()
    command = ("sh", "-c", AS_NOBODY, str(root), *asterisk.program.command)
    own = AsteriskInstance(dataclasses.replace(asterisk.program, command=command), root)
    await own.start()
    bed.asterisk = own
    try:
        yield own
    finally:
        bed.asterisk = asterisk
        await own.stop()


@pytest.mark.parametrize("mode", [0o711, 0o700], ids=["as packaged", "closed"])
async def test_asterisk_as_another_user_is_asked_whether_it_can_play_summaries(
    mode: int,
    others_asterisk: AsteriskInstance,
    sandbox: Any,
    service: Any,
    phone: Any,
    dial: Any,
    log: Any,
    sound: Any,
    place: Path,
) -> None:
    """``StateDirectoryMode`` of the shipped unit, and what it was before: nobody was briefed, and nobody knew."""
    state = place / "state"
    state.mkdir()
    state.chmod(mode)
    model = await sandbox(**SPOKEN)
    sections = {"destinations": {"briefed": BRIEFED}, "state_directory": state}
    running = await service(model, agent={"handoff": ["briefed"], "transcription": None}, **sections)
    readable = mode == 0o711
    await asyncio.wait_for(running.ready.wait(), 20)
    assert len(log.named("announcement.not_played")) == (not readable)
    assert running.health.status == 200, "calls work"
    human = await phone("1001", register=True)
    for number in ("7000",) if readable else ("7001", "7000"):
        before = len(log.named("call.transferred"))
        call, hearing = await dial(number)
        await hearing.utterance()
        await call.send_dtmf("5")
        incoming = await human.incoming(30)
        handed = await log.wait("call.transferred", count=before + 1)
        # The record agrees with the call.
        assert handed["kind"] == ("briefed" if readable else "blind")
        await file_in(state / "announcements")
        await incoming.answer()
        if readable:
            await hears_announcement(running, incoming, sound)
        await call.hangup()
        await incoming.ended(20)
        for left in (state / "announcements").glob("announcement-*"):
            left.unlink()
    told = log.named("announcement.not_played")
    assert len(told) == (not readable), "once, not for every call"
    if not readable:
        assert str(state / "announcements") in told[0]["cause"]
        assert "StateDirectoryMode=0711" in told[0]["remedy"]
        # It is mended while the service runs: the next trial of the audio's way finds that.
        state.chmod(0o711)
        usable = len(log.named("audio.usable"))
        running.audio.doubt()
        await log.wait("audio.usable", count=usable + 1)
        assert running._context.announcements.playable


FOLDERS = {
    "not made yet": (0o711, None, "ok", "does not exist yet"),
    "as packaged": (0o711, 0o711, "ok", "Asterisk can play files in "),
    "closed": (0o700, 0o711, "warning", "Asterisk cannot read files in "),
    "open to everybody": (0o711, 0o755, "warning", "every user of this machine can list and read them"),
}
"""Modes of the state directory and of the folder in it, and what is said of them."""


async def test_check_asks_asterisk_too(others_asterisk: AsteriskInstance, place: Path) -> None:
    await asyncio.gather(*(checked(name, others_asterisk, place) for name in FOLDERS))


async def checked(name: str, asterisk: AsteriskInstance, place: Path) -> None:
    mode, folder_mode, status, found = FOLDERS[name]
    state = place / name.replace(" ", "-")
    state.mkdir()
    if folder_mode is not None:
        (state / "announcements").mkdir()
        (state / "announcements").chmod(folder_mode)
    state.chmod(mode)
    settings = {
        "realtime": {"url": "ws://127.0.0.1:9/", "api_key": "test"},
        "destinations": {"briefed": BRIEFED},
        "state_directory": str(state),
    }
    path = lab.write_settings(asterisk, place, settings, state.name)
    results: list[Result] = []
    async with asyncio.timeout(60), opened(configfile.load(path), str(path), serving=False) as site:
        await check_audio(site, results.append)
    [told] = [result for result in results if result.name == "announcements"]
    assert told.status.value == status, (name, told)
    assert found in told.found, name
    assert not list(state.glob("announcements/*")), "nothing is left of it"


# -- a folder that Asterisk does not have ------------------------------------------------------------------------------


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """``elsewhere()``: from now on Asterisk has another folder of that name, as in a container without the mount."""
    write = announcement_module._write

    def unmount() -> None:
        other = tmp_path / "in another file system"
        other.mkdir()
        monkeypatch.setattr(announcement_module, "_write", lambda path, pcm: write(other / path.name, pcm))

    return unmount


async def hears(speaker: Any, listener: Any, sound: Any) -> None:
    """The two talk."""
    await listener.wait_quiet(0.3)
    spoke = time.monotonic()
    await speaker.play(sound.tone(0.5))
    await listener.wait_loud(spoke)


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        ("7000", "queue"),
        ("7000", "dialplan"),
        ("7001", "warm"),
        pytest.param("7001", "extension", marks=pytest.mark.long),
    ],
)
async def test_a_summary_that_asterisk_cannot_read_is_told_and_costs_a_key_at_most(
    number: str,
    kind: str,
    sandbox: Any,
    service: Any,
    phone: Any,
    dial: Any,
    log: Any,
    ear: Any,
    sound: Any,
    elsewhere: Any,
) -> None:
    """``dialplan``: that Asterisk cannot play it shows only when the call has left the service."""
    model = await sandbox(**SPOKEN)
    place: dict[str, Any] = {**BRIEFED, "kind": "warm" if kind == "warm" else "briefed"}
    if kind in ("extension", "dialplan"):
        place |= {"queue": None, "extension": "1001"}
    running = await service(
        model,
        agent={"handoff": ["briefed", "warm"], "transcription": None},
        destinations={"briefed": place, "warm": place},
    )
    await asyncio.wait_for(running.ready.wait(), 20)
    assert log.named("announcement.not_played") == []
    elsewhere()
    announcements = running._context.announcements
    announcements._proved_at -= announcement_module.PROVE_EVERY_S
    if kind in ("dialplan", "warm"):
        announcements.prove = None
    human = await phone("1001", register=True)
    call, hearing = await dial(number)
    await hearing.utterance()
    await call.send_dtmf("6" if kind == "warm" else "5")
    incoming = await human.incoming(30)
    await incoming.answer()
    if kind == "warm":  # who has heard nothing shows by a key that they are a person
        await log.wait("announcement.failed")
        await incoming.send_dtmf("1")
    handed = await log.wait("call.transferred")
    failed = await log.wait("announcement.failed")
    assert failed["call"] == handed["call"]
    told = {"dialplan": ("briefed", {"yes", "late"}), "warm": ("warm", {"failed"})}
    expected, announcement = told.get(kind, ("blind", {"failed"}))
    assert handed["kind"] == expected
    assert handed["announcement"] in announcement
    assert len(log.named("announcement.not_played")) == (kind != "dialplan")
    assert "ariagent_announcement_failures_total 1.0" in running.metrics.render().decode()
    await log.wait("call.ended", result="transferred")
    # The human agent has the caller.
    await hears(call, ear(incoming), sound)
    await hears(incoming, hearing, sound)
    await call.hangup()
    await incoming.ended(20)

"""``ariagent run`` as two processes, the keeper and the service, which waits for an Asterisk that is not there."""

import asyncio
import fcntl
import os
import pty
import re
import signal
import socket
import sys
import termios
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import ariagent
from ariagent.audio.format import SLIN24
from ariagent.call.admission import Admission
from ariagent.check.site import opened
from ariagent.config import AgentSettings, AudioSocketSettings, CostSettings, RealtimeSettings, Settings
from ariagent.errors import ConfigurationError
from ariagent.loop import run_async
from ariagent.phrases import store
from ariagent.phrases.store import PhraseStore
from ariagent.realtime.events import Usage
from ariagent.realtime.render import Rendering
from ariagent.service import keeper
from ariagent.service.service import Service
from lab import waiting
from lab.processes import ProcessRef, serving
from tests.forked import Forked

LIMIT_S = 60.0
until = partial(waiting.until, limit_s=LIMIT_S)
WAITING = " asterisk.waiting "


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """Settings of a service that can start, and has no Asterisk."""
    file = tmp_path / "ariagent.yaml"
    file.write_text(f"""\
asterisk: {{url: "http://127.0.0.1:1", password: p}}
realtime: {{api_key: k}}
http: {{port: 0}}
control: {{port: 0}}
audiosocket: {{port: 0}}
state_directory: {tmp_path / "state"}
""")
    return file


class Command:
    """``ariagent run``, and the lines that it logs."""

    def __init__(self, process: Forked, lines: asyncio.StreamReader) -> None:
        self.process = process
        self._lines = lines
        self.log: list[str] = []

    @property
    def pid(self) -> int:
        pid = self.process._process.pid
        assert pid is not None
        return pid

    def service(self) -> ProcessRef:
        """The process that serves."""
        pid = serving(self.pid)
        assert pid is not None
        found = ProcessRef.of(pid)
        assert found is not None
        return found

    async def logs(self, text: str) -> str:
        """The next line with this text."""
        async with asyncio.timeout(LIMIT_S):
            while line := (await self._lines.readline()).decode():
                self.log.append(line)
                if text in line:
                    return line
        raise AssertionError(f"it ended without {text}: {''.join(self.log)}")

    async def ended(self) -> int:
        """Its exit code; the rest of its log is read then."""
        async with asyncio.timeout(LIMIT_S):
            self.log += (await self._lines.read()).decode().splitlines(keepends=True)
            return await self.process.ended()

    def count(self, event: str) -> int:
        return sum(f" {event} " in line or line.rstrip().endswith(f" {event}") for line in self.log)


@asynccontextmanager
async def run(
    settings: Path, *words: str, more: Mapping[str, str] | None = None, **changed: object
) -> AsyncIterator[Command]:
    """``more``: variables that it has beside the usual ones."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ARIAGENT_")}
    environment.update(more or {})
    process = Forked("run", *words, "-c", str(settings), environment=environment, changed=changed)
    try:
        yield Command(process, await process.error())
    finally:
        process.close()


async def test_a_service_that_is_killed_is_started_again(settings: Path) -> None:
    async with run(settings) as command:
        await command.logs(WAITING)
        first = command.service()
        assert first.pid != command.pid
        os.kill(first.pid, signal.SIGKILL)
        assert await command.logs(" service.crashed ") == command.log[-1]
        assert 'ERROR service.crashed cause="killed by SIGKILL"' in command.log[-1]
        starting = await command.logs(" service.starting ")
        await command.logs(WAITING)
        second = command.service()
        assert second.alive
        assert second != first
        assert f" pid={second.pid}\n" in starting
        command.process.signal(signal.SIGTERM)
        assert await command.ended() == 0
        assert command.count("service.stopped") == 1


async def test_without_its_keeper_the_service_ends(settings: Path) -> None:
    async with run(settings) as command:
        await command.logs(WAITING)
        service = command.service()
        os.kill(command.pid, signal.SIGKILL)
        await until(lambda: not service.alive, "the service to end")
        assert await command.ended() == -signal.SIGKILL


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_to_the_keeper_ends_the_service_in_order(number: signal.Signals, settings: Path) -> None:
    async with run(settings) as command:
        await command.logs(WAITING)
        service = command.service()
        command.process.signal(number)
        assert f"signal={number.name} " in await command.logs(" service.signalled ")
        assert await command.ended() == 0
        assert command.count("service.stopped") == 1
        assert command.count("service.draining") == (number is signal.SIGTERM)
        assert not service.alive


async def test_a_reload_reaches_the_service(settings: Path) -> None:
    async with run(settings) as command:
        await command.logs(WAITING)
        settings.write_text(settings.read_text() + "drain_timeout_s: 7\n")
        # The service listens for signals before it waits for Asterisk.
        command.process.signal(signal.SIGHUP)
        assert "changed=drain_timeout_s" in await command.logs(" settings.reloaded ")
        # A service that a keeper starts again reads the settings of then.
        settings.write_text(settings.read_text() + "log: {format: json}\n")
        os.kill(command.service().pid, signal.SIGKILL)
        assert '"event": "service.crashed"' in await command.logs("service.crashed")
        command.process.signal(signal.SIGTERM)
        assert await command.ended() == 0


async def test_a_service_that_ends_by_itself_ends_its_keeper(settings: Path) -> None:
    """Its keeper has the exit code that systemd and people know."""
    settings.write_text("nonsense: 1\n")
    async with run(settings) as command:
        assert await command.ended() == 2
        [line] = command.log
        assert line.startswith(f"ariagent: {settings}:1: nonsense: unknown key")


class Crashing:
    """In place of ``Service``."""

    def __init__(self, *args: object, **more: object) -> None:
        pass

    async def run(self) -> None:
        raise RuntimeError("something went wrong")


async def test_a_service_that_crashes_again_and_again_is_given_up(settings: Path) -> None:
    changed = {"ariagent.service.service.Service": Crashing, "ariagent.service.restarts.PAUSES_S": (0.0, 0.001)}
    async with run(settings, **changed) as command:
        assert await command.ended() == 1
    assert command.count("service.crashed") == 2
    assert "".join(command.log).count("RuntimeError: something went wrong") == 3
    assert command.log[-1] == "ariagent: the service crashed 3 times within 60 s; at last: an internal error\n"


class Busy:
    """In place of ``Service``: it is told to end, and does not. It cannot handle SIGHUP yet."""

    def __init__(self, *args: object, **more: object) -> None:
        pass

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, keeper.FORWARDED_SIGTERM):
            loop.add_signal_handler(number, partial(print, "came", number.name, file=sys.stderr, flush=True))
        print("listening", file=sys.stderr, flush=True)
        await asyncio.Event().wait()


async def test_a_service_that_is_killed_while_it_drains_is_not_started_again(settings: Path) -> None:
    async with run(settings, **{"ariagent.service.service.Service": Busy}) as command:
        await command.logs("listening")
        command.process.signal(signal.SIGTERM)
        assert await command.logs("came ") == f"came {keeper.FORWARDED_SIGTERM.name}\n"
        os.kill(command.service().pid, signal.SIGKILL)
        assert await command.ended() == 1
        assert command.log[-1] == "ariagent: the service did not end in order: killed by SIGKILL\n"


async def test_a_reload_does_not_kill_a_service_that_cannot_handle_it_yet(settings: Path) -> None:
    async with run(settings, **{"ariagent.service.service.Service": Busy}) as command:
        await command.logs("listening")
        command.process.signal(signal.SIGHUP)
        command.process.signal(signal.SIGTERM)
        assert await command.logs("came ") == f"came {keeper.FORWARDED_SIGTERM.name}\n"
        assert command.count("service.crashed") == 0


def hasty_administrator(work: Coroutine[Any, Any, None]) -> None:
    """In place of ``run_async``: the settings are read. They are changed, and a reload is asked for, at once."""
    file = Path(sys.argv[-1])
    file.write_text(file.read_text() + "drain_timeout_s: 7\n")
    os.kill(os.getpid(), signal.SIGHUP)
    run_async(work)


@pytest.mark.parametrize("words", [(), ("--no-keeper",)], ids=["keeper", "alone"])
async def test_a_reload_is_not_lost_while_the_service_starts(words: tuple[str, ...], settings: Path) -> None:
    async with run(settings, *words, **{"ariagent.cli.service.run_async": hasty_administrator}) as command:
        assert "changed=drain_timeout_s" in await command.logs(" settings.reloaded ")
        command.process.signal(signal.SIGTERM)
        assert await command.ended() == 0
        assert command.count("service.crashed") == 0


async def test_a_reload_while_the_service_prepares_for_calls_is_for_these_calls(tmp_path: Path) -> None:
    nobody = RealtimeSettings(url="ws://127.0.0.1:1")
    media = AudioSocketSettings(advertise="127.0.0.1:9092")
    old = Settings(state_directory=tmp_path, audiosocket=media, realtime=nobody)
    new = old.model_copy(update={"drain_timeout_s": 7.0})
    adopted = threading.Event()
    service = Service(old, lambda: new, lambda _: adopted.set())
    admission, loop = service._admission, asyncio.get_running_loop()

    def reloaded_meanwhile() -> Admission:
        loop.call_soon_threadsafe(service.reload)
        assert adopted.wait(LIMIT_S)
        return admission()

    service._admission = reloaded_meanwhile  # type: ignore[method-assign]
    await service._open_journal()
    assert service.journal is not None
    try:
        async with opened(old, "here", serving=False) as site:
            context, _ = await service._make_context("23.4.1", site)
        assert service.settings is new
        assert context.settings is new
        assert context.toolbox is service.toolbox
    finally:
        if service._reloading is not None:
            service._reloading.cancel()
        service.journal.close()
        await service.ari.close()


async def test_a_service_whose_records_cannot_be_read_takes_calls_and_counts_from_zero(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "calls.db").mkdir()
    media = AudioSocketSettings(advertise="127.0.0.1:9092")
    service = Service(Settings(state_directory=tmp_path, audiosocket=media, cost=CostSettings(daily_cap=1.0)))
    await service._open_journal()
    assert service.journal is not None
    try:
        async with opened(service.settings, "here", serving=False) as site:
            service._context, _ = await service._make_context("23.4.1", site)
        assert not service._over_cap()
        assert [cap.used_s for cap in service._minutes()] == [0.0, 0.0]
        assert caplog.messages.count("records.not_read") == 2, "of the costs and of the minutes"
    finally:
        service.journal.close(0.1)
        await service.ari.close()


async def test_the_phrases_are_those_of_the_last_settings_that_were_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Also while the first phrases are still being rendered, and after a reload that was refused."""
    old, new = (
        Settings.model_validate({"state_directory": tmp_path, "agents": {"default": {"opening": text}}})
        for text in ("Good day.", "Good morning.")
    )
    files: list[Settings | Exception] = [new, ConfigurationError("a typo")]
    asked: list[str] = []
    speaks = asyncio.Event()

    async def render(settings: RealtimeSettings, agent: AgentSettings, text: str, language: str) -> Rendering:
        asked.append(text)
        await speaks.wait()
        return Rendering(b"\1\2" * 480, text, 1, Usage())

    def read() -> Settings:
        found = files.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(store, "render", render)
    caplog.set_level("INFO")
    service = Service(old, read)
    phrases = service.phrases = PhraseStore(tmp_path, old.realtime, SLIN24)
    service.model.tried.set()
    preparing = asyncio.ensure_future(service._prepare_speech())
    try:
        await until(lambda: asked == ["Good day."])
        service.reload()
        await until(lambda: asked == ["Good day.", "Good morning."])
        service.reload()
        await until(lambda: "settings.refused" in caplog.messages)
        speaks.set()
        await until(lambda: phrases.find(new.agents["default"], "Good morning.", "en") is not None)
    finally:
        preparing.cancel()
        await asyncio.wait([preparing])
        for toolbox in (*service._old_toolboxes, service.toolbox):
            await toolbox.close()
    assert phrases.find(old.agents["default"], "Good day.", "en") is None
    assert asked == ["Good day.", "Good morning."]


RELOADED_EARLY = """
import os, signal, sys
from ariagent.start import main

early = sys.argv.pop(1)

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == early:
            os.kill(os.getpid(), signal.SIGHUP)

sys.meta_path.insert(0, Finder())
main()
"""
"""``ariagent``, which gets SIGHUP when it begins to import the module that the first argument names."""


@pytest.mark.parametrize("module", ["ariagent.cli", pytest.param("ariagent.service.service", marks=pytest.mark.long)])
@pytest.mark.parametrize("words", [(), ("--no-keeper",)], ids=["keeper", "alone"])
async def test_a_reload_in_the_first_moment_kills_nothing(words: tuple[str, ...], module: str, settings: Path) -> None:
    """The real command, which has nothing imported yet."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", RELOADED_EARLY, module, "run", *words, "-c", str(settings)),
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(ariagent.__file__).parents[1])},
    )
    assert process.stderr is not None
    shown = ""
    try:
        async with asyncio.timeout(LIMIT_S):
            while not (" settings.reloaded " in shown and WAITING in shown):
                line = await process.stderr.readline()
                assert line, f"it ended: {shown}"
                shown += line.decode()
            process.terminate()
            await process.stderr.read()
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert "service.crashed" not in shown


async def test_the_unit_and_the_command_agree(settings: Path, tmp_path: Path) -> None:
    """systemd signals only the main process, the keeper, and hears of nothing: Type=notify would wait for ever."""
    unit = (Path(__file__).parents[2] / "packaging" / "ariagent.service").read_text()
    option = dict(re.findall(r"^(Type|KillMode|KillSignal|ExecStart|ExecReload)=(.*)$", unit, re.MULTILINE))
    assert option["ExecStart"].split()[1:] == ["run", "-c", "/etc/ariagent/ariagent.yaml"]
    assert (option["Type"], option["KillMode"]) == ("exec", "mixed")
    assert not re.search(r"^(NotifyAccess|WatchdogSec|PIDFile|GuessMainPID)=", unit, re.MULTILINE)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as manager:
        manager.bind(str(tmp_path / "notify"))
        async with run(settings, more={"NOTIFY_SOCKET": str(tmp_path / "notify")}) as command:
            await command.logs(WAITING)
            reload = option["ExecReload"].replace("$MAINPID", str(command.pid)).split()
            assert await (await asyncio.create_subprocess_exec(*reload)).wait() == 0
            await command.logs(" settings.reloaded ")
            command.process.signal(signal.Signals[option["KillSignal"]])
            assert "signal=SIGTERM " in await command.logs(" service.signalled ")
            assert await command.ended() == 0
            assert command.count("service.stopped") == 1
        with pytest.raises(BlockingIOError):
            manager.recv(4096)


async def test_a_signal_ends_a_keeper_that_waits_to_start_the_service_again(settings: Path) -> None:
    changed = {"ariagent.service.service.Service": Crashing, "ariagent.service.restarts.PAUSES_S": (4 * LIMIT_S,)}
    async with run(settings, **changed) as command:
        children = Path(f"/proc/{command.pid}/task/{command.pid}/children")
        await command.logs("RuntimeError: something went wrong")
        await until(lambda: not children.read_text(), "the keeper to know that the service has ended")
        command.process.signal(signal.SIGTERM)
        assert await command.ended() == 0
        assert command.count("service.crashed") == 0


async def test_after_an_upgrade_the_old_version_is_not_started_again(settings: Path, tmp_path: Path) -> None:
    """The next process of systemd's is the new version."""
    installed = tmp_path / "__init__.py"
    installed.touch()
    async with run(settings, **{"ariagent.__file__": str(installed)}) as command:
        await command.logs(WAITING)
        again = tmp_path / "new"
        again.touch()
        again.rename(installed)
        os.kill(command.service().pid, signal.SIGKILL)
        assert await command.ended() == 1
        assert command.log[-1].endswith("another version of ariagent is installed now\n")


async def test_without_a_keeper_it_is_one_process(settings: Path) -> None:
    async with run(settings, "--no-keeper") as command:
        await command.logs(WAITING)
        assert command.service().pid == command.pid
        os.kill(command.pid, signal.SIGKILL)
        assert await command.ended() == -signal.SIGKILL


async def test_sigterm_to_both_processes_is_one_request(tmp_path: Path) -> None:
    """So systemd does it, unless its unit says KillMode=mixed."""
    service = Service(Settings(state_directory=tmp_path))
    ways = [signal.SIGTERM, keeper.FORWARDED_SIGTERM]
    for number in ways:
        service._signalled(number)
    assert (service._draining.asked.is_set(), service._stop.is_set()) == (True, False)
    service._signalled(ways[-1])
    assert service._stop.is_set()


async def test_sigint_to_both_processes_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """So a terminal does it at Ctrl-C."""
    service = Service(Settings(state_directory=tmp_path))
    with caplog.at_level("INFO"):
        for _ in range(2):
            service._signalled(signal.SIGINT)
    assert service._stop.is_set()
    assert caplog.messages == ["service.signalled"]


async def test_ctrl_c_in_a_terminal_ends_both(settings: Path) -> None:
    """A real terminal, and the real command: the terminal sends SIGINT to both processes."""
    terminal, theirs = pty.openpty()

    def be_at_the_terminal() -> None:
        os.setsid()
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

    environment = {**os.environ, "PYTHONPATH": str(Path(ariagent.__file__).parents[1])}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ariagent", "run", "-c", str(settings), stdin=theirs, stdout=theirs, stderr=theirs,
        preexec_fn=be_at_the_terminal, cwd="/", env=environment,
    )  # fmt: skip
    os.close(theirs)
    shown = b""

    async def reads(done: Callable[[], bool]) -> None:
        nonlocal shown
        with suppress(OSError):  # EIO: nobody has the terminal any more
            while not done() and (some := await asyncio.to_thread(os.read, terminal, 4096)):
                shown += some

    try:
        async with asyncio.timeout(LIMIT_S):
            await reads(lambda: WAITING.encode() in shown)
            # One thread: a fork of a process with others would not be safe.
            assert len(list(Path(f"/proc/{process.pid}/task").iterdir())) == 1
            service = ProcessRef.of(serving(process.pid) or 0)
            assert service is not None
            assert service.pid != process.pid
            os.write(terminal, b"\x03")
            await reads(lambda: False)
            assert await process.wait() == 0
        assert not service.alive
        assert shown.count(b" service.signalled signal=SIGINT") == 1
        assert b" service.stopped" in shown
        assert b"Traceback" not in shown
    finally:
        os.close(terminal)
        if process.returncode is None:
            process.kill()
            await process.wait()

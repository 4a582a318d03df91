"""One Asterisk of the lab: writes its configuration, starts it, waits until it takes calls, ends it completely."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import resource
import secrets
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path

from ariagent.errors import AsteriskError, ConfigurationError
from ariagent.install.ours import FOLDER
from lab import conf, ports
from lab.music import write_hold_music
from lab.packages import AsteriskProgram
from lab.processes import ProcessRef, end_process, private_log

log = logging.getLogger(__name__)

START_LIMIT_S = 60.0
"""For a loaded machine; a start takes 1 to 2 s."""
STOP_SIGNALS = ((signal.SIGTERM, 8.0),)
"""Asterisk ends its calls and itself at SIGTERM, in under a second."""

_ATTEMPTS = 3
_SOCKET_PATH_LIMIT = 107
_SITE = Path(__file__).resolve().parent / "site"
_PR_SET_PDEATHSIG = 1


class AsteriskProcess:
    """One Asterisk as a child process, with a configuration that is there already."""

    def __init__(self, program: AsteriskProgram, conf: Path, run_dir: Path, log_dir: Path) -> None:
        """``conf``: its ``asterisk.conf``, which names ``run_dir`` and ``log_dir``."""
        self.program = program
        self.conf = conf
        self.pid = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._run_dir = run_dir
        self._log_dir = log_dir

    @property
    def log_path(self) -> Path:
        """Asterisk's messages."""
        return self._log_dir / "messages.log"

    @property
    def command(self) -> tuple[str, ...]:
        """How to run this Asterisk's program; its console is ``[*command, "-C", conf, "-rx", ...]``."""
        return self.program.command

    async def boot(self, *, daemon: bool = False) -> str:
        """Start, and wait until everything is loaded; returns what is wrong, or "".

        The child is killed when the thread that called this ends, unless ``daemon`` is set.
        """
        if self._process is not None:
            raise AsteriskError("this Asterisk is already started")
        # A socket file of an earlier run would look like an Asterisk that is up.
        (self._run_dir / "asterisk.ctl").unlink(missing_ok=True)
        self._spawn(daemon=daemon)
        assert self._process is not None
        problem = ""
        try:
            async with asyncio.timeout(START_LIMIT_S):
                while (status := self._process.poll()) is None:
                    # The socket is there a moment before anybody listens at it.
                    with contextlib.suppress(AsteriskError):
                        if (self._run_dir / "asterisk.ctl").exists():
                            await self.cli("core waitfullybooted")
                            return ""
                    await asyncio.sleep(0.02)
                problem = f"it ended with status {status}"
        except TimeoutError:
            problem = f"not ready after {START_LIMIT_S:.0f} s"
        return problem

    async def stop(self) -> None:
        """End the process and everything it started; returns when nothing of it is left."""
        process, self._process = self._process, None
        if process is not None and not await asyncio.to_thread(self._end, process):
            log.warning("asterisk.killed", extra={"fields": {"pid": process.pid}})

    @staticmethod
    def _end(process: subprocess.Popen[bytes]) -> bool:
        if process.poll() is not None:
            return True
        graceful = end_process(ProcessRef.of(process.pid) or ProcessRef(process.pid, 0), STOP_SIGNALS)
        process.wait()
        return graceful

    async def cli(self, command: str) -> str:
        """The output of one console command. Raises AsteriskError when there is no Asterisk to ask.

        It goes to the control socket as ``asterisk -rx`` sends it, without a process for each command.
        """
        try:
            reader, writer = await asyncio.open_unix_connection(self._run_dir / "asterisk.ctl")
        except OSError as error:
            raise AsteriskError(f"console command {command!r} failed: {error.strerror or error}") from None
        try:
            writer.write(b"cli quit after " + command.encode() + b"\0")
            greeting, output = await reader.readline(), await reader.read()
        except OSError as error:
            raise AsteriskError(f"console command {command!r} failed: {error.strerror or error}") from None
        finally:
            writer.close()
        if not greeting:
            raise AsteriskError(f"console command {command!r} failed: nobody answered")
        return output.decode(errors="replace")

    def _spawn(self, *, daemon: bool) -> None:
        libc = ctypes.CDLL(None)
        files, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)

        def in_child() -> None:
            # A call takes about a dozen descriptors; the usual soft limit of 1024 ends at 80 calls.
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(files, wanted), hard))
            if not daemon:
                libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

        with private_log(self._log_dir / "console.log") as console:
            self._process = subprocess.Popen(
                [*self.command, "-f", "-C", str(self.conf)],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                cwd=self._log_dir,
                start_new_session=True,
                preexec_fn=in_child,
            )
        self.pid = self._process.pid

    def log_tail(self, lines: int = 15) -> str:
        """The end of what it printed and logged."""
        texts = []
        for path in (self._log_dir / "console.log", self.log_path):
            with contextlib.suppress(OSError):
                texts += path.read_text(errors="replace").splitlines()[-lines:]
        return "\n".join(texts)


class AsteriskInstance(AsteriskProcess):
    """An Asterisk with a folder of its own; any number of them run side by side.

    ``start()`` picks the ports and passwords; the attributes below hold them from then on. Everything listens on
    127.0.0.1 only. The folder is kept after ``stop()``: it holds the logs.
    """

    def __init__(
        self,
        program: AsteriskProgram,
        directory: Path,
        *,
        seats: int = conf.SEATS,
        additions: Mapping[str, str] | None = None,
        modules: Sequence[str] = (),
    ) -> None:
        """``additions``: file name -> text that comes after what the lab writes; ``modules``: more of Asterisk's."""
        self.root = directory.resolve()
        super().__init__(program, self.root / "etc" / "asterisk.conf", self.root / "run", self.root / "log")
        self.seats = seats
        self.additions = additions or {}
        self.modules = modules
        self.sip_host = "127.0.0.1"
        self.sip_port = 0
        self.http_port = 0
        self.ami_port = 0
        self.rtp_ports = (0, 0)
        self.ami_user = "ariagent"
        self.ami_password = secrets.token_urlsafe(18)
        self.ari_user = "ariagent"
        self.ari_password = secrets.token_urlsafe(18)
        self.phone_passwords: dict[str, str] = {phone: secrets.token_hex(8) for phone in conf.PHONES}
        self._temporary_run_dir = False

    @property
    def ari_url(self) -> str:
        """Base of the HTTP server, without a path: ``http://127.0.0.1:PORT``."""
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def ami(self) -> dict[str, str | int]:
        """The section ``ami`` of settings for this Asterisk."""
        return {"host": "127.0.0.1", "port": self.ami_port, "user": self.ami_user, "password": self.ami_password}

    @property
    def queue_log(self) -> Path:
        """Asterisk's queue_log file."""
        return self.root / "log" / "queue_log"

    def queue_rows(self, call_id: str | None = None, *, since: int = 0) -> list[list[str]]:
        """Rows of queue_log, of one call or all: time, call id, queue, agent, event, data. ``since``: rows before that
        number are left out.

        A line that is being written, or that is a part of one (a line break in a caller's number), is no row.
        """
        text = self.queue_log.read_text(errors="replace")
        rows = [line.split("|") for line in text[: text.rfind("\n") + 1].splitlines()]
        rows = [row for row in rows if len(row) >= 5][since:]
        return rows if call_id is None else [row for row in rows if row[1] == call_id]

    @property
    def environment(self) -> dict[str, str]:
        """The instance in the names of ``lab.env``."""
        names = {
            "SIP_HOST": self.sip_host,
            "SIP_PORT": str(self.sip_port),
            "ARI_URL": self.ari_url,
            "ARI_USER": self.ari_user,
            "ARI_PASSWORD": self.ari_password,
            "AMI_HOST": "127.0.0.1",
            "AMI_PORT": str(self.ami_port),
            "AMI_USER": self.ami_user,
            "AMI_PASSWORD": self.ami_password,
            "ASTERISK_PID": str(self.pid),
            "ASTERISK_ROOT": str(self.root),
            "QUEUE_LOG": str(self.queue_log),
        }
        return names | {f"PHONE_{phone}_PASSWORD": word for phone, word in self.phone_passwords.items()}

    def write_env(self, path: Path, more: Mapping[str, str] | None = None) -> None:
        """This instance's names, and ``more``, as a file that a shell can source; see ``write_env``."""
        write_env(path, self.environment | dict(more or {}))

    async def start(self, *, daemon: bool = False) -> None:
        """Start and wait until ARI answers and the SIP transport listens.

        The child is killed when the thread that called this ends, unless ``daemon`` is set. Raises AsteriskError with
        the end of the log when it does not come up, ConfigurationError when modules are missing.
        """
        problem = ""
        for _ in range(_ATTEMPTS):
            self._write()
            began = time.monotonic()
            try:
                problem = await self.boot(daemon=daemon) or await self._what_is_wrong()
            except BaseException:
                await self.stop()
                raise
            if not problem:
                took_ms = round((time.monotonic() - began) * 1000)
                fields = {"pid": self.pid, "sip_port": self.sip_port, "took_ms": took_ms}
                log.info("asterisk.ready", extra={"fields": fields})
                return
            tail = self.log_tail()
            await self.stop()
            log.warning("asterisk.start_failed", extra={"fields": {"problem": problem, "root": str(self.root)}})
            # Only a port that was taken in between is worth another attempt.
            if " on port " not in problem:
                break
        raise AsteriskError(f"Asterisk did not start: {problem}\n{tail}", remedy=f"Its logs are in {self.root}/log")

    async def stop(self) -> None:
        """End the process and everything it started; returns when nothing of it is left."""
        await super().stop()
        if self._temporary_run_dir:
            shutil.rmtree(self._run_dir, ignore_errors=True)
            self._temporary_run_dir = False

    async def __aenter__(self) -> AsteriskInstance:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _write(self) -> None:
        available = {path.stem for path in self.program.modules_dir.glob("*.so")}
        modules, missing = conf.select_modules(available)
        if missing:
            raise ConfigurationError(
                f"Asterisk {self.program.version} lacks modules the lab needs: {' '.join(missing)}",
                remedy="install the distribution's package with all Asterisk modules",
            )
        for folder in (
            f"etc/{FOLDER}",
            "lib/agi-bin",
            "lib/keys",
            "data",
            "cache",
            "run",
            "log",
            "spool/recording",
            "spool/monitor",
        ):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        self._choose_run_dir()
        self._link_data()
        write_hold_music(self.root / "data" / "moh")
        self.sip_port, self.http_port = ports.free_udp_port(), ports.free_tcp_port()
        self.ami_port = ports.free_tcp_port()
        self.rtp_ports = ports.rtp_range()
        settings = conf.InstanceSettings(
            directory=self.root,
            run_dir=self._run_dir,
            data_dir=self.program.data_dir,
            modules_dir=self.program.modules_dir,
            modules=[*modules, *self.modules],
            site=_SITE,
            sip_port=self.sip_port,
            http_port=self.http_port,
            ami_port=self.ami_port,
            rtp_ports=self.rtp_ports,
            ami_password=self.ami_password,
            ari_password=self.ari_password,
            phone_passwords=self.phone_passwords,
            seats=self.seats,
            additions=self.additions,
        )
        for name, text in conf.files(settings).items():
            path = self.root / "etc" / name
            path.touch(mode=0o600)
            path.write_text(text)

    def _choose_run_dir(self) -> None:
        self._run_dir = self.root / "run"
        if len(os.fsencode(self._run_dir / "asterisk.ctl")) > _SOCKET_PATH_LIMIT:
            self._run_dir = Path(tempfile.mkdtemp(prefix="ariagent-"))
            self._temporary_run_dir = True

    def _link_data(self) -> None:
        """Asterisk's own descriptions and sounds, read in place beside what the lab adds."""
        data, source = self.root / "data", self.program.data_dir
        sounds = source / "sounds" / "en"
        if not sounds.exists():
            # Unpacked, not installed: the package manager would have made this name.
            sounds = next(iter(sorted((source / "sounds").glob("en*"))), sounds)
        (data / "sounds").mkdir(exist_ok=True)
        links = {"documentation": source / "documentation", "rest-api": source / "rest-api", "sounds/en": sounds}
        for name, target in links.items():
            link = data / name
            link.unlink(missing_ok=True)
            link.symlink_to(target)

    async def _what_is_wrong(self) -> str:
        """Ask for ARI, AMI and the SIP transport; returns what does not answer, or ""."""
        if not await self._ari_answers():
            return f"ARI does not answer on port {self.http_port}"
        if not await self._ami_greets():
            return f"its manager interface does not answer on port {self.ami_port}"
        try:
            transports = await self.cli("pjsip show transports")
        except AsteriskError as error:
            return str(error)
        return "" if "transport-udp" in transports else f"its SIP transport did not come up on port {self.sip_port}"

    async def _ari_answers(self) -> bool:
        """Whether ARI takes our password: then it is our Asterisk on that port, and its modules are loaded."""
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.http_port)
        except OSError:
            return False
        try:
            token = b64encode(f"{self.ari_user}:{self.ari_password}".encode()).decode()
            writer.write(
                f"GET /ari/asterisk/info?only=status HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                f"Authorization: Basic {token}\r\nConnection: close\r\n\r\n".encode()
            )
            return (await reader.readline()).startswith(b"HTTP/1.1 200")
        except OSError:
            return False
        finally:
            writer.close()

    async def _ami_greets(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.ami_port)
        except OSError:
            return False
        try:
            return (await reader.readline()).startswith(b"Asterisk Call Manager/")
        except OSError:
            return False
        finally:
            writer.close()


def write_env(path: Path, names: Mapping[str, str]) -> None:
    """Write ``KEY=value`` lines, readable by this user only; replaces the file at once."""
    scratch = path.with_name(path.name + ".new")
    scratch.touch(mode=0o600)
    scratch.write_text("".join(f"{key}={shlex.quote(value)}\n" for key, value in names.items()))
    scratch.replace(path)

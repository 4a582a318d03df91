"""One site at a time: a tree of files, its Asterisk, its phones, and the commands that an administrator runs."""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from lab import environment, waiting
from lab.asterisk import AsteriskProcess
from lab.call import Call
from lab.codecs import make_codec
from lab.packages import AsteriskProgram, default_lab_dir, ensure_asterisk, ensure_package
from lab.phone import Phone
from lab.rtp import CODEC_OF_PAYLOAD, RtpPacket, peak_of
from tests.sites.shapes import PASSWORD, Addresses, Shape, build

CHECKOUT = Path(__file__).parents[2]
LIMIT_S = 60.0
LOUD = 1500

until = partial(waiting.until, limit_s=LIMIT_S)


@dataclass
class Command:
    """The result of a command of ariagent."""

    code: int
    out: str
    err: str

    def __str__(self) -> str:
        return f"exit {self.code}\n{self.out}\n{self.err}"


@dataclass
class SiteUnderTest:
    """A machine with an Asterisk that nobody here configured."""

    shape: Shape
    root: Path
    addresses: Addresses
    asterisk: AsteriskProcess
    _phones: AsyncExitStack = field(default_factory=AsyncExitStack)

    @property
    def etc(self) -> Path:
        return self.root / "etc"

    @property
    def settings(self) -> Path:
        return self.etc / "ariagent" / "ariagent.yaml"

    async def start(self) -> None:
        problem = await self.asterisk.boot()
        assert not problem, f"{problem}\n{self.asterisk.log_tail(40)}"

    async def restart(self) -> None:
        """Restart Asterisk as after a reboot of the machine: it knows only its files."""
        await self.asterisk.stop()
        await self.start()

    def argv(self, *words: str) -> list[str]:
        """How a command of ariagent's is run here."""
        return [sys.executable, "-m", "ariagent", *words]

    @property
    def place(self) -> list[str]:
        """Where a command finds this machine's files."""
        return ["--root", str(self.root)]

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a command of ariagent's."""
        ports = {f"ARIAGENT_{section}__PORT": "0" for section in ("HTTP", "CONTROL", "AUDIOSOCKET")}
        return {"PYTHONPATH": str(CHECKOUT), **ports}

    @property
    def service_argv(self) -> list[str]:
        """How the service is run here."""
        return self.argv("run", "-c", str(self.settings))

    @property
    def service_environment(self) -> dict[str, str]:
        """The variables of the service. The administrator's shell does not have the key."""
        return {
            **self.environment,
            "MODEL_KEY": "any",
            "ARIAGENT_STATE_DIRECTORY": str(self.root / "var" / "lib" / "service"),
        }

    async def ariagent(self, *words: str, limit_s: float = 120.0) -> Command:
        """Run a command of ariagent's, from another folder than the checkout."""
        process = await asyncio.create_subprocess_exec(
            *self.argv(*words),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=self.root,
            env={**os.environ, **self.environment},
        )
        out, err = await asyncio.wait_for(process.communicate(), limit_s)
        assert process.returncode is not None
        return Command(process.returncode, out.decode(), err.decode())

    async def install(self, *more: str) -> Command:
        """``ariagent install`` as the site needs it; without ``--apply`` unless that is in ``more``."""
        words = [*self.place, "--human-queue", self.shape.human_queue, "--context", self.shape.context]
        words += ["--http-port", str(self.addresses.http), "--ami-port", str(self.addresses.ami)]
        return await self.ariagent("install", *words, *self.shape.flags, *more)

    async def shown(self) -> dict[str, str]:
        """Asterisk's state, as its console shows it."""
        commands = ("dialplan show", "queue show", "http show status", "manager show users", "ari show users")
        return {command: _steady(command, await self.asterisk.cli(command)) for command in commands}

    async def phone(self, number: str) -> Phone:
        """A registered phone of the site."""
        phone = Phone(("127.0.0.1", self.addresses.sip), user=number, password=PASSWORD)
        await self._phones.enter_async_context(phone)
        await phone.register()
        return phone

    async def close(self) -> None:
        await self._phones.aclose()
        await self.asterisk.stop()


def _steady(command: str, text: str) -> str:
    """Without what changes from one start to the next: counters, and the order of what Asterisk keeps in a hash."""
    lines = [line.rstrip() for line in text.splitlines()]
    if command == "queue show":
        lines = [
            line.partition(" has 0 calls")[0].partition(" (Not in use")[0].partition(" (Unavailable")[0]
            for line in lines
        ]
        lines = [line.partition(" (ringinuse")[0].partition(" (dynamic")[0] for line in lines]
    return "\n".join(sorted(lines))


class Heard:
    """The audio that a phone hears of one call from now on."""

    def __init__(self, call: Call) -> None:
        self._loud = asyncio.Event()
        self.count = 0
        call.on_packet = self._take

    def _take(self, packet: RtpPacket) -> None:
        name = CODEC_OF_PAYLOAD.get(packet.payload_type)
        if name is not None and peak_of(make_codec(name).decode(packet.payload)) >= LOUD:
            self.count += 1
            self._loud.set()

    async def loud(self, packets: int = 5) -> None:
        """Return when so many loud packets came since the last time this returned. Raises TimeoutError."""
        async with asyncio.timeout(LIMIT_S):
            while self.count < packets:
                self._loud.clear()
                await self._loud.wait()
        self.count = 0


@pytest.fixture(scope="session")
def program() -> AsteriskProgram:
    """The Asterisk to start: the machine's or the lab's."""
    return ensure_asterisk(default_lab_dir())


@pytest.fixture(scope="session")
def samples() -> Path:
    """The distribution's stock configuration."""
    return ensure_package("asterisk", default_lab_dir()) / "etc" / "asterisk"


MakeSite = Callable[[Shape], "asyncio.Future[SiteUnderTest]"]


@pytest.fixture
async def make_site(program: AsteriskProgram, samples: Path) -> AsyncIterator[MakeSite]:
    """``await make_site(shape)``: a running site; ended after the test."""
    made: list[SiteUnderTest] = []
    # Not pytest's folder: the path of Asterisk's socket may have 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="ariagent-site-"))

    async def make(shape: Shape) -> SiteUnderTest:
        root, addresses = folder / shape.name, Addresses()
        conf = build(shape, root, program, samples, addresses)
        asterisk = AsteriskProcess(program, conf, root / "var" / "run" / "asterisk", root / "var" / "log" / "asterisk")
        made.append(SiteUnderTest(shape, root, addresses, asterisk))
        await made[-1].start()
        return made[-1]

    yield make  # type: ignore[misc]
    for site in made:
        await site.close()
    shutil.rmtree(folder)


@asynccontextmanager
async def service(site: SiteUnderTest, name: str = "service") -> AsyncIterator[environment.Process]:
    """``ariagent run`` with the site's settings, ready for calls."""
    async with environment.process(site.service_argv, site.root / f"{name}.log", site.service_environment) as running:
        await running.wait_for("service.ready")
        await running.wait_for("phrases.ready")
        await running.wait_for("pool.ready")
        yield running


def difference(before: Path, after: Path) -> str:
    """The output of ``diff -r``; nothing where two trees are the same."""
    done = subprocess.run(
        ["diff", "-r", "--no-dereference", before, after], capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr

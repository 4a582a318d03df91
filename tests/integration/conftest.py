"""A real Asterisk for the integration tests, and on it, in this process: services, sandboxes, phones.

One Asterisk per run, in a temporary folder, its packages from the lab's folder. Services, sandboxes and phones are
made by the factories ``service``, ``sandbox`` and ``phone``; after each test all of them are ended, phones first, and
nothing may be left of any: no call, connection, task, channel or bridge, and one ``call.ended`` for each call.
"""

import asyncio
import contextlib
import gc
import itertools
import logging
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvloop
from aiohttp import web
from numpy.typing import NDArray

from ariagent.config import AsteriskSettings, Settings
from ariagent.redaction import Redaction, secrets_of
from ariagent.sandbox.options import SandboxOptions
from ariagent.sandbox.record import SandboxSession
from ariagent.sandbox.server import SandboxServer
from ariagent.service.service import Service
from lab import waiting
from lab.asterisk import AsteriskInstance
from lab.call import Call
from lab.codecs import Codec, make_codec
from lab.conf import FEW_SEATS
from lab.packages import default_lab_dir, ensure_asterisk, ensure_tool
from lab.phone import Phone
from lab.proxy import Proxy
from lab.rtp import CODEC_OF_PAYLOAD, RtpPacket, peak_of

LIMIT_S = 60.0
"""For what must happen, on a busy machine."""
LOUD = 1500
QUIET_S = 0.3
CACHED_S = 5.0
"""A channel that Asterisk lists for so long may have ended."""
SCENARIOS = Path(__file__).parent / "scenarios"
AGENT = {
    "opening": "Good day.",
    "transcription": None,
    "turn_detection": {"silence_duration_ms": 200, "prefix_padding_ms": 100},
    "keypad": {"pause_ms": 400},
    "machines": "ignore",
    "silence": None,
}
"""Settings of the agent ``default``; ``service(agent={...})`` changes some."""


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The service's own loop. It takes a tenth less time than asyncio's."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def seats() -> int:
    """How many seats ``asterisk`` has."""
    return FEW_SEATS


@pytest.fixture(scope="session")
def asterisk(seats: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AsteriskInstance]:
    """A running Asterisk. Its async methods may be awaited from any event loop."""
    folder = tmp_path_factory.mktemp("asterisk")
    instance = AsteriskInstance(ensure_asterisk(default_lab_dir()), folder, seats=seats)
    asyncio.run(instance.start())
    yield instance
    asyncio.run(instance.stop())


@pytest.fixture(scope="session")
def sipp() -> list[str]:
    """The argv prefix that runs SIPp."""
    return ensure_tool("sipp", default_lab_dir())


# -- what was logged ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Entry:
    """One log record: the event's name and its fields."""

    at: float
    """Seconds of ``time.monotonic()``."""
    level: int
    event: str
    fields: dict[str, Any]
    logger: str = ""
    traceback: str = ""

    def __getitem__(self, field: str) -> Any:
        return self.fields[field]


class LogBook(logging.Handler):
    """Everything that was logged in this process since the test began."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.entries: list[Entry] = []
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        traceback = logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
        fields = dict(getattr(record, "fields", {}))
        self.entries.append(
            Entry(time.monotonic(), record.levelno, record.getMessage(), fields, record.name, traceback)
        )
        self._loop.call_soon_threadsafe(self._changed.set)

    def named(self, event: str, **fields: object) -> list[Entry]:
        """The entries of this event whose fields are these, oldest first."""
        wanted = fields.items()
        return [e for e in self.entries if e.event == event and all(e.fields.get(k) == v for k, v in wanted)]

    async def wait(self, event: str, *, count: int = 1, timeout: float = LIMIT_S, **fields: object) -> Entry:
        """The ``count``-th entry of this event; it may be there already. Raises TimeoutError."""
        try:
            async with asyncio.timeout(timeout):
                while len(found := self.named(event, **fields)) < count:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            names = [entry.event for entry in self.entries[-20:]]
            raise TimeoutError(f"no {count} x {event} {fields} in {timeout:g} s; last: {names}") from None
        return found[count - 1]

    def check(self) -> None:
        """Every call ended once; nothing failed that only an internal error can make fail."""
        started = Counter(entry["call"] for entry in self.named("call.started"))
        ended = Counter(entry["call"] for entry in self.named("call.ended"))
        # One who came back and was gone before we could ask who it is ends without having been told as started.
        hung_up = self.named("call.ended", reason="caller_hung_up")
        unknown = Counter(entry["call"] for entry in hung_up if "underruns" not in entry.fields)
        odd = {call: ended[call] for call in started if not 0 <= ended[call] - started[call] <= unknown[call]}
        assert odd == {}
        bad = ("call.fault", "call.release_failed", "call.return_failed", "call.hangup_failed", "media.endpoint_fault")
        faults = [e for e in self.entries if e.traceback or e.event in bad or (e.logger == "asyncio" and e.level >= 40)]
        # Tests stop Asterisk too. What could not be asked of it then is in the log, as it should be.
        faults = [e for e in faults if not str(e.fields.get("cause", "")).startswith("cannot reach ")]
        # The test's own model: a service that stopped while it connected.
        own = ("websockets.server", "opening handshake failed")
        assert [e for e in faults if (e.logger, e.event) != own] == []


class QueueLog:
    """The rows of queue_log since it was made. Their order is not certain: compare them as sets."""

    def __init__(self, asterisk: AsteriskInstance) -> None:
        self._path = asterisk.queue_log
        self._before = self._path.read_text()

    def rows(self, verb: str = "", queue: str = "", call: str = "") -> list[list[str]]:
        """Rows of this verb (queue, call): call, queue, agent, verb and its own fields."""
        rows = [line.split("|")[1:] for line in self._path.read_text().removeprefix(self._before).splitlines()]
        rows = [row for row in rows if len(row) > 3]  # others are in a caller's number with line breaks
        return [row for row in rows if verb in ("", row[3]) and queue in ("", row[1]) and call in ("", row[0])]

    def verbs(self, call: str) -> set[tuple[str, str, str]]:
        """Queue, agent and verb of a call's rows."""
        return {(row[1], row[2], row[3]) for row in self.rows(call=call)}


@pytest.fixture
def queue_log(asterisk: AsteriskInstance) -> QueueLog:
    """The rows of queue_log from now on; see ``QueueLog``."""
    return QueueLog(asterisk)


# -- what a phone hears ------------------------------------------------------------------------------------------------


class Ear:
    """Listens to one call from now on: which packets are loud, and when they came. Times: ``time.monotonic()``."""

    def __init__(self, call: Call, loud: int = LOUD) -> None:
        self.call = call
        self.packets: list[RtpPacket] = []
        """Audio packets, loud or not."""
        self.loud: list[float] = []
        """Arrival of each loud one."""
        self._threshold = loud
        self._codecs: dict[int, Codec] = {}
        self._changed = asyncio.Event()
        call.on_packet = self._on_packet

    def _on_packet(self, packet: RtpPacket) -> None:
        name = CODEC_OF_PAYLOAD.get(packet.payload_type)
        if name is None:
            return
        self.packets.append(packet)
        if (codec := self._codecs.get(packet.payload_type)) is None:
            codec = self._codecs[packet.payload_type] = make_codec(name)
        if peak_of(codec.decode(packet.payload)) >= self._threshold:
            self.loud.append(packet.arrival)
            self._changed.set()

    async def wait_loud(self, after: float = 0.0, timeout: float = LIMIT_S) -> float:
        """When the first loud packet came that came at or after ``after``. Raises TimeoutError."""
        async with asyncio.timeout(timeout):
            while True:
                for arrival in self.loud:
                    if arrival >= after:
                        return arrival
                self._changed.clear()
                await self._changed.wait()

    async def wait_quiet(self, quiet_s: float = QUIET_S, timeout: float = 60.0) -> float:
        """Return once nothing loud came for ``quiet_s``: when the last loud packet came (now, if none ever did)."""
        async with asyncio.timeout(timeout):
            began = time.monotonic()
            while True:
                last = self.loud[-1] if self.loud else began
                remaining = last + quiet_s - time.monotonic()
                if remaining <= 0:
                    return last
                await asyncio.sleep(remaining + 0.005)

    async def utterance(self, after: float = 0.0, quiet_s: float = QUIET_S) -> tuple[float, float]:
        """When the next loud stretch began and when it ended: the arrivals of its first and last loud packet."""
        first = await self.wait_loud(after)
        return first, await self.wait_quiet(quiet_s)

    def spoke_until(self) -> float:
        """When the last loud packet of this phone was over."""
        loud = [frame.time for frame in self.call.sent if frame.peak >= self._threshold]
        assert loud, "nothing loud was sent"
        return loud[-1] + 0.02

    def loud_ms(self, since: float, until: float = float("inf")) -> float:
        """How much was loud between these arrivals, both included."""
        return 20.0 * sum(since <= arrival <= until for arrival in self.loud)

    def longest_silence_s(self, since: float, until: float) -> float:
        """The longest time between two loud packets of that time, its ends among them."""
        loud = [since, *(arrival for arrival in self.loud if since <= arrival < until), until]
        return max(b - a for a, b in itertools.pairwise(loud))

    def longest_gap_ms(self, since: float, until: float = float("inf")) -> float:
        """The longest time between two packets that came one after another."""
        arrivals = [packet.arrival for packet in self.packets if since <= packet.arrival <= until]
        return max((1000 * (b - a) for a, b in itertools.pairwise(arrivals)), default=float("inf"))


# -- services, sandboxes, phones ---------------------------------------------------------------------------------------


class Bed:
    """Makes what a test needs in this process, and ends all of it in order."""

    def __init__(self, asterisk: AsteriskInstance, log: LogBook, directory: Path) -> None:
        self.asterisk = asterisk
        self.directory = directory
        self.log = log
        self.services: list[tuple[Service, asyncio.Task[None]]] = []
        self.phones: list[Phone] = []
        self._before = asyncio.all_tasks()
        self._phones = AsyncExitStack()
        self._sandboxes = AsyncExitStack()

    async def sandbox(self, **options: Any) -> SandboxServer:
        """A sandbox that answers fast and hums instead of speaking; ``options`` are SandboxOptions."""
        lab_dir = default_lab_dir()
        chosen: dict[str, Any] = {
            "scenario": SCENARIOS / "plain.yaml",
            "think_ms": 20,
            "transcription_ms": 0,
            "detector": "energy",
            "recogniser": False,
            "voice": "tone",
            "keep_audio": True,
            "fetch": True,
            "billed": True,
            "cache_dir": lab_dir / "speech",
            **options,
        }
        return await self._sandboxes.enter_async_context(SandboxServer(SandboxOptions(**chosen)))

    async def service(
        self,
        model: SandboxServer | str,
        *,
        agent: dict[str, Any] | None = None,
        usable: bool = True,
        settle: bool = True,
        **settings: Any,
    ) -> Service:
        """A service on the Asterisk, ready for calls; ``model`` is a sandbox or a URL.

        ``agent`` changes settings of the agent ``default``, ``settings`` sections of the tree (``realtime={...}``).
        Its first sessions with the model are its own: a trial, and its fixed phrases. With ``usable`` this waits until
        they are over, so that the first call has the sandbox's session 1. With ``settle`` it waits until the seats are
        as they should be.
        """
        asterisk = self.asterisk
        tree: dict[str, Any] = {
            "asterisk": {"url": asterisk.ari_url, "user": asterisk.ari_user, "password": asterisk.ari_password},
            "ami": asterisk.ami,
            "audiosocket": {"port": 0},
            "realtime": {"url": model if isinstance(model, str) else model.url, "api_key": "test"},
            "http": {"port": 0},
            "control": {"port": 0},
            "log": {"transcripts": True},
            "drain_timeout_s": 5,
            "max_calls": asterisk.seats,
            "caps": {"minutes_per_day": None, "minutes_per_day_unknown": None},
            # Phones and model share the event loop here, on a machine that runs other tests, too.
            "watchdog": {"lag_ms": 2000},
            "state_directory": self.directory / f"state{len(self.services)}",
            "agents": {"default": {**AGENT, **(agent or {})}},
        }
        for name, section in settings.items():
            both = isinstance(tree.get(name), dict) and isinstance(section, dict)
            tree[name] = {**tree[name], **section} if both else section
        service = Service(Settings.model_validate(tree))
        if hurry := usable and isinstance(model, SandboxServer) and not self.services:
            options = model.options
            model.options = replace(options, generation_speed=0)  # the fixed phrases
        trials = len(self.log.named("model.usable"))
        prepared, failed = len(self.log.named("phrases.ready")), len(self.log.named("phrase.render_failed"))
        running = asyncio.create_task(service.run(), name="service")
        self.services.append((service, running))
        ready = asyncio.ensure_future(service.started.wait())
        async with asyncio.timeout(LIMIT_S):
            await asyncio.wait((ready, running), return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if running.done():
            running.result()  # why it could not start
        if usable:
            await self.log.wait("model.usable", count=trials + 1)
            # With a sandbox that fails on purpose its phrases fail too, and are tried again later.
            await until(
                lambda: (
                    len(self.log.named("phrases.ready")) > prepared
                    or len(self.log.named("phrase.render_failed")) > failed
                ),
                what="the fixed phrases",
            )
            if hurry:
                model.options = options
            if not isinstance(model, str):
                model.count_anew()
        if settle:
            # A former service may have left the seats paused, and their device state at UNAVAILABLE.
            await asyncio.wait_for(service.device_state.settled.wait(), LIMIT_S)
        if service.pool is not None and settle:
            await asyncio.wait_for(service.pool.settled.wait(), LIMIT_S)
            await until(
                lambda: not service.device_state.open or not unavailable(service.pool), what="the seats to be there"
            )
        return service

    async def phone(self, user: str = "5551000", *, register: bool = False, **settings: Any) -> Phone:
        """A phone of the Asterisk; 1001 to 1004 have passwords and may register, others are anonymous callers."""
        asterisk = self.asterisk
        password = asterisk.phone_passwords.get(user, "")
        phone = Phone((asterisk.sip_host, asterisk.sip_port), **{"user": user, "password": password, **settings})
        await self._phones.enter_async_context(phone)
        self.phones.append(phone)
        if register:
            await phone.register()
        return phone

    async def dial(self, number: str, phone: Phone | None = None, **options: Any) -> tuple[Call, Ear]:
        """A call from a phone of its own (or ``phone``), answered, and what it hears from the first packet on."""
        call = await (phone or await self.phone()).dial(number, **options)
        ear = Ear(call)
        await call.answered(LIMIT_S)
        return call, ear

    async def nothing_left(self) -> None:
        """Wait until no call is left: none in the services, no channel, no bridge, no busy seat."""
        for service, _ in self.services:
            await until(lambda s=service: not len(s.calls) and not s.media.open_connections, what="calls to end")
        await self.nothing_in_asterisk()
        for service, _ in self.services:
            if (pool := service.pool) is not None:
                await until(lambda p=pool: not any(seat.busy for seat in p.seats.view()), what="the seats to be idle")

    async def close(self) -> None:
        """End everything, phones first, and assert that nothing is left."""
        try:
            await self._phones.aclose()
            for service, running in self.services:
                await self._end(service, running)
        finally:
            for _, running in self.services:
                if not running.done():
                    running.cancel()
                    await asyncio.wait([running])
            await self._sandboxes.aclose()
        await self._resume_seats()
        try:
            await self.nothing_in_asterisk()
        finally:
            await self.asterisk.cli("channel request hangup all")
        await self.no_task()
        self.log.check()
        self._no_secret()
        wrong = [(phone.user, phone.faults, phone.malformed) for phone in self.phones]
        assert [found for found in wrong if found[1] or found[2]] == []

    async def _end(self, service: Service, running: "asyncio.Task[None]") -> None:
        if not running.done():
            await until(lambda: not len(service.calls) and not service.media.open_connections, what="calls to end")
        service.stop()
        async with asyncio.timeout(LIMIT_S):
            await running
        assert len(service.calls) == 0
        assert service.media.open_connections == 0

    async def _resume_seats(self) -> None:
        """A pause by hand outlives its service, but not its test."""
        shown = await self.asterisk.cli("queue show")
        for interface in re.findall(r"\((Local/\d+@ariagent-seat\S*)[^\n]*paused:ariagent: manual", shown):
            await self.asterisk.cli(f"queue unpause member {interface}")

    async def nothing_in_asterisk(self, limit_s: float = LIMIT_S) -> None:
        """Wait until Asterisk has no channel and no bridge. Raises AssertionError that names them."""
        for command in ("core show channels concise", "bridge show all"):
            began = time.monotonic()
            # The list of bridges has a heading.
            while lines := [x for x in (await self.asterisk.cli(command)).splitlines() if x and "Bridge-ID" not in x]:
                if time.monotonic() > began + CACHED_S and not (lines := [x for x in lines if await self._exists(x)]):
                    break
                assert time.monotonic() < began + limit_s, (command, lines)
                await asyncio.sleep(0.02)

    async def _exists(self, line: str) -> bool:
        """Whether there is this channel of Asterisk's list. The list is a cache, in which a channel that has ended may
        stay for ever (https://github.com/asterisk/asterisk/issues/783)."""
        channel, is_one, _ = line.partition("!")
        return not is_one or "is not a known channel" not in await self.asterisk.cli(f"core show channel {channel}")

    def _no_secret(self) -> None:
        """No log line, and nothing that was written in the test's folder but settings, holds a password."""
        asterisk = self.asterisk
        redact = Redaction(secrets_of(AsteriskSettings(user=asterisk.ari_user, password=asterisk.ari_password)))
        redact_too = Redaction([asterisk.ami_password, *asterisk.phone_passwords.values()])
        texts = [(entry.event, f"{entry.event} {entry.fields} {entry.traceback}") for entry in self.log.entries]
        for path in self.directory.rglob("*"):
            if path.is_file() and path.suffix in (".log", ".db", ".db-wal", ".json", ".txt", ".html", ".xml"):
                texts.append((path.name, path.read_bytes().decode("latin-1")))
        assert [where for where, text in texts if redact(text) != text or redact_too(text) != text] == []

    async def no_task(self, limit_s: float = LIMIT_S) -> None:
        """Wait until this test has no task but its own. Raises AssertionError that names them."""

        def left() -> list[str]:
            mine = asyncio.current_task()
            return [str(task) for task in asyncio.all_tasks() - self._before if task is not mine]

        deadline = time.monotonic() + limit_s
        while left():
            assert time.monotonic() < deadline, left()
            await asyncio.sleep(0.02)


until = partial(waiting.until, limit_s=LIMIT_S)


def unavailable(pool: Any) -> bool:
    """Whether a seat still is "Unavailable" by its hint."""
    return any(seat.state == "unavailable" for seat in pool.seats.view())


@pytest.fixture
async def log() -> AsyncIterator[LogBook]:
    """The log's events during the test."""
    book = LogBook()
    root, ours = logging.getLogger(), logging.getLogger("ariagent")
    level = ours.level
    root.addHandler(book)
    ours.setLevel(logging.DEBUG)
    yield book
    root.removeHandler(book)
    ours.setLevel(level)


@pytest.fixture
async def proxy() -> AsyncIterator[Any]:
    """``await proxy()``: one more proxy; they end after everything else."""
    async with AsyncExitStack() as proxies:

        async def make() -> Proxy:
            return await proxies.enter_async_context(Proxy())

        yield make


@pytest.fixture(scope="session")
def frozen() -> None:
    """As the service's command does: the garbage collector no longer looks at what was imported (70 ms each time)."""
    gc.collect()
    gc.freeze()


@pytest.fixture
async def bed(asterisk: AsteriskInstance, log: LogBook, proxy: Any, frozen: None, tmp_path: Path) -> AsyncIterator[Bed]:
    """The maker of ``sandbox``, ``service``, ``phone`` and ``dial``; it ends and checks everything after the test."""
    made = Bed(asterisk, log, tmp_path)
    gc.collect()  # of what earlier tests have left; ``frozen`` keeps this short
    yield made
    await made.close()


@pytest.fixture
def sandbox(bed: Bed) -> Any:
    """``await sandbox(detector="silero")``: see ``Bed.sandbox``."""
    return bed.sandbox


@pytest.fixture
def service(bed: Bed) -> Any:
    """``await service(sandbox, agent={"opening": None})``: see ``Bed.service``."""
    return bed.service


@pytest.fixture
def phone(bed: Bed) -> Any:
    """``await phone("1001", register=True)``: see ``Bed.phone``."""
    return bed.phone


@pytest.fixture
def dial(bed: Bed) -> Any:
    """``call, ear = await dial("7001")``: see ``Bed.dial``."""
    return bed.dial


@pytest.fixture
def ear() -> Any:
    """``ear(call)``: hears a call of any phone from now on; see ``Ear``."""
    return Ear


# -- audio -------------------------------------------------------------------------------------------------------------

Samples = NDArray[np.int16]


class Sound:
    """Making and judging 16-bit mono samples."""

    QUIET_LEVEL = 300.0
    """RMS of samples that are hardly heard."""
    MOST = 0.7
    """The share of audio that has to arrive on a machine that runs other tests, too; ``make bench`` wants all of it."""

    @staticmethod
    def tone(seconds: float, hz: float = 700.0, rate_hz: int = 8000, peak: int = 9000) -> Samples:
        """A sine."""
        t = np.arange(int(seconds * rate_hz)) / rate_hz
        return (peak * np.sin(2 * np.pi * hz * t)).astype(np.int16)

    @staticmethod
    def strongest_hz(pcm: Samples, rate_hz: int) -> float:
        """The frequency with the most power."""
        spectrum = np.abs(np.fft.rfft(pcm.astype(float) * np.hanning(len(pcm))))
        return float(np.argmax(spectrum) * rate_hz / len(pcm))

    @staticmethod
    def share_above(pcm: Samples, hz: float, rate_hz: int) -> float:
        """The part of the power that lies above ``hz``."""
        power = np.abs(np.fft.rfft(pcm.astype(float) * np.hanning(len(pcm)))) ** 2
        return float(power[int(hz * len(pcm) / rate_hz) :].sum() / power.sum())

    @staticmethod
    def loud_part(pcm: Samples, rate_hz: int, threshold: int = LOUD) -> Samples:
        """From the first loud sample to the last."""
        loud = np.flatnonzero(np.abs(pcm.astype(np.int32)) >= threshold)
        assert loud.size, "nothing is loud"
        return pcm[int(loud[0]) : int(loud[-1]) + 1]

    @staticmethod
    def level(pcm: Samples) -> float:
        """RMS."""
        return float(np.sqrt(np.mean(pcm.astype(float) ** 2)))

    @staticmethod
    def _products(wanted: NDArray[np.float64], heard: NDArray[np.float64]) -> NDArray[np.float64]:
        """The inner product of ``wanted`` with the stretch of ``heard`` that begins at each sample."""
        size = 1 << int(np.ceil(np.log2(len(wanted) + len(heard))))
        spectrum = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(wanted, size))
        return np.fft.irfft(spectrum, size)[: len(heard)]

    @classmethod
    def best_match(cls, wanted: Samples, heard: Samples) -> tuple[int, float]:
        """Where in ``heard`` ``wanted`` fits best (in samples), and the correlation coefficient there."""
        a, b = wanted.astype(float), heard.astype(float)
        at = int(np.argmax(cls._products(a, b)))
        part = b[at : at + len(a)]
        fit = np.dot(a[: len(part)], part) / (np.linalg.norm(a) * np.linalg.norm(part) + 1e-9)
        return at, float(fit)

    @classmethod
    def share_heard(cls, wanted: Samples, heard: Samples, block: int = 1200) -> float:
        """The share of the loud blocks of ``wanted`` (150 ms at 8 kHz) that are in ``heard``. Audio that was converted
        wrongly has none; packets that a busy machine loses cost the blocks they are in."""
        starts = range(0, len(wanted) - block + 1, block)
        blocks = [part for part in (wanted[at : at + block] for at in starts) if cls.level(part) > cls.QUIET_LEVEL]
        assert blocks, "nothing is loud"
        b = heard.astype(float)
        # The energy of each stretch of ``heard``: loud ones elsewhere must not hide a quiet block's place.
        sums = np.concatenate([[0.0], np.cumsum(b * b)])
        energy = np.sqrt(sums[block:] - sums[:-block]) + 1.0

        def fit(part: NDArray[np.float64]) -> float:
            return float(np.max(cls._products(part, b)[: len(energy)] / energy) / np.linalg.norm(part))

        return sum(fit(part.astype(float)) > 0.95 for part in blocks) / len(blocks)

    @staticmethod
    def appended(session: SandboxSession) -> Samples:
        """The caller's audio that the model received, as PCM at 24 kHz (8 kHz with a G.711 encoding)."""
        return session.core.hearing._format.decode(bytes(session.audio))

    @staticmethod
    def said(session: SandboxSession) -> list[tuple[Samples, int]]:
        """The audio that the model generated, item by item, and its rate; of a truncated item the part that is left."""
        parts = [p for item in session.core.conversation if item.role == "assistant" for p in item.content]
        return [(part.format.decode(bytes(part.audio)), part.format.rate_hz) for part in parts if part.audio]


@pytest.fixture
def sound() -> Any:
    """See ``Sound``."""
    return Sound


@pytest.fixture
def ends_with_people(ear: Any, sound: Any) -> Any:
    """``await ends_with_people(call, human)``: the call reaches the phone ``human``, and both hear each other; returns
    the call at that phone."""

    async def check(call: Call, human: Any) -> Call:
        answering = await human.incoming(60)
        await answering.answer()
        await call.answered(LIMIT_S)
        ears = [ear(call), ear(answering)]
        said = {call: 1300.0, answering: 700.0}

        def hear_each_other() -> bool:
            return all(abs(sound.strongest_hz(who.heard()[-6000:], 8000) - hz) < 20 for who, hz in said.items())

        # The human queue plays music until the two are connected; it has pauses, too.
        for tries_left in reversed(range(4)):
            await asyncio.gather(*(one.wait_quiet(0.2) for one in ears))
            await asyncio.gather(call.play(sound.tone(0.5, hz=700.0)), answering.play(sound.tone(0.5, hz=1300.0)))
            await asyncio.gather(*(one.utterance(quiet_s=0.2) for one in ears))
            if hear_each_other():
                break
            assert tries_left, "the two do not hear each other"
        await call.hangup()
        await answering.ended(LIMIT_S)
        return answering  # type: ignore[no-any-return]

    return check


# -- several callers at once -------------------------------------------------------------------------------------------


@dataclass
class Guest:
    """One of several callers of the same service, and what is known of this call alone."""

    call: Call
    hearing: Ear
    session: SandboxSession
    id: str
    """The call's, in the log."""
    log: LogBook

    async def wait(self, event: str, *, count: int = 1, **fields: Any) -> Entry:
        """``LogBook.wait`` for events of this call."""
        return await self.log.wait(event, count=count, call=self.id, **fields)

    def said(self) -> list[str]:
        """The agent's words after its opening."""
        return [entry["said"] for entry in self.log.named("turn.agent", call=self.id)][1:]

    async def hang_up(self) -> None:
        """The call still is a call; end it."""
        await self.call.hangup()
        await self.wait("call.ended", result="done", reason="caller_hung_up")


@pytest.fixture
def talking(bed: Bed) -> Any:
    """``await talking(10)``: so many callers, by turns of 7000 and 7001, each after the opening; as (call, ear)."""

    async def call(count: int) -> list[tuple[Call, Ear]]:
        phones = [await bed.phone(f"55522{number:02}") for number in range(count)]
        lines = await asyncio.gather(*(bed.dial(("7000", "7001")[n % 2], one) for n, one in enumerate(phones)))
        await asyncio.gather(*(hearing.utterance() for _, hearing in lines))
        return list(lines)

    return call


@pytest.fixture
def guests(bed: Bed) -> Any:
    """``await guests(model, {"7000 asks": scenario})``: all call at once; a scenario is awaited with its Guest.

    The first word of a name is the number that is dialled. The agent's instructions must hold ``[{caller.number}]``.
    """

    async def one(model: SandboxServer, user: str, number: str, scenario: Callable[[Guest], Awaitable[None]]) -> None:
        call, hearing = await bed.dial(number, await bed.phone(user))
        started = await bed.log.wait("call.started", caller=user)
        told = (session for session in model.sessions if f"[{user}]" in session.settings["instructions"])
        await scenario(Guest(call, hearing, next(told), started["call"], bed.log))

    async def invite(model: SandboxServer, scenarios: dict[str, Callable[[Guest], Awaitable[None]]]) -> None:
        async with asyncio.TaskGroup() as group:
            for number, (name, scenario) in enumerate(scenarios.items(), start=1):
                group.create_task(one(model, f"555{number:04}", name.split()[0], scenario), name=name)

    return invite


# -- the site's own web server -----------------------------------------------------------------------------------------

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Site:
    """A real server on loopback for HTTP tools and lookups. ``answers[path]`` is what it does there."""

    url: str = ""
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Method, and path with query, of each request."""
    given_up: list[str] = field(default_factory=list)
    """Paths of requests whose client went away before the answer."""
    over: asyncio.Event = field(default_factory=asyncio.Event)
    """The test is over: nothing needs to wait any longer."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.method, request.path_qs))
        if (answer := self.answers.get(request.path)) is None:
            return web.json_response({"error": "no such page"}, status=404)
        try:
            return await answer(request)
        except asyncio.CancelledError:
            self.given_up.append(request.path)
            raise

    def says(self, path: str, body: Any, *, status: int = 200, after_s: float = 0.0) -> None:
        """Answer this path with JSON."""

        async def answer(request: web.Request) -> web.Response:
            if after_s:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.over.wait(), after_s)
            return web.json_response(body, status=status)

        self.answers[path] = answer


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """A running ``Site`` without any answers yet."""
    found = Site()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", found.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.2, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield found
    found.over.set()
    await runner.cleanup()


@pytest.fixture
def outbound() -> dict[str, Any]:
    """Settings by which the site may be reached."""
    return {"allowed_hosts": ["127.0.0.1"], "private": ["127.0.0.0/8"]}

"""The parts of the bench and every budget.

Real SIP and RTP on a real Asterisk; the model is the sandbox, mostly without its ears (``reflex``: it answers the
first loud frame at once). Everything runs on one machine, so figures are differences and ratios within one
run: the round trip is less that of a bare AudioSocket echo behind the same Asterisk.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ariagent.caller.noise import Kind
from ariagent.errors import AriagentError
from lab import (
    attackbench,
    attackers,
    benchanswers,
    benchtakeover,
    environment,
    handoffbench,
    hostilemodel,
    noisebench,
    turnparts,
    waiting,
)
from lab.asterisk import AsteriskInstance
from lab.benchcalls import (
    AGENT,
    BURST_GAP_S,
    PATIENCE_S,
    barge_in,
    burst_round_trips,
    calls_up,
    decisions_sent,
    echo_server,
    first_words,
    opening_heard,
    reply_heard,
    spacing_of_replies,
)
from lab.benchrows import Row

EXTENSIONS = ("7001", "7000")
"""The agent directly, and through a queue."""
FEW, SOME, MANY = 4, 20, 50
ROUND_TRIPS = 40
PHASES = 8
ROUND_TRIPS_MANY = 5
CPU_WINDOW_S = 10.0
OVERLOAD_LIMIT_S = 30.0
SPEEDS = (1, 3, 10)
SLOW_MODEL_MS = 600
DECISION_SPEEDS = (0, 6, 1)
"""0: replies are generated all at once, after which the server has nothing to say until the caller's turn ends."""
BARGE_IN_MS = 25
"""From the model's decision that the caller interrupts to the last loud frame."""
QUESTIONS = 12
"""For each caller of the part ``answers``."""
KILLED = 10
"""Calls under the service that is killed."""


@dataclass(slots=True)
class Bench:
    """The Asterisk that everything is measured on, and where files go."""

    asterisk: AsteriskInstance
    directory: Path
    rows: list[Row] = field(default_factory=list)

    def say(self, doing: str) -> None:
        """Tell what is being done; the rows that come of it follow."""
        print(f"     {doing} ...", flush=True)  # noqa: T201

    def skip(self, what: str, why: str) -> None:
        """Tell what is not measured, and why."""
        print(f"skip {what}: {why}", flush=True)  # noqa: T201

    def note(self, name: str, measured: float, budget: float, unit: str, **detail: Any) -> None:
        row = Row(name, round(float(measured), 3), budget, unit, detail)
        self.rows.append(row)
        print(row, flush=True)  # noqa: T201

    @asynccontextmanager
    async def service(self, *sandbox_options: str, **agent: Any) -> AsyncIterator[environment.Process]:
        """A fresh service on a fresh sandbox; ``agent`` has settings of the agent's."""
        agent = {**AGENT, **agent}
        async with AsyncExitStack() as stack:
            _, url = await stack.enter_async_context(environment.sandbox(self.directory, *sandbox_options))
            # The reflex answers before the turn has ended; its end would be taken for a turn that is not answered.
            realtime = {"url": url, "api_key": "bench", "stall_timeout_s": 120}
            settings = {"realtime": realtime, "agents": {"default": agent}, "max_calls": 100}
            yield await stack.enter_async_context(environment.service(self.asterisk, self.directory, settings))


@asynccontextmanager
async def taken(service: environment.Process, count: int) -> AsyncIterator[None]:
    """The ``count`` calls that are made inside must all be the agent's: hold music, too, is loud.

    Waits first until the service is not overloaded. Raises AriagentError if calls went elsewhere.
    """
    with suppress(TimeoutError):
        await waiting.until(lambda: not overloaded(service.log), limit_s=OVERLOAD_LIMIT_S)
    before = agents_calls(service.log)
    yield
    if (found := agents_calls(service.log) - before) < count:
        raise AriagentError(f"the agent took {found} of {count} calls", remedy="Use a machine that does nothing else.")


def agents_calls(log: str) -> int:
    """How many calls the agent has taken, by the service's log."""
    return sum(line.split()[2:3] == ["call.started"] and " agent=default " in line for line in log.splitlines())


def overloaded(log: str) -> bool:
    """Whether the service turns calls away because its event loop is late, by its log."""
    names = [name for line in log.splitlines() for name in line.split()[2:3] if name.startswith("service.overload")]
    return names[-1:] == ["service.overloaded"]


REFLEX = ("--detector", "reflex", "--no-recogniser", "--think-ms", "0", "--voice", "tone")


async def round_trips(bench: Bench) -> None:
    """The time that the service adds between the first loud RTP frame in and out; CPU and memory of many calls."""
    base: dict[int, float] = {}
    async with echo_server(bench.asterisk) as extension:
        for count, rounds in ((1, ROUND_TRIPS), (SOME, ROUND_TRIPS_MANY), (MANY, ROUND_TRIPS_MANY)):
            bench.say(f"round trips of a bare AudioSocket echo, {count} at once")
            base[count] = float(np.median(await burst_round_trips(bench.asterisk, extension, count, rounds)))
    shown = ", ".join(f"{trip:.2f} ms with {count}" for count, trip in base.items())
    print(f"     bare AudioSocket echo: {shown}", flush=True)  # noqa: T201
    # Machine detection is part of a call's cost. Bursts this short are no machine to it.
    async with bench.service(*REFLEX, machines="end") as service:
        for extension in EXTENSIONS:
            bench.say(f"{ROUND_TRIPS} round trips to {extension}, one call after another")
            # Call after call: within one, the caller's 20 ms raster and ours lie to each other as luck will have it.
            async with taken(service, PHASES):
                one = [
                    trip
                    for _ in range(PHASES)
                    for trip in await burst_round_trips(bench.asterisk, extension, 1, ROUND_TRIPS // PHASES)
                ]
            p50, p95 = np.percentile(one, [50, 95]) - base[1]
            bench.note(f"round trip added, 1 call, p50 ({extension})", p50, 6, "ms", echo_ms=base[1])
            bench.note(f"round trip added, 1 call, p95 ({extension})", p95, 12, "ms")
        for extension in EXTENSIONS:
            # The larger number first: memory that fewer calls have left free would hide what an extra call takes.
            grown_mb = await many_calls(bench, service, extension, MANY, 30, base[MANY])
            bench.note(f"memory per extra call ({extension})", grown_mb / MANY, 1, "MB")
            await many_calls(bench, service, extension, SOME, 15, base[SOME])


async def many_calls(
    bench: Bench, service: environment.Process, extension: str, count: int, budget_ms: float, base_ms: float
) -> float:
    """Delay and CPU with many calls that talk, 400 ms of the agent every 1.2 s; returns what memory has grown by (MB).

    ``budget_ms`` is that of the round trip's p95.
    """
    bench.say(f"{count} calls to {extension} at once, their round trips and CPU for {CPU_WINDOW_S:g} s")
    usage = {"mb": -service.rss_mb()}

    async def window() -> None:
        usage["service"] = -service.cpu_s()
        usage["asterisk"] = -environment.cpu_seconds(bench.asterisk.pid)
        await asyncio.sleep(CPU_WINDOW_S)
        usage["service"] += service.cpu_s()
        usage["asterisk"] += environment.cpu_seconds(bench.asterisk.pid)
        usage["mb"] += service.rss_mb()

    # The rounds last longer than the window, so that it sees only calls in progress.
    rounds = max(ROUND_TRIPS_MANY, int(CPU_WINDOW_S / BURST_GAP_S) + 2)
    async with taken(service, count):
        trips = await burst_round_trips(bench.asterisk, extension, count, rounds, meanwhile=window)
    p95 = np.percentile(trips, 95) - base_ms
    unanswered = sum(trip >= 1000 * PATIENCE_S for trip in trips)
    p50 = np.median(trips) - base_ms
    bench.note(
        f"round trip added, {count} calls, p95 ({extension})", p95, budget_ms, "ms", p50=p50, unanswered=unanswered
    )
    share = 100 / CPU_WINDOW_S / count
    bench.note(
        f"CPU per call, service / Asterisk, {count} calls ({extension})",
        usage["service"] / usage["asterisk"],
        0.8,
        "x",
        service_percent_of_a_core=usage["service"] * share,
        asterisk_percent_of_a_core=usage["asterisk"] * share,
    )
    return usage["mb"]


async def opening(bench: Bench) -> None:
    """INVITE to 200, and to the first voice of the opening; with a model that is slow to connect, 200 to that."""
    async with bench.service(*REFLEX, opening="Good day.") as _:
        for extension in EXTENSIONS:
            bench.say(f"12 calls to {extension}, until they hear the opening")
            answers, voices = [], []
            for _ in range(12):
                async with calls_up(bench.asterisk, extension, 1) as [call]:
                    answers.append(1000 * (call.answered_at - call.invited_at))
                    voice = await call.bell.wait_loud(call.invited_at)
                    voices.append(1000 * (voice - call.invited_at))
            # The first call of a process loads code that the others find loaded.
            median_answer, median_voice = float(np.median(answers)), float(np.median(voices))
            bench.note(f"INVITE -> 200, median ({extension})", median_answer, 20, "ms", worst=max(answers))
            bench.note(f"INVITE -> first voice, median ({extension})", median_voice, 50, "ms", worst=max(voices))
    async with bench.service(*REFLEX, "--fault", f"late_created:{SLOW_MODEL_MS}", opening="Good day.") as _:
        for extension in EXTENSIONS:
            bench.say(f"6 calls to {extension} while the model takes {SLOW_MODEL_MS} ms to open a session")
            waits, answers = [], []
            for _ in range(6):
                async with calls_up(bench.asterisk, extension, 1) as [call]:
                    answers.append(1000 * (call.answered_at - call.invited_at))
                    waits.append(1000 * (await call.bell.wait_loud(call.invited_at) - call.answered_at))
            name = f"200 -> first voice, a model that needs {SLOW_MODEL_MS} ms, median ({extension})"
            bench.note(name, float(np.median(waits)), 100, "ms", worst=max(waits), invite_to_200=np.median(answers))
    for extension in EXTENSIONS:
        bench.say(f"3 openings of {extension}, compared with what was rendered")
        off = await opening_heard(bench.asterisk, bench.directory, extension)
        bench.note(f"opening: not heard as it was rendered, worst of {len(off)} ({extension})", max(off), 0, "ms")


async def spacing(bench: Bench) -> None:
    """Frame spacing and continuity of long replies, on few calls and on many."""
    async with bench.service(*REFLEX, "--reflex-ms", "8000") as service:
        for extension in EXTENSIONS:
            bench.say(f"replies of 8 s to {FEW} calls to {extension}")
            async with taken(service, FEW):
                few = await spacing_of_replies(bench.asterisk, extension, FEW, reply_s=8.0)
            where = f"{FEW} calls ({extension})"
            bench.note(f"frame spacing while speaking, p99, {where}", few["p99_ms"], 22, "ms", **few)
            bench.note(f"frame spacing while speaking, max, {where}", few["max_ms"], 30, "ms")
            _note_continuity(bench, few, where)
        bench.say(f"replies of 8 s to {MANY} calls to 7001")
        async with taken(service, MANY):
            many = await spacing_of_replies(bench.asterisk, "7001", MANY, reply_s=8.0)
    bench.note(f"frame spacing while speaking, p99, {MANY} calls", many["p99_ms"], 25, "ms", **many)
    worst = max(abs(many["p0.5_ms"] - 20), abs(many["p99.5_ms"] - 20))
    bench.note(f"frame spacing, {MANY} calls, 99 % within 20 +/- 5 ms", worst, 5, "ms")
    bench.note(f"frames bunched (closer than 5 ms), {MANY} calls, of 1000", many["bunched_permille"], 1, "")
    _note_continuity(bench, many, f"{MANY} calls")


def _note_continuity(bench: Bench, seen: dict[str, Any], where: str) -> None:
    bench.note(f"frames lost, {where}", seen["lost"], 0, "")
    bench.note(f"jumps in the signal, {where}", seen["jumps"], 0, "")


async def interruption(bench: Bench) -> None:
    """Barge-in delay and truncation, judged by what the phone received."""
    for extension in EXTENSIONS:
        bench.say(f"8 interruptions of {extension}")
        seen = await barge_in(bench.asterisk, bench.directory, extension, rounds=8)
        stopped, off = seen["stopped_ms"], seen["off_ms"]
        name = f"barge-in: speech_started -> last loud frame, worst ({extension})"
        bench.note(name, max(stopped), BARGE_IN_MS, "ms", median=np.median(stopped), **seen)
        bench.note(f"truncation: audio_end_ms against what was received, worst ({extension})", max(off), 40, "ms")
    for extension in EXTENSIONS:
        for speed in DECISION_SPEEDS:
            bench.say(f"interruptions and noises on 3 calls to {extension}, generation speed {speed}")
            seen = await decisions_sent(bench.asterisk, bench.directory, extension, speed, count=3)
            for what in ("interrupted", "dismissed"):
                late = seen[f"{what}_ms"]
                name = f"{what}: decided -> model told, generation speed {speed}, worst"
                bench.note(f"{name} ({extension})", max(late), 5, "ms", median=np.median(late), of=len(late))


async def answers(bench: Bench) -> None:
    """The true end of the caller's speech -> the answer, both at the phone; the model hears, and takes 250 ms."""
    async with benchanswers.opened(bench.asterisk, bench.directory) as service:
        for extension in EXTENSIONS:
            bench.say(f"{QUESTIONS} questions of each of {benchanswers.AT_ONCE} callers to {extension}")
            logged = len(service.log)
            async with taken(service, benchanswers.AT_ONCE):
                seen = await benchanswers.answers(bench.asterisk, extension, QUESTIONS)
            p50, p80 = np.percentile(seen.waits_ms, [50, 80])
            name = f"end of speech -> answer heard, model of {benchanswers.THINK_MS} ms"
            detail = {"of": len(seen.waits_ms), "unanswered": seen.unanswered, "worst": max(seen.waits_ms)}
            service_says = benchanswers.parts_ms(service.log, logged)
            bench.note(f"{name}, p50 ({extension})", p50, 480, "ms", **detail, service_says=service_says)
            bench.note(f"{name}, p80 ({extension})", p80, 520, "ms")


async def takeover(bench: Bench) -> None:
    """The service is killed (SIGKILL) under ten calls and started again: the calls that continue, and the time until
    callers hear again."""
    for asking, what in ((False, "callers wait"), (True, "all are asking")):
        bench.say(f"kill -9 under {KILLED} calls to 7000 and 7001 while {what}")
        async with benchtakeover.killed(bench.asterisk, bench.directory, KILLED, asking=asking) as seen:
            name = f"kill -9 under {KILLED} calls, {what}"
            took_s = seen.accepting_at - seen.killed_at
            bench.note(f"{name}: calls that did not continue", seen.lost, 0, "", remembered=sum(seen.remembered))
            bench.note(f"{name}: longest until the next word", seen.longest_s, 2.2, "s", until_accepting_s=took_s)


async def words(bench: Bench) -> None:
    """The caller's first words, spoken right at the answer while the opening plays."""
    for extension in EXTENSIONS:
        bench.say(f"a caller who speaks right at the answer of {extension}")
        missing = await first_words(bench.asterisk, bench.directory, extension)
        bench.note(f"caller's first words that did not reach the model ({extension})", missing, 0, "ms")


async def speeds(bench: Bench) -> None:
    """Replies generated at different speeds are heard whole."""
    for speed in SPEEDS:
        async with bench.service(*REFLEX, "--reflex-ms", "3000", "--generation-speed", str(speed)) as _:
            bench.say(f"a reply of 3 s, generated at {speed}x")
            missing = await reply_heard(bench.asterisk, "7001", 3.0)
            bench.note(f"a reply of 3 s generated at {speed}x: not heard, or heard late", missing, 40, "ms")


NOISE_CALLERS, NOISE_ROUNDS = 10, 5


async def noise(bench: Bench) -> None:
    """Sounds that cut the agent off although they should not, and callers who should; see ``lab.noisebench``."""
    longest: list[float] = []
    kinds: tuple[Kind, ...] = ("babble", "street", "cough")
    for kind in kinds:
        # Without a recogniser: that of so many calls would take all of the machine.
        async with noisebench.opened(bench.asterisk, bench.directory, recogniser=False) as calls:
            sound = await calls.noise(kind, 10.0)
            bench.say(f"{NOISE_CALLERS} callers amid {kind} listen to {NOISE_ROUNDS} replies each")
            seen = await calls.replies(sound, count=NOISE_CALLERS, rounds=NOISE_ROUNDS)
        _note_replies(bench, f"{kind} 10 dB", seen)
        longest += seen.longest_gap_ms
    async with noisebench.opened(bench.asterisk, bench.directory, recogniser=False) as calls:
        sound = await calls.noise("babble", 10.0)
        bench.say(f"{NOISE_CALLERS} callers amid babble, who press keys, listen to {NOISE_ROUNDS} replies each")
        seen = await calls.replies(sound, count=NOISE_CALLERS, rounds=NOISE_ROUNDS, by_key=True)
        _note_replies(bench, "babble, caller unknown", seen)
    bench.note("longest silence inside a reply amid noise", max(longest) / 1000, 1, "s")
    places: tuple[Kind | None, ...] = (None, "street", "babble")
    for where in places:
        # Amid noise without a recogniser: looking for words in it, it stops this process, phones and all, for 0.2 s.
        async with noisebench.opened(bench.asterisk, bench.directory, recogniser=where is None) as calls:
            around = None if where is None else await calls.noise(where, 10.0)
            bench.say(f"3 callers interrupt {'in the quiet' if where is None else f'amid {where}'}")
            cuts = await calls.interruptions(around, noisebench.LONG, count=3)
        _note_interruptions(bench, "" if where is None else f", {where} 10 dB", cuts)


def _note_interruptions(bench: Bench, amid: str, cuts: list[noisebench.Cut]) -> None:
    told = [cut.stopped_ms for cut in cuts if cut.stopped_ms is not None]
    stopped = max(told, default=float("inf"))
    name = "a caller interrupts: speech_started -> last loud frame, worst"
    bench.note(name + amid, stopped, BARGE_IN_MS, "ms", told=len(told), of=len(cuts))
    silent = max(cut.silent_ms for cut in cuts)
    bench.note(f"a caller interrupts: first sound -> last loud frame, worst{amid}", silent, 200, "ms")
    missed = sum(not cut.confirmed for cut in cuts)
    bench.note(f"a caller interrupts: not taken for it, of {len(cuts)}{amid}", missed, 0, "")


def _note_replies(bench: Bench, where: str, seen: noisebench.Replies) -> None:
    """Both rows are needed: a reply that never came cannot be cut off."""
    of_all = NOISE_CALLERS * NOISE_ROUNDS
    bench.note(f"false interruptions in {of_all} replies, {where}", seen.cut, 1, "", sounds=seen.sounds)
    unheard = of_all - seen.whole
    bench.note(
        f"questions of {of_all} without a whole reply, {where}",
        unheard,
        1,
        "",
        missing=seen.missing,
        unasked=seen.unasked,
        again=seen.again,
    )


HANDOFFS = 3


async def handoff(bench: Bench) -> None:
    """The agent's last word -> the music of the queue, or the ringing tone of the extension, that the caller hears."""
    async with handoffbench.opened(bench.asterisk, bench.directory):
        for place, sound in (("queue", "music"), ("briefed", "music, briefed"), ("extension", "ringing")):
            for extension in EXTENSIONS:
                bench.say(f"{HANDOFFS * handoffbench.AT_ONCE} transfers of {extension} to the {place}")
                gaps = await handoffbench.silences(bench.asterisk, extension, place, HANDOFFS)
                name = f"hand-off: end of the sentence -> {sound}, worst of {len(gaps)} ({extension})"
                bench.note(name, max(gaps), 300, "ms", median=np.median(gaps))


EXTRA_GAP_MS, EXTRA_MEMORY_MB, EXTRA_LOG_MB = 20.0, 32.0, 1.0


async def attacks(bench: Bench) -> None:
    """Hostile programs on every port, and every kind of hostile model's server, beside an ordinary call."""
    harms: list[attackbench.Harm] = []
    bench.say("attacks on every port, each beside a call")
    async for harm in attackbench.besieged(bench.asterisk, bench.directory, list(attackers.KINDS)):
        harms.append(harm)
        _note_harm(bench, "ports", harm)
    _note_growth(bench, "ports", harms)
    passed = sum(harm.detail["passed"] for harm in harms)
    bench.note("HTTP requests without a right token that were obeyed", passed, 0, "")
    bench.note("HTTP requests that were answered with 5xx", sum(harm.detail["failed"] for harm in harms), 0, "")
    harms = []
    bench.say("calls with a hostile model, each beside another call")
    for kind in hostilemodel.KINDS:
        harms.append(await attackbench.betrayed(bench.asterisk, bench.directory, kind))
        _note_harm(bench, "model", harms[-1])
    _note_growth(bench, "model", harms)


def _note_harm(bench: Bench, where: str, harm: attackbench.Harm) -> None:
    name = f"attack on {where}, {harm.kind}: longest gap beside it, over calm"
    bench.note(name, harm.extra_gap_ms, EXTRA_GAP_MS, "ms", **asdict(harm))


def _note_growth(bench: Bench, where: str, harms: list[attackbench.Harm]) -> None:
    for what, unit, limit in (("memory", "memory_mb", EXTRA_MEMORY_MB), ("log", "log_mb", EXTRA_LOG_MB)):
        worst = max(harms, key=lambda harm: float(getattr(harm, unit)))
        name = f"attacks on {where}: growth of the {what}, worst of {len(harms)} kinds"
        bench.note(name, getattr(worst, unit), limit, "MB", kind=worst.kind)


PARTS: dict[str, Callable[[Bench], Awaitable[None]]] = {
    "round_trips": round_trips,
    "opening": opening,
    "spacing": spacing,
    "interruption": interruption,
    "words": words,
    "speeds": speeds,
    "answers": answers,
    "turns": turnparts.turns,
    "takeover": takeover,
    "noise": noise,
    "handoff": handoff,
    "attacks": attacks,
}


def described(part: str) -> str:
    """One line that says what a part measures."""
    return (PARTS[part].__doc__ or "").strip().splitlines()[0]

"""``make demo``: a conversation through a real Asterisk, offline, with every turn measured and every promise checked.

Starts an Asterisk, the sandbox (a local Realtime server) and the service on free ports, calls 7000 (queue, seat,
service, model and back) with the synthetic caller, who finally is transferred to a human agent's SIP phone, and takes
everything down again.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import io
import json
import shlex
import shutil
import signal
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import aiohttp
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from ariagent import extras
from ariagent.audio.format import SLIN8
from ariagent.caller.caller import hold_call
from ariagent.caller.plan import CallPlan
from ariagent.caller.report import CallReport, Narrator
from ariagent.caller.script import load_script
from ariagent.caller.voice import Voice
from ariagent.config import AsteriskSettings, HttpSettings, Settings
from ariagent.errors import AriagentError, ConfigurationError
from ariagent.records import command
from ariagent.records.events import AgentTurn, CallerTurn
from ariagent.records.store import RecordsError, Store
from ariagent.synthesis.programs import fetched
from lab import environment
from lab.asterisk import AsteriskInstance
from lab.humanagent import Encounter, take_a_call
from lab.packages import default_lab_dir, ensure_asterisk, ensure_judge, ensure_tool, stderr_progress

SCRIPT = Path(__file__).parent / "scripts" / "demo.yaml"
EXTENSION = "7000"
FEWEST_TURNS = 4
P50_LIMIT_MS = 520.0
"""Budget of the answers to speech, as the caller hears them: silence, the model's 250 ms, and the way of both."""
EARLY_SILENCE_MS = 160
"""The sandbox counts it from about 90 ms after the caller's last loud frame (median of six questions), so that the
default of 200 ms would miss the budget."""
THINK_MS = 250
"""The sandbox's model takes this long."""
BUSY_MS = 60
"""If its answers take so much longer (mean), the machine is slow or busy."""
STOP_LIMIT_MS = 1500.0
"""An interrupted agent is silent by then: turn detection takes most of it, ours is a few tens."""
OPENING_LIMIT_MS = 300.0
"""It is rendered before the call, so it waits for nothing."""
WARM_LIMIT_S = 120.0
"""For the sandbox to synthesise its answers, the first time."""
END_LIMIT_S = 10.0
"""After the call, for the service and Asterisk to have cleared up."""
TAIL_LINES = 15
MOST_ROWS = 20
"""Rows of queue_log that are shown; a call as it should be has three."""

STATE = "service-state"
"""Where ``environment.service`` keeps its records, under the demo's folder."""

WITHOUT_JUDGE = "So the model's server decides when the caller has finished, and answers come later"
DESTINATIONS = {
    "support": {"queue": "support", "description": "the human agents of the workshop", "name_prefix": "AI: "}
}
GREETING = "Hello, Anna speaking, from the workshop. How can I help you with your bicycle?"
LIKE = 0.9
"""Correlation from which two sounds are the same one, after a telephone line."""


def agent(*, has_judge: bool) -> dict[str, object]:
    """Settings of the demo's agent. Only the end-of-turn judge makes its answers fast."""
    return {
        "instructions": "You answer the telephone of Harbour Cycles, a bicycle repair shop. Be friendly and brief.",
        "opening": "Hello, this is the automated assistant of Harbour Cycles. How can I help you?",
        "handoff": ["support"],
        "turns": "fast" if has_judge else "server",
        "fast_turns": {"early_silence_ms": EARLY_SILENCE_MS},
    }


@dataclass(frozen=True, slots=True)
class Check:
    """One promise, and whether it was kept."""

    name: str
    ok: bool
    detail: str = ""
    tried: bool = True
    """False: something was missing that the promise needs. Then it counts as kept."""

    def __str__(self) -> str:
        mark = "skip  " if not self.tried else "ok    " if self.ok else "FAILED"
        return f"{mark}  {self.name}{f': {self.detail}' if self.detail else ''}"


@dataclass(slots=True)
class Evidence:
    """Facts about the call, besides those that the caller noticed."""

    log: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """The service's events of the call: name and fields."""
    metrics: dict[str, float] = field(default_factory=dict)
    queue_log: list[str] = field(default_factory=list)
    met: Encounter = field(default_factory=Encounter)
    """The human agent to whom the caller was transferred."""
    has_judge: bool = True
    """The end-of-turn judge's model could be fetched."""
    channels_left: int = -1
    kept: list[tuple[str, str]] = field(default_factory=list)
    """The call in the service's records: each event's name, and its subject."""

    def events(self, name: str) -> list[dict[str, str]]:
        """The fields of every event of this name."""
        return [fields for event, fields in self.log if event == name]


def main(argv: Sequence[str] | None = None) -> int:
    """Hold the conversation; exit code 0 only if all of it went right."""
    parser = argparse.ArgumentParser(prog="demo", description="Hold a conversation through a real Asterisk.")
    parser.add_argument("--verbose", action="store_true", help="also print what a recogniser understood on the line")
    options = parser.parse_args(argv)
    lab_dir = default_lab_dir()
    with _alone(lab_dir / "demo.lock"):
        try:
            return asyncio.run(_until_told(lab_dir, verbose=options.verbose))
        except asyncio.CancelledError:
            stderr_progress("ended by a signal; everything was stopped")
            return 130


async def _until_told(lab_dir: Path, *, verbose: bool) -> int:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await _demo(lab_dir, verbose=verbose)


async def _demo(lab_dir: Path, *, verbose: bool) -> int:
    program = await asyncio.to_thread(ensure_asterisk, lab_dir)
    await asyncio.to_thread(ensure_tool, "flite", lab_dir)
    has_judge = await asyncio.to_thread(partial(ensure_judge, lab_dir, without=WITHOUT_JUDGE))
    extras.demand("rehearsal", "make demo")
    folder = lab_dir / "demo"
    shutil.rmtree(folder, ignore_errors=True)
    began = time.monotonic()
    logs = {
        "Asterisk": folder / "asterisk" / "log" / "messages.log",
        "sandbox": folder / "sandbox.log",
        "service": folder / "service.log",
    }
    async with AsyncExitStack() as parts:
        try:
            asterisk = await parts.enter_async_context(AsteriskInstance(program, folder / "asterisk"))
            stderr_progress(f"Asterisk {program.version} is up")
            options = ("--think-ms", str(THINK_MS), "--cache-dir", str(lab_dir / "speech"))
            model, url = await parts.enter_async_context(environment.sandbox(folder, *options))
            stderr_progress("the sandbox, a local stand-in for the Realtime API, is up")
            settings = {
                "realtime": {"url": url, "api_key": "sandbox"},
                "agents": {"default": agent(has_judge=has_judge)},
                "destinations": DESTINATIONS,
            }
            service = await parts.enter_async_context(environment.service(asterisk, folder, settings))
            # Its answers are there before the call: synthesis must not show up as the model's time.
            await model.wait_for("sandbox.warmed_up", WARM_LIMIT_S)
            stderr_progress(f"the service is up; set up in {time.monotonic() - began:.1f} s")
            report, met = await _converse(asterisk, lab_dir, folder, verbose=verbose)
            evidence = await _gather(asterisk, service, report, folder)
            evidence.met, evidence.has_judge = met, has_judge
        except AriagentError as error:
            _write(f"\nFAILED: {error.line}\n")
            _show_logs(logs)
            return 1
    _show_records(folder, report.channel)
    return _conclude(report, evidence, logs, lab_dir / "demo.json")


async def _converse(
    asterisk: AsteriskInstance, lab_dir: Path, folder: Path, *, verbose: bool
) -> tuple[CallReport, Encounter]:
    settings = Settings(
        asterisk=AsteriskSettings(
            url=asterisk.ari_url, user=asterisk.ari_user, password=SecretStr(asterisk.ari_password)
        ),
        http=HttpSettings(port=0),
        state_directory=folder / STATE,
    )
    plan = CallPlan(
        EXTENSION,
        load_script(SCRIPT),
        find=fetched,
        speech_dir=lab_dir / "speech",
        guess=verbose,
        shows_guesses=verbose,
    )
    voice = Voice(ensure_tool("flite", lab_dir), "slt", SLIN8, lab_dir / "speech")
    await voice.say(GREETING)
    _write(
        f"\nA caller dials {EXTENSION}: dialplan, queue, AI seat, service, model, and back; then a human agent.\n"
        "Latency is from the last sound of the caller to the first of the answer. A small recogniser listens on the\n"
        "line, too, and checks that the words arrive; --verbose prints what it understood.\n\n"
    )
    narrator = Narrator(lambda line: _write(line + "\n"))
    narrator.begin()
    human_agent = asyncio.ensure_future(
        take_a_call(
            asterisk,
            folder / STATE / "announcements",
            voice,
            GREETING,
            lambda line: _write(f"    ---- {line}\n"),
            guess=verbose,
        )
    )
    try:
        report = await hold_call(settings, plan, narrator)
        await asyncio.wait([human_agent], timeout=END_LIMIT_S)
    finally:
        if not human_agent.done():
            human_agent.cancel()
            await asyncio.wait([human_agent])
    return report, Encounter(failed="nobody was called") if human_agent.cancelled() else human_agent.result()


# -- what the others noticed ----------------------------------------------------------------------


async def _gather(
    asterisk: AsteriskInstance, service: environment.Process, report: CallReport, folder: Path
) -> Evidence:
    """Wait until the call is over for everybody, then read what they wrote down."""
    found = Evidence()
    deadline = time.monotonic() + END_LIMIT_S
    while True:
        found.log = list(service_events(service.log, report.channel))
        found.channels_left = active_channels(await asterisk.cli("core show channels count"))
        found.kept = await asyncio.to_thread(_kept, folder, report.channel)
        over = found.events("call.ended") and ("call.ended", "") in found.kept and not found.channels_left
        if over or time.monotonic() > deadline:
            break
        await asyncio.sleep(0.1)
    found.metrics = await _metrics(service)
    found.queue_log = ["|".join(row) for row in asterisk.queue_rows(f"{report.channel};2")]
    return found


def _kept(folder: Path, call_id: str) -> list[tuple[str, str]]:
    """Name and words of each event that the service recorded of the call."""
    store = Store(folder / STATE)
    try:
        events = store.events(store.find(call_id))
    except RecordsError:
        return []
    return [
        (row.name, (row.event.said or "") if isinstance(row.event, CallerTurn | AgentTurn) else "") for row in events
    ]


def _show_records(folder: Path, call_id: str) -> None:
    """Print the call as ``ariagent calls`` shows it."""
    settings, page = folder / "service.yaml", folder / "call.html"
    _write(f"\nThe same call in the service's records: ariagent calls -c {settings} {call_id}\n")
    try:
        command.show(settings, call_id, command.Wanted())
        with contextlib.redirect_stdout(io.StringIO()):
            command.show(settings, call_id, command.Wanted(html=page))
        _write(f"As a page with both voices drawn: {page}\n")
    except AriagentError as error:
        _write(f"{error.line}\n")  # the check below says so, too


def service_events(log: str, call_id: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Name and fields of each of one call's events in the service's text log."""
    for line in log.splitlines():
        words = line.split(" ", 3)
        if len(words) < 4:
            continue
        try:
            fields = dict(word.partition("=")[::2] for word in shlex.split(words[3]))
        except ValueError:
            continue  # no event of ours: a traceback, a warning of Python's
        if fields.get("call") == call_id:
            yield words[2], fields


def active_channels(output: str) -> int:
    """The number in ``core show channels count``; -1 when there is none."""
    words = output.split()
    return int(words[0]) if len(words) > 1 and words[1] == "active" and words[0].isdigit() else -1


async def _metrics(service: environment.Process) -> dict[str, float]:
    """The service's own samples, by name and labels as ``/metrics`` has them."""
    starting = await service.wait_for("service.starting")
    port = dict(word.partition("=")[::2] for word in starting.split())["http_port"]
    timeout = aiohttp.ClientTimeout(total=5)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.get(f"http://127.0.0.1:{port}/metrics") as answer,
    ):
        text = await answer.text()
    return samples(text)


def samples(text: str) -> dict[str, float]:
    """``name{label="value"}`` -> value for every sample whose name begins with ``ariagent_``, buckets left out."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name.startswith("ariagent_") and not sample.name.endswith(("_bucket", "_created")):
                labels = ",".join(f'{key}="{value}"' for key, value in sample.labels.items())
                found[sample.name + (f"{{{labels}}}" if labels else "")] = sample.value
    return found


# -- the verdict ----------------------------------------------------------------------------------


def judge(report: CallReport, evidence: Evidence) -> list[Check]:
    """Every promise of the demo."""
    opening = next((turn.latency_ms for turn in report.turns if turn.after == "answer"), None)
    words = Counter(name for name, said in evidence.kept if said)
    answers = [turn for turn in report.turns if turn.who == "agent" and turn.text]
    stopped = [interruption.stopped_after_ms for interruption in report.interruptions]
    cut_off = [fields for fields in evidence.events("turn.interrupted") if float(fields.get("heard_ms", 0)) > 0]
    pressed = [fields["said"] for fields in evidence.events("turn.agent") if "pressed two" in fields.get("said", "")]
    ended = evidence.events("call.ended")
    ends = Counter(f"{fields.get('result')} ({fields.get('reason')})" for fields in ended)
    done = sum(value for name, value in evidence.metrics.items() if name.startswith("ariagent_calls_total{"))
    rows = [row.split("|")[2:5] for row in evidence.queue_log]
    met = evidence.met
    return [
        Check("the call was answered", report.answered_after_ms is not None, _ms(report.answered_after_ms)),
        Check(
            f"the opening began within {OPENING_LIMIT_MS:.0f} ms of the answer",
            opening is not None and opening <= OPENING_LIMIT_MS,
            _ms(opening),
        ),
        Check(f"at least {FEWEST_TURNS} answers", len(answers) >= FEWEST_TURNS, str(len(answers))),
        _soon(report, evidence),
        Check(
            "every step went as expected, every answer had its words",
            report.outcome == "ok",
            "; ".join(f"{failure.step}: {failure.cause}" for failure in report.failures),
        ),
        Check(
            f"the interrupted agent stopped within {STOP_LIMIT_MS:.0f} ms",
            bool(stopped) and max(stopped) <= STOP_LIMIT_MS,
            ", ".join(map(_ms, stopped)),
        ),
        Check(
            "the service cut the model's memory where the caller stopped hearing",
            bool(cut_off),
            ", ".join(f"heard {fields['heard_ms']} ms, dropped {fields['dropped_ms']} ms" for fields in cut_off),
        ),
        Check(
            "the pressed key reached the model", bool(evidence.events("call.digits") and pressed), "".join(pressed[:1])
        ),
        Check(
            "the call ended once, as it should",
            len(ended) == 1 and ended[0].get("result") == "transferred" and done == 1,
            ", ".join(end if count == 1 else f"{count} times {end}" for end, count in ends.items()),
        ),
        Check(
            "a human agent's phone rang and showed what it is about",
            bool(met.summary_shown) and "AI:" in met.shown,
            met.failed or met.summary_shown,
        ),
        Check(
            "the human agent heard the whole summary before the caller",
            met.likeness >= LIKE,
            f"{met.heard_s:.1f} s, likeness {met.likeness:.2f}",
        ),
        Check("and talked with the caller", met.caller_heard_s > 0, f"{met.caller_heard_s:.1f} s of the caller heard"),
        Check(
            "the queues counted it as a human agent's transfer, under one call id",
            ["frontline", "AI Agent", "BLINDTRANSFER"] in rows
            and any(row[0] == "support" and row[2].startswith("COMPLETE") for row in rows),
        ),
        Check(
            "the call was recorded, with the words of both",
            ("call.ended", "") in evidence.kept and min(words["turn.caller"], words["turn.agent"]) >= FEWEST_TURNS,
            f"{words['turn.caller']} turns of the caller, {words['turn.agent']} of the agent",
        ),
        Check("no channel is left in Asterisk", evidence.channels_left == 0, f"{evidence.channels_left}"),
    ]


def _soon(report: CallReport, evidence: Evidence) -> Check:
    """The promise of answers within half a second."""
    p50 = _spread(report.latencies_ms).get("p50")
    kept = p50 is not None and p50 <= P50_LIMIT_MS
    details = [f"p50 {_ms(p50)}"]
    if not evidence.has_judge:
        details.append("there is no end-of-turn judge")
    elif not kept:
        model_ms = parts_ms(evidence.metrics)["model"] or 0.0
        if model_ms > THINK_MS + BUSY_MS:
            details.append(f"the model took {model_ms:.0f} ms (mean), not {THINK_MS}: this machine is slow or busy")
        details.append(judgements(evidence.metrics))
    name = f"half of the answers began within {P50_LIMIT_MS:.0f} ms"
    return Check(name, kept or not evidence.has_judge, "; ".join(details), tried=evidence.has_judge)


def _conclude(report: CallReport, evidence: Evidence, logs: Mapping[str, Path], out: Path) -> int:
    checks = judge(report, evidence)
    ok = all(check.ok for check in checks)
    _write("\n" + "\n".join(table(report, evidence)) + "\n\nqueue_log of the call\n")
    shown, more = evidence.queue_log[:MOST_ROWS], len(evidence.queue_log) - MOST_ROWS
    _write("".join(f"  {row}\n" for row in shown) + (f"  ... and {more} more\n" if more > 0 else "") + "\n")
    _write("".join(f"{check}\n" for check in checks))
    document = {
        "ok": ok,
        "checks": [asdict(check) for check in checks],
        **report.document(),
        "latency_ms": {
            **_spread(report.latencies_ms),
            "p50_budget": P50_LIMIT_MS,
            "parts_mean": {part: value and round(value, 1) for part, value in parts_ms(evidence.metrics).items()},
        },
        "answers_held": held(evidence.metrics),
        "has_judge": evidence.has_judge,
        "metrics": evidence.metrics,
        "queue_log": evidence.queue_log,
        "person": asdict(evidence.met),
    }
    out.write_text(json.dumps(document, indent=1) + "\n")
    if not ok:
        _show_logs(logs)
    all_of_it = "All of it" if all(check.tried for check in checks) else "All that could be tried"
    _write(f"\n{f'{all_of_it} went right' if ok else 'Not all of it went right'}; details: {out}\n")
    return 0 if ok else 1


def table(report: CallReport, evidence: Evidence) -> list[str]:
    """The numbers of the call in a few lines."""
    heard, metrics = _spread(report.latencies_ms), evidence.metrics
    turns = int(total(metrics, "ariagent_response_seconds_count"))
    split = " + ".join(f"{part} {_ms(value)}" for part, value in parts_ms(metrics).items())
    kept, budget = held(metrics), f" of at most {_ms(P50_LIMIT_MS)}" if evidence.has_judge else ""
    calls = [
        f"{int(value)} {name.partition('{')[2].rstrip('}')}" for name, value in metrics.items() if "_calls_" in name
    ]
    by_caller = sum(turn.who == "caller" for turn in report.turns)
    return [
        f"turns               {by_caller} by the caller, {len(report.turns) - by_caller} by the agent, "
        f"in {report.duration_s:.0f} s",
        f"latency, heard      p50 {_ms(heard.get('p50'))}{budget}, longest {_ms(heard.get('max'))} "
        f"({len(report.latencies_ms)} answers to speech)",
        f"latency, measured   mean {_ms(mean_ms(metrics, 'ariagent_response_seconds'))} by the service "
        f"over {turns} turns = {split}",
        f"answers held        {kept['used']} played, {kept['discarded']} discarded; {judgements(metrics)}"
        if evidence.has_judge
        else "answers held        none, because there is no end-of-turn judge",
        f"interruption        silent {', '.join(_ms(each.stopped_after_ms) for each in report.interruptions) or '-'} "
        "after the caller began to speak",
        f"answered            {_ms(report.answered_after_ms)} after the call was placed",
        f"calls               {', '.join(call for call in calls if 'result=' in call) or '-'}",
    ]


def parts_ms(metrics: Mapping[str, float]) -> dict[str, float | None]:
    """The mean of each part of the answer delay, by the service's metrics. Their sum is the mean of the whole."""
    return {
        part: mean_ms(metrics, "ariagent_response_part_seconds", f'{{part="{part}"}}')
        for part in ("detection", "model", "held", "service")
    }


def held(metrics: Mapping[str, float]) -> dict[str, int]:
    """The number of answers that were held: those that the caller heard (``used``), and those that were discarded."""
    name = "ariagent_speculative_responses_total"
    return {outcome: int(total(metrics, name, f'{{outcome="{outcome}"}}')) for outcome in ("used", "discarded")}


def judgements(metrics: Mapping[str, float]) -> str:
    """How many of the requests to the end-of-turn judge were answered before the caller continued, and before the hold
    time was over."""
    name = "ariagent_turn_judgements_total"
    judged, asked = total(metrics, name, '{outcome="judged"}'), total(metrics, name)
    return f"the end-of-turn judge answered {judged:.0f} of {asked:.0f} requests in time"


def mean_ms(metrics: Mapping[str, float], name: str, labels: str = "") -> float | None:
    """The mean of a histogram in seconds, as milliseconds; None when it is empty. Without ``labels``: of all of it."""
    count, seconds = (total(metrics, f"{name}_{part}", labels) for part in ("count", "sum"))
    return 1000 * seconds / count if count else None


def total(metrics: Mapping[str, float], name: str, labels: str = "") -> float:
    """A sample, or without ``labels`` the sum of all samples of this name."""
    if labels:
        return metrics.get(f"{name}{labels}", 0.0)
    return sum(value for sample, value in metrics.items() if sample.partition("{")[0] == name)


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"p50": round(statistics.median(values), 1), "max": round(max(values), 1)} if values else {}


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms"


def _show_logs(logs: Mapping[str, Path]) -> None:
    for part, path in logs.items():
        lines = path.read_text(errors="replace").splitlines() if path.exists() else []
        # Asterisk's own account of every step is for the file; what it complains about is for here.
        lines = [line for line in lines if " VERBOSE[" not in line][-TAIL_LINES:]
        _write(f"\n{part}, {path}\n" + "".join(f"  {line}\n" for line in lines))


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """One demo at a time: they share a folder. Raises ConfigurationError when there is another."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError("another demo is running", remedy="Wait for it to end") from None
        yield


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()

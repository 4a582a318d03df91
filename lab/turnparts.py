"""The part ``turns`` of the bench: its runs, rows and budgets. ``turnbench`` measures."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ariagent.config import AgentSettings
from ariagent.turns import modelfile
from ariagent.turns.judge import Judge
from lab import turnbench
from lab.packages import default_lab_dir, ensure_judge, ensure_package
from lab.sentences import Paused, Sentence, sentences
from lab.turnbench import SERVER_SILENCE_MS, SERVER_TURNS, THINK_MS, Seen, fast_turns, opened, planned

if TYPE_CHECKING:
    from lab.benchparts import Bench

LANGUAGE = "en"
CALLERS, MANY = 20, 50
PLAIN = 200
"""Sentences without a pause: enough for the CPU, too."""
EACH = 100
"""Sentences with each length of a pause, and sentences of a run that measures response times alone."""
PAUSES_MS = (200, 300, 400, 500, 600, 700, 800, 1000, 1500)
HARMLESS_MS = 400
"""No answer may cut into a pause that is no longer."""
HARMLESS_SERVER_MS = 600
"""The limit if the server waits for ``SERVER_SILENCE_MS`` and the model thinks for ``THINK_MS``."""
EARLY_MS, EARLIER_MS = 200, 160
NETWORK_MS = 50
DETECTED_MS = 80
"""The server notices the silence so much late; with everything of ariagent's and Asterisk's."""
HOLD_SLACK_MS = 40
DISCARDED_PERCENT = 5.0
"""The share of answers to sentences without a pause that may be discarded."""
CPU_RATIO = 1.05
REQUESTS_S = {CALLERS: 4.0, MANY: 10.0}
"""Requests to the judge a second, by calls: each caller pauses every 5 s."""
LATE_PERCENT = {CALLERS: 5.0, MANY: 20.0}
CORE_PERCENT = 50.0
"""The share of one core that judgements may take."""
SATURATING_S = (15.0, 20.0, 30.0)
JUDGED_S = 8.0


async def turns(bench: "Bench") -> None:
    """Response time after human speech, and cut-ins into its pauses: ``turns: fast`` beside ``server``; the judge."""
    lab_dir = default_lab_dir()
    root = await asyncio.to_thread(ensure_package, f"asterisk-core-sounds-{LANGUAGE}-wav", lab_dir)
    has_judge = await asyncio.to_thread(ensure_judge, lab_dir)
    speech = sentences(root)
    plain, shorter = planned(speech, (0,), PLAIN), planned(speech, (0,), EACH)
    paused = planned(speech, PAUSES_MS, EACH)
    server = await _measured(bench, "server", SERVER_TURNS, plain, paused)
    far = await _measured(bench, "server", SERVER_TURNS, shorter, network_ms=NETWORK_MS)
    _note_server(bench, server, far)
    if not has_judge:
        bench.skip("the rows of `turns: fast` and of the judge", "the judge's model could not be fetched")
        return
    await _fast(bench, server, plain, shorter, paused)
    await _judge(bench, modelfile.in_lab(lab_dir), speech)


async def _fast(bench: "Bench", server: list[Seen], plain: Any, shorter: Any, paused: Any) -> None:
    name = f"fast, {EARLY_MS} ms"
    fast = await _measured(bench, name, fast_turns(EARLY_MS), plain, paused)
    _note_responses(bench, name, fast[0], (480, 520, _hold_ms() + HOLD_SLACK_MS))
    _note_cut_ins(bench, name, fast[1], HARMLESS_MS, server[1].cut_ins() - 1)
    _note_discarded(bench, name, fast)
    earlier_name = f"fast, {EARLIER_MS} ms"
    [earlier] = await _measured(bench, earlier_name, fast_turns(EARLIER_MS), shorter)
    _note_responses(bench, earlier_name, earlier, (450, 520, _hold_ms() + HOLD_SLACK_MS))
    [far] = await _measured(bench, name, fast_turns(EARLY_MS), shorter, network_ms=NETWORK_MS)
    budgets = (480 + 2 * NETWORK_MS, 520 + 2 * NETWORK_MS, _hold_ms() + HOLD_SLACK_MS + 2 * NETWORK_MS)
    _note_responses(bench, f"{name}, network {NETWORK_MS} ms", far, budgets)
    [alone] = await _measured(bench, f"{name}, without the judge", fast_turns(EARLY_MS), plain, judge=False)
    bench.note(
        "CPU of the service, fast without the judge / server",
        alone.service_cpu_s / server[0].service_cpu_s,
        CPU_RATIO,
        "x",
        fast_s=alone.service_cpu_s,
        server_s=server[0].service_cpu_s,
        lasted_s=(alone.lasted_s, server[0].lasted_s),
    )
    _note_core(bench, CALLERS, fast[0], alone)
    [many] = await _measured(bench, name, fast_turns(EARLY_MS), plain, callers=MANY)
    [many_alone] = await _measured(
        bench, f"{name}, without the judge", fast_turns(EARLY_MS), plain, callers=MANY, judge=False
    )
    _note_core(bench, MANY, many, many_alone)
    _note_longest(bench, name, many)


async def _measured(
    bench: "Bench",
    name: str,
    agent: dict[str, Any],
    *plans: list[Paused],
    network_ms: int = 0,
    judge: bool = True,
    callers: int = CALLERS,
) -> list[Seen]:
    """Play each of the plans to one service."""
    found = []
    directory = bench.directory / "turns"
    async with opened(bench.asterisk, directory, agent, network_ms=network_ms, judge=judge) as calls:
        for plan in plans:
            far = f", network {network_ms} ms" if network_ms else ""
            bench.say(f"{len(plan)} sentences of {callers} callers to 7001, {name}{far}")
            found.append(await calls.run(plan, callers))
            turnbench.check_machine(found[-1].service_says)
    return found


def _hold_ms() -> float:
    """The hold time of the measured language, as the settings have it by default."""
    return float(AgentSettings().hold_in(LANGUAGE).hold_ms)


def _note_server(bench: "Bench", near: list[Seen], far: list[Seen]) -> None:
    usual = SERVER_SILENCE_MS + THINK_MS + DETECTED_MS
    _note_responses(bench, "server", near[0], (usual, usual + 60, usual + 100))
    there = 2 * NETWORK_MS
    budgets = (usual + there, usual + there + 60, usual + there + 100)
    _note_responses(bench, f"server, network {NETWORK_MS} ms", far[0], budgets)
    longer = sum(pause_ms > HARMLESS_SERVER_MS for pause_ms in PAUSES_MS)
    _note_cut_ins(bench, "server", near[1], HARMLESS_SERVER_MS, longer * EACH)


def _note_responses(bench: "Bench", name: str, seen: Seen, budgets: tuple[float, float, float]) -> None:
    found = np.percentile(seen.responses_ms, [50, 80, 95])
    detail: dict[str, Any] = {
        "of": len(seen.turns),
        "unanswered": seen.unanswered,
        "cut_ins": seen.cut_ins(),
        "early": seen.early,
        "stray": seen.stray,
        "worst": max(seen.responses_ms),
        "service_says": seen.service_says,
        **seen.counts,
    }
    for percent, measured, budget in zip((50, 80, 95), found, budgets, strict=True):
        bench.note(f"end of human speech -> answer heard, p{percent} ({name})", measured, budget, "ms", **detail)
        detail = {}


def _note_cut_ins(bench: "Bench", name: str, seen: Seen, harmless_ms: int, in_sum: int) -> None:
    detail = {
        **seen.cut_ins_by_pause(),
        "early": seen.early,
        "stray": seen.stray,
        "unanswered": seen.unanswered,
        **seen.counts,
    }
    shorter = seen.cut_ins(longest_ms=harmless_ms)
    bench.note(f"cut-ins into pauses of up to {harmless_ms} ms ({name})", shorter, 0, "", **detail)
    bench.note(f"cut-ins into {len(seen.turns)} pauses of 200 to 1500 ms ({name})", seen.cut_ins(), in_sum, "")


def _note_discarded(bench: "Bench", name: str, seen: list[Seen]) -> None:
    plain, paused = seen
    what = f"answers discarded, sentences without a pause ({name})"
    bench.note(what, plain.discarded_percent, DISCARDED_PERCENT, "%", **plain.spent())
    tokens = f"tokens of discarded answers, sentences without a pause ({name})"
    bench.note(tokens, plain.discarded_tokens_percent, DISCARDED_PERCENT, "%", paused=paused.spent())


def _note_core(bench: "Bench", callers: int, judged: Seen, alone: Seen) -> None:
    """The judge's share of one core: the difference of two services that heard the same."""
    share = 100 * (judged.service_cpu_s / judged.lasted_s - alone.service_cpu_s / alone.lasted_s)
    late = judged.counts.get('turn_judgements_total{outcome="late"}', 0.0)
    bench.note(f"the judge's share of one core, {callers} calls", share, CORE_PERCENT, "%", late=late, **judged.counts)


def _note_longest(bench: "Bench", name: str, many: Seen) -> None:
    """Answers of many calls at once: also those that the judge has no time for come at the end of the hold time."""
    p50, p95 = np.percentile(many.responses_ms, [50, 95])
    what = f"end of human speech -> answer heard, p95 ({name}, {MANY} calls)"
    detail = {"p50": p50, "of": len(many.turns), "unanswered": many.unanswered, **many.counts}
    bench.note(what, p95, _hold_ms() + HOLD_SLACK_MS, "ms", **detail)


async def _judge(bench: "Bench", folder: Path, speech: list[Sentence]) -> None:
    """The judge without calls: requests that were late, by their number; what saturation does."""
    judge = await asyncio.to_thread(Judge.open, folder / modelfile.MODEL.name)
    heard = speech[0].samples.astype("<i2").tobytes()
    for callers, per_second in REQUESTS_S.items():
        bench.say(f"{per_second:g} requests a second to the judge, as of {callers} calls")
        load = await turnbench.loaded(judge, heard, per_second, seconds=JUDGED_S)
        detail = {"core_percent": load.core_percent, "median_ms": load.median_ms}
        name = f"judgements that were late, {per_second:g} requests a second"
        bench.note(f"{name} ({callers} calls)", load.late_percent, LATE_PERCENT[callers], "%", **detail)
    late: dict[str, float] = {}
    core: list[float] = []
    bench.say(
        f"{', '.join(f'{rate:g}' for rate in SATURATING_S)} requests a second to the judge, more than it can answer"
    )
    for per_second in SATURATING_S:
        load = await turnbench.loaded(judge, heard, per_second, seconds=JUDGED_S)
        late[f"{per_second:g} a second"] = load.late_percent
        core.append(load.core_percent)
    bench.note("share of one core of a judge that is saturated", max(core), CORE_PERCENT + 10, "%", late_percent=late)

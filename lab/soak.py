"""``make soak``: many calls hung up at random moments, and nothing may be left of them.

Real SIP and RTP on a private Asterisk; service and sandbox are processes of their own. The moments are drawn from a
seed: before the answer, at the answer, while the agent speaks, while the caller does, some seconds into the
conversation. The sandbox takes its time over a session, so that the moments before the answer are many.
"""

import argparse
import asyncio
import itertools
import logging
import random
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from lab import resourcetrend
from lab.call_setup import CallRefused
from lab.phone import Phone
from lab.soakstage import NOISE, SESSION_MS, Reading, Report, Soak, judge_rest, show, stage

EXTENSIONS = ("7000", "7001")
TALK_EVERY_S = 0.8
"""Silence between two sounds of the caller."""
SOUNDS_S = (0.3, 0.9)
"""Their lengths in turn: too short to end a reply that nobody could put into words, and long enough."""
IDLE_S = 12.0
"""After this long without a call most connections that are kept for the next request are closed, too."""
MAX_GROWTH_MB = 5.0


@dataclass(frozen=True, slots=True)
class Plan:
    """One caller's life: what is dialled, and how long after dialling it hangs up."""

    extension: str
    hang_up_s: float
    presses: str


def plans(count: int, longest_s: float, seed: int) -> list[Plan]:
    """``count`` callers, the same for the same seed: a third gives up before the answer or at it."""
    dice = random.Random(seed)
    made = []
    for number in range(count):
        early = dice.random() < 1 / 3
        hang_up_s = dice.uniform(0, 2 * SESSION_MS / 1000) if early else dice.uniform(0.3, longest_s)
        presses = dice.choice(("", "", "", "1", "4711#"))
        made.append(Plan(EXTENSIONS[number % len(EXTENSIONS)], hang_up_s, presses))
    return made


async def _call(phone: Phone, plan: Plan) -> str:
    """One caller's life; how it went, in a word."""
    call = await phone.dial(plan.extension)
    outcome = "given up before the answer"
    try:
        async with asyncio.timeout(plan.hang_up_s):
            await call.answered(60)
            outcome = "hung up after the answer"
            if plan.presses:
                await call.send_dtmf(plan.presses)
            for seconds in itertools.cycle(SOUNDS_S):
                await asyncio.sleep(TALK_EVERY_S / 2)
                await call.play(NOISE[: int(8000 * seconds)])
                await asyncio.sleep(TALK_EVERY_S / 2)
    except TimeoutError:
        pass
    except CallRefused as refusal:
        outcome = f"refused with {refusal.status}"
    finally:
        await call.hangup()
    return outcome


def judge(soak: Soak, before: Reading, after: Reading, left: list[str], expected: int) -> Report:
    """Compare with the reading after the warm-up."""
    report = judge_rest(soak, before, after, left, ordinary=("done",))
    growth = after.rss_mb - before.rss_mb
    memory = f"{after.rss_mb:.1f} MB, {growth:+.1f} MB since the warm-up"
    report.note(
        "resident memory",
        memory,
        ok=growth <= MAX_GROWTH_MB,
        wanted=f"at most +{MAX_GROWTH_MB:g} MB in {expected} calls",
    )
    return report


async def _calls(soak: Soak, planned: list[Plan], at_once: int) -> Counter[str]:
    """Make the calls; how they ended, as the phone saw it."""
    seen: Counter[str] = Counter()
    gate = asyncio.Semaphore(at_once)

    async def one(phone: Phone, plan: Plan) -> None:
        async with gate:
            seen[await _call(phone, plan)] += 1

    async with Phone((soak.asterisk.sip_host, soak.asterisk.sip_port), user="5551000") as phone:
        await asyncio.gather(*(one(phone, plan) for plan in planned))
    return seen


async def run(count: int, *, at_once: int, warm_up: int, longest_s: float, seed: int, idle_s: float = IDLE_S) -> Report:
    """``warm_up`` calls, a reading, ``count`` calls, another reading, and what differs."""
    with tempfile.TemporaryDirectory(prefix="ariagent-soak-") as scratch:
        async with stage(Path(scratch)) as soak:
            await _calls(soak, plans(warm_up, longest_s, seed), at_once)
            before = await soak.at_rest(idle_s)
            _say(f"after {warm_up} calls of warm-up: {show(before)}")
            loop = asyncio.get_running_loop()
            began = loop.time()
            seen = await _calls(soak, plans(count, longest_s, seed + 1), at_once)
            _say(f"{count} calls in {loop.time() - began:.0f} s: {dict(seen)}")
            after = await soak.at_rest(idle_s, like=before)
            left = await soak.left_in_asterisk()
            return judge(soak, before, after, left, count)


async def run_steady(
    minutes: float,
    *,
    at_once: int,
    warm_up: int,
    seed: int,
    lives_s: tuple[float, float] = resourcetrend.LIVES_S,
    idle_s: float = IDLE_S,
) -> Report:
    """``warm_up`` cut calls, a reading, ``at_once`` conversations for so long, another reading, and what differs."""
    with tempfile.TemporaryDirectory(prefix="ariagent-soak-") as scratch:
        async with stage(Path(scratch), resourcetrend.AGENT) as soak:
            await _calls(soak, plans(warm_up, 6.0, seed), at_once)
            before = await soak.at_rest(idle_s)
            _say(f"after {warm_up} calls of warm-up: {show(before)}")
            crowd = resourcetrend.Crowd(soak, random.Random(seed), lives_s)
            await crowd.talk(60 * minutes, at_once, tell=_say)
            after = await soak.at_rest(idle_s, like=before)
            report = judge_rest(soak, before, after, await soak.left_in_asterisk(), ordinary=("done", "person"))
            crowd.judge(report)
            return report


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


def main(argv: list[str] | None = None) -> int:
    """Soak; exit code 0 when nothing was left, 1 when anything is off."""
    parser = argparse.ArgumentParser(prog="python -m lab soak", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("count", nargs="?", type=int, default=200, help="calls after the warm-up (200)")
    parser.add_argument("--minutes", type=float, metavar="N", help="conversations for so long instead of cut calls")
    parser.add_argument("--at-once", type=int, default=20, help="calls at the same time (20)")
    parser.add_argument("--warm-up", type=int, default=40, help="calls before the first reading (40)")
    parser.add_argument("--longest", type=float, default=6.0, metavar="S", help="a cut call's longest life (6)")
    parser.add_argument("--seed", type=int, default=1, help="another one draws other moments (1)")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING)
    asked = {"at_once": options.at_once, "warm_up": options.warm_up, "seed": options.seed}
    if options.minutes is None:
        report = asyncio.run(run(options.count, longest_s=options.longest, **asked))
    else:
        report = asyncio.run(run_steady(options.minutes, **asked))
    for line in report.lines:
        _say(line)
    _say(f"off: {'; '.join(report.wrong)}" if report.wrong else "nothing was left")
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())

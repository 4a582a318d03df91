"""Check of the end-of-turn judge: whether it is there, and what one judgement costs on this machine."""

import asyncio
import statistics
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ariagent import extras
from ariagent.check.report import Result, Say, ok, skipped, warning
from ariagent.check.site import Site
from ariagent.errors import ConfigurationError
from ariagent.turns import modelfile
from ariagent.turns.features import features
from ariagent.turns.judge import Judge, Judging
from ariagent.turns.worker import SHARE

NAME = "end-of-turn judge"
SLOW_MS = 250.0
"""A judgement that takes longer is mostly late: by then the model has answered."""
_TIMES = 3
_RATE_HZ = 8_000


async def check_turns(site: Site, say: Say) -> None:
    say(await asyncio.to_thread(look, modelfile.folder() / modelfile.MODEL.name))


def look(path: Path) -> Result:
    """Try the model in this file. It takes half a second."""
    if any(find_spec(module) is None for module in extras.MODULES["turns"]):
        return skipped(NAME, f"the extra turns, which is not installed ({extras.install('turns')})")
    if not path.exists():
        return skipped(NAME, f"its model {path}, which does not exist ({modelfile.INSTALL} fetches it)")
    try:
        judge = Judge.open(path)
    except ConfigurationError as error:
        return warning(NAME, str(error), error.remedy)
    return judge_cost(judge)


def judge_cost(judge: Judging) -> Result:
    """Measure judgements on 8 s of noise. The cost does not depend on what is heard."""
    noise = np.random.default_rng(1).integers(-3000, 3000, 8 * _RATE_HZ, dtype="<i2")
    judge.judge(noise.tobytes(), _RATE_HZ)  # the first is slower
    judgement_ms = _median_ms(lambda: judge.judge(noise.tobytes(), _RATE_HZ))
    features_ms = _median_ms(lambda: features(np.repeat(noise, 2)))
    most = SHARE * 1000 / max(judgement_ms, 0.001)
    found = (
        f"one judgement takes {judgement_ms:.0f} ms of a core, its features {features_ms:.0f} ms of it; "
        f"at most {most:.0f} a second"
    )
    figures = {"judgement_ms": round(judgement_ms, 1), "features_ms": round(features_ms, 1)}
    if judgement_ms > SLOW_MS:
        return warning(
            NAME, f"{found}, most of them too late", "Use a faster machine, or leave the judge out", **figures
        )
    return ok(NAME, found, **figures)


def _median_ms(work: Callable[[], object]) -> float:
    """Time of the processor, not of the clock: other work on this machine does not count."""
    spent = []
    for _ in range(_TIMES):
        began = time.thread_time()
        work()
        spent.append((time.thread_time() - began) * 1000)
    return statistics.median(spent)

"""Reports how the model's server differs from OpenAI's, and what that means for calls: ``ariagent check --probe``."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ariagent.check.report import Result, Say, Status, failed, ok, warning
from ariagent.config import Settings
from ariagent.realtime import dialect
from ariagent.realtime.dialect import LOCALAI, OPENAI, SPEECH_TO_SPEECH, Dialect
from ariagent.realtime.probe import Finding, probe

NAME = "server"
LIMIT_S = 180.0
DIALECT = f"{NAME}: dialect"
LOOK = "Look at the log of the model's server"


@dataclass(frozen=True, slots=True)
class _Meaning:
    """A finding, as a sentence."""

    title: str
    consequence: str
    """The consequence of a deviation for calls."""
    remedy: str = ""
    """Apart from the dialect."""


_MEANINGS: Mapping[str, _Meaning] = {
    "speech": _Meaning("speech", "callers hear nothing", LOOK),
    "items": _Meaning("items", "ariagent's notes do not reach the model during a call", LOOK),
    "notes": _Meaning("system items", "a note replaces the one before, and counts for every later answer"),
    "parallel": _Meaning("summaries", "a summary for a human agent waits until the agent is silent"),
    "truncates": _Meaning("truncation", "the model believes that the caller heard the whole reply"),
    "open_calls": _Meaning("open calls", "a caller who speaks while a function runs may get no answer"),
    "g711": _Meaning("G.711", "only PCM can be used", "Leave realtime.encoding at pcm"),
    "sessions": _Meaning("sessions", "one call at a time", "Lower max_calls to 1, and the number of AI seats"),
}
_SWITCHES = ("notes", "parallel", "truncates", "open_calls")
"""Findings that a dialect makes up for."""


async def check_probe(settings: Settings, say: Say) -> None:
    """Probe the server in the voice of the agent ``default`` (or the first)."""
    name = "default" if "default" in settings.agents else next(iter(settings.agents))
    probed = await probe(settings.realtime, settings.agents[name])
    for result in results(probed.findings, settings):
        say(result)
    if probed.failure is not None:
        say(failed(NAME, probed.failure.cause, probed.failure.remedy or LOOK))


def results(findings: Iterable[Finding], settings: Settings) -> list[Result]:
    """One line for each finding, then the dialect. No I/O."""
    found = {finding.what: finding for finding in findings}
    lines = [_line(finding, settings) for finding in found.values()]
    if seen := {what for what in _SWITCHES if what in found}:
        lines.append(_dialect({what for what in seen if found[what].deviates}, settings))
    return lines


def _line(finding: Finding, settings: Settings) -> Result:
    meaning = _MEANINGS[finding.what]
    name = f"{NAME}: {meaning.title}"
    if finding.deviates is None:
        return Result(Status.SKIPPED, name, f"not known: {finding.seen}")
    if not finding.deviates:
        return ok(name, finding.seen)
    if finding.what == "speech":
        return failed(name, finding.seen, meaning.remedy)
    if finding.what == "g711":
        if settings.realtime.encoding != "pcm":
            return failed(name, finding.seen, "Set realtime.encoding to pcm")
        return ok(name, f"{finding.seen}; {meaning.consequence}")
    seen = f"{finding.seen}: {meaning.consequence}"
    if finding.what == "sessions" and settings.max_calls == 1:
        return ok(name, seen)
    if finding.what in _SWITCHES:
        now = dialect.of(settings.realtime)
        if _makes_up(now, finding.what):
            return ok(name, f"{finding.seen}; the dialect {now.name} makes up for it")
        return warning(name, seen, f"Set realtime.dialect to {_fitting([finding.what]).name}")
    return warning(name, seen, meaning.remedy)


def _dialect(deviations: set[str], settings: Settings) -> Result:
    now, best = dialect.of(settings.realtime), _fitting(deviations)
    if all(_makes_up(now, what) for what in deviations):
        return ok(DIALECT, f"{now.name} fits this server")
    learnt = "; in calls ariagent finds out some of this by itself" if settings.realtime.dialect == "auto" else ""
    return warning(DIALECT, f"{now.name} does not fit this server{learnt}", f"Set realtime.dialect to {best.name}")


def _fitting(deviations: Iterable[str]) -> Dialect:
    """The dialect with the fewest deviations that makes up for these."""
    wanted = set(deviations)
    return next(each for each in (OPENAI, LOCALAI, SPEECH_TO_SPEECH) if wanted <= set(each.deviations))


def _makes_up(spoken: Dialect, what: str) -> bool:
    return what in spoken.deviations

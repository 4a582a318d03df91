"""Check of the channel variables that instructions, lookups and routes use: whether Asterisk can read them."""

import re
from collections.abc import Collection, Iterator

from ariagent.check.ari import Probe
from ariagent.check.report import Result, Say, ok, warning
from ariagent.config import Settings

NAME = "variables"

# CHANNEL(item) with an item that only a PJSIP channel has (source: channels/pjsip/dialplan_functions.c).
_TELEPHONE = re.compile(r"PJSIP_\w+\(.*\)|CHANNEL\((?:rtp|rtcp|endpoint|contact|aor|pjsip)(?:,.*)?\)", re.IGNORECASE)


def functions(settings: Settings) -> dict[str, str]:
    """Each function that the settings read, and the key that names it. A plain variable can always be asked for."""
    named = [(each, f"agents.{name}.variables") for name, agent in settings.agents.items() for each in agent.variables]
    named += [(each, f"routes[{at}].variables") for at, route in enumerate(settings.routes) for each in route.variables]
    found: dict[str, str] = {}
    for name, key in named:
        if "(" in name:
            found.setdefault(name, key)
    return found


async def check_variables(settings: Settings, probe: Probe, channel_id: str, say: Say) -> None:
    """Read every function on a test channel, which is no telephone's, as a seat is none. Raises AriError."""
    wanted = functions(settings)
    answers = {name: await probe.ask("GET", f"channels/{channel_id}/variable", variable=name) for name in wanted}
    for result in judge_variables(wanted, [name for name, answer in answers.items() if answer.status >= 500]):
        say(result)


def judge_variables(wanted: dict[str, str], refused: Collection[str]) -> Iterator[Result]:
    """``wanted``: as ``functions``; ``refused``: those that Asterisk did not read on the test channel. No I/O."""
    for name in refused:
        if not _TELEPHONE.fullmatch(name):
            yield warning(
                NAME,
                f"{wanted[name]}: Asterisk cannot read {name} on a test channel, so its default is used",
                "Correct the name, load the function's module, or have the dialplan read it into a variable of the "
                "caller's channel (live_dangerously = no in asterisk.conf forbids ARI some functions)",
            )
    telephones = [name for name in wanted if _TELEPHONE.fullmatch(name)]
    if telephones:
        found = (
            f"{', '.join(telephones)}: not tested, because only PJSIP channels have it; in queue calls ariagent reads "
        )
        found += "it from the caller's channel"
        yield ok(NAME, found)
    if readable := [name for name in wanted if name not in refused and name not in telephones]:
        yield ok(NAME, f"Asterisk reads {', '.join(readable)}")

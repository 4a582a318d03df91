"""Whether callers from outside may transfer the AI, by REFER: PJSIP allows it unless an endpoint says otherwise."""

from collections.abc import Mapping
from urllib.parse import quote

from ariagent.check.report import Result, Say, ok, skipped, warning
from ariagent.check.site import Site
from ariagent.errors import AriError

NAME = "transfers"
MOST = 100
"""Endpoints that are looked at."""
SHOWN = 5


async def check_transfers(site: Site, say: Say) -> None:
    """Endpoints whose callers prove nothing (no ``auth``): trunks that are known by their address, and anonymous."""
    try:
        listed = await site.probe.ask("GET", "endpoints/PJSIP")
        names = [str(each.get("resource", "")) for each in listed.body] if isinstance(listed.body, list) else []
        found = {}
        for name in names[:MOST]:
            path = f"asterisk/config/dynamic/res_pjsip/endpoint/{quote(name, safe='')}"
            answer = await site.probe.ask("GET", path)
            if answer.status == 200 and isinstance(answer.body, list):
                found[name] = {str(each.get("attribute")): str(each.get("value")) for each in answer.body}
    except (AriError, AttributeError) as error:
        say(skipped(NAME, str(error)))
        return
    for result in judge_transfers(found):
        say(result)


def judge_transfers(endpoints: Mapping[str, Mapping[str, str]]) -> list[Result]:
    """``endpoints``: name -> attribute -> value. No I/O."""
    outside = [name for name, found in endpoints.items() if not found.get("auth")]
    allowed = [name for name in outside if found_true(endpoints[name].get("allow_transfer", ""))]
    if allowed:
        names = ", ".join(allowed[:SHOWN]) + (f" and {len(allowed) - SHOWN} more" if len(allowed) > SHOWN else "")
        found = f"callers of the PJSIP endpoints {names} need no password and may transfer the AI to any extension"
        remedy = "Set allow_transfer = no for these endpoints, unless they are phones of your own"
        return [warning(NAME, found, remedy)]
    return [ok(NAME, "no PJSIP endpoint without a password allows transfers")] if outside else []


def found_true(value: str) -> bool:
    """Whether a text is a yes, as Asterisk writes it."""
    return value.lower() in ("yes", "true", "1", "on")

"""Checks of Asterisk's manager interface: the login and its rights."""

from collections.abc import Collection

from ariagent.check.report import Result, Say, failed, ok, warning
from ariagent.check.site import Site
from ariagent.config import AmiSettings
from ariagent.errors import AmiError

NAME = "manager"
_LOOK = "Look at manager.conf and at Asterisk's log"
NEEDED = {"QueuePause": "agent", "BlindTransfer": "call", "Setvar": "call"}
"""Actions that the service uses -> the class that allows each. Its other actions need no class."""
EXCESS = ("Command", "UpdateConfig", "GetConfig", "Originate", "ModuleLoad")
"""Actions that the user should not have. With them, a stolen password gives control of the machine."""


async def check_manager(site: Site, say: Say) -> None:
    """Whether the manager interface accepts the login and allows what the service needs."""
    settings = site.settings.ami
    if settings is None:
        return
    try:
        client = (await site.manager()).client
        allowed = await client.action("ListCommands")
    except AmiError as error:
        say(failed(NAME, str(error), error.remedy or _LOOK))
    else:
        say(judge_rights(settings, client.version, allowed))


def judge_rights(ami: AmiSettings, version: str, allowed: Collection[str]) -> Result:
    """``allowed``: names of the actions that the user may use, in lower case. No I/O."""
    missing = [name for name in NEEDED if name.lower() not in allowed]
    if missing:
        classes = ", ".join(dict.fromkeys(NEEDED[name] for name in missing))
        found = f"{ami.user} may not use {', '.join(missing)}"
        return failed(NAME, found, f"Add {classes} to write= under [{ami.user}] in manager.conf, and reload it")
    excess = [name for name in EXCESS if name.lower() in allowed]
    if excess:
        found = f"{ami.user} has more rights than it needs: {', '.join(excess)}"
        return warning(NAME, found, f"Set read and write to agent,call,user under [{ami.user}] in manager.conf")
    return ok(
        NAME, f"{ami.user} is logged in at {ami.host}:{ami.port} (version {version}), may pause seats and transfer"
    )

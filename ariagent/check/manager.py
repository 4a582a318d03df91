"""Asterisk's manager interface: the login and its rights."""

from collections.abc import Collection

from ariagent.check.report import Result, Say, failed, ok, warning
from ariagent.check.site import Site
from ariagent.config import AmiSettings
from ariagent.errors import AmiError

NAME = "manager"
_LOOK = "Look at manager.conf and at Asterisk's log"
NEEDED = {"QueuePause": "agent", "BlindTransfer": "call", "Setvar": "call"}
"""Actions that the service uses, and the class of the user that allows each (the others need none)."""
EXCESS = ("Command", "UpdateConfig", "GetConfig", "Originate", "ModuleLoad")
"""Actions of classes that it must not have: who gets hold of its password has the machine."""


async def check_manager(site: Site, say: Say) -> None:
    """Whether the manager interface lets us in, and do what the service needs."""
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
    """``allowed``: names of actions that the user may ask for, in lower case. No I/O."""
    missing = [name for name in NEEDED if name.lower() not in allowed]
    if missing:
        classes = ", ".join(dict.fromkeys(NEEDED[name] for name in missing))
        found = f"{ami.user} may not ask for {', '.join(missing)}"
        return failed(NAME, found, f"Add {classes} to write= under [{ami.user}] in manager.conf, and reload it")
    excess = [name for name in EXCESS if name.lower() in allowed]
    if excess:
        found = f"{ami.user} may do more than it needs: {', '.join(excess)}"
        return warning(NAME, found, f"Set read and write to agent,call,user under [{ami.user}] in manager.conf")
    return ok(NAME, f"{ami.user} is let in at {ami.host}:{ami.port} (version {version}), may pause seats and transfer")

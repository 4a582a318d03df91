"""Which settings a command uses that was given none: those of the lab, while it is up, or the installation's."""

import shlex
import sys
from pathlib import Path

from ariagent import config
from ariagent.config import AsteriskSettings, Settings
from ariagent.errors import ConfigurationError
from ariagent.lab.processes import ProcessRef

ENV_FILE = Path(".lab") / "lab.env"
LAB_FILE = ENV_FILE.parent / "ariagent.yaml"
"""Of the lab in the current folder."""


def running_lab() -> dict[str, str]:
    """The lab's ``lab.env`` when its Asterisk runs, else nothing."""
    try:
        lines = ENV_FILE.read_text().splitlines()
    except OSError:
        return {}
    env = {name: "".join(shlex.split(value)) for name, _, value in (line.partition("=") for line in lines)}
    return env if ProcessRef.of(int(env.get("ASTERISK_PID") or 0)) is not None else {}


def settings_file(given: Path | None, *, lab_first: bool = False, installed: Path = config.DEFAULT_PATH) -> Path | None:
    """``given``; the lab's file while it is up and nothing is installed (or ``lab_first``); None: the default.

    Says so on standard error when it takes the lab's.
    """
    if given is not None or (installed.exists() and not lab_first) or not running_lab() or not LAB_FILE.exists():
        return given
    _say(LAB_FILE)
    return LAB_FILE


def caller_settings(given: Path | None, *, quiet: bool = False) -> Settings:
    """For placing calls: ``given``, where the lab's Asterisk is while it is up, else the installed file.

    Raises ConfigurationError.
    """
    env = {} if given is not None else running_lab()
    if not env:
        return config.load(given)
    if not quiet:
        _say(ENV_FILE)
    return _of_env(env)


def _of_env(env: dict[str, str]) -> Settings:
    """An Asterisk without a service: enough for a caller."""
    try:
        access = {"url": env["ARI_URL"], "user": env["ARI_USER"], "password": env["ARI_PASSWORD"]}
    except KeyError as error:
        raise ConfigurationError(f"{ENV_FILE} lacks {error}", remedy="Start the lab anew: make lab-up") from None
    return Settings(asterisk=AsteriskSettings.model_validate(access))


def _say(path: Path) -> None:
    sys.stderr.write(f"ariagent: settings: {path}, of the lab that is up\n")

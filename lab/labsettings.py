"""The service's settings in the lab: a site's own file, if there is one, with the lab's addresses in place of its own.

The lab's Asterisk, ports, state directory and, unless the file (or the environment) names a model's server itself, the
sandbox. Everything else is the file's: agents, tools, routes, records, cost.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ariagent.config import Settings
from ariagent.configfile import load, yamlfile
from ariagent.errors import ConfigurationError
from ariagent.hosts import is_loopback
from lab.conf import SEATS

URL_NAME, KEY_NAME = "ARIAGENT_REALTIME__URL", "ARIAGENT_REALTIME__API_KEY"
TOKEN_NAME = "lab"
"""The name of the lab's token of the control API."""
SANDBOX_KEY = "sandbox"
"""The sandbox takes any key; no other server is told this one."""
AGENT = {
    "instructions": "You answer the telephone of a small company. Be friendly and brief.",
    "opening": "Hello, this is the automated assistant. How can I help you?",
    "handoff": ["support"],
}
"""The agent ``default`` where nobody has described one."""
DESTINATIONS = {"support": {"queue": "support", "description": "the human agents (phones 1001 to 1004)"}}
"""Destinations of that agent."""


_NO_TLS = {"tls": False, "ca_file": None, "tls_name": None}
"""The lab's Asterisk is on loopback."""
NO_CAPS = {"minutes_per_day": None, "minutes_per_day_unknown": None}
"""The section ``caps`` where no minute costs anything."""
_NAMES_A_FILE = ("ca_file", "directory")
"""Keys whose value is a path."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the lab's parts are; all on loopback."""

    ari: Mapping[str, str]
    """``url``, ``user``, ``password``."""
    ami: Mapping[str, str | int]
    realtime_port: int
    audiosocket_port: int
    http_port: int
    control_port: int
    api_token: str
    """For the control API, as an admin."""

    @classmethod
    def placeholders(cls) -> "Addresses":
        """For looking through a file before anything runs."""
        ari = {"url": "http://127.0.0.1:8088", "user": "lab", "password": "lab"}
        return cls(
            ari, {"host": "127.0.0.1", "port": 5038, "user": "lab", "password": "lab"}, 1, 1, 1, 1, TOKEN_NAME * 8
        )

    @property
    def realtime_url(self) -> str:
        return f"ws://127.0.0.1:{self.realtime_port}/v1/realtime"


def check(path: Path, environment: Mapping[str, str], lab_dir: Path) -> Settings:
    """Load a site's file as the lab will use it, so that mistakes are told with its own lines.

    Raises ConfigurationError.
    """
    mine, _ = yamlfile.read(path)
    put = _sections(mine, Addresses.placeholders(), environment, lab_dir)
    overrides: dict[str, str] = {}
    for name, value in put.items():
        if isinstance(value, Mapping):
            plain = {key: each for key, each in value.items() if not isinstance(each, list)}
            texts = {key: "null" if each is None else str(each) for key, each in plain.items()}
            overrides |= {f"ARIAGENT_{name}__{key}".upper(): text for key, text in texts.items()}
        else:
            overrides[f"ARIAGENT_{name}".upper()] = str(value)
    return load(path, overrides | dict(environment), serving=True)


def merged(path: Path | None, addresses: Addresses, environment: Mapping[str, str], lab_dir: Path) -> dict[str, Any]:
    """The tree that the service gets. Raises ConfigurationError."""
    tree: dict[str, Any] = {} if path is None else _anchored(yamlfile.read(path)[0], path.absolute().parent)
    put = _sections(tree, addresses, environment, lab_dir)
    for name, value in put.items():
        tree[name] = {**(tree.get(name) or {}), **value} if isinstance(value, Mapping) else value
    tree["log"] = {"transcripts": True, **(tree.get("log") or {})}
    tree.setdefault("max_calls", SEATS)
    url = str(environment.get(URL_NAME) or _section(tree, "realtime").get("url") or "")
    if is_loopback(urlsplit(url).hostname or ""):
        # No minute of a local server costs anything.
        tree["caps"] = {**NO_CAPS, **(tree.get("caps") or {})}
    if not tree.get("agents"):
        tree["agents"] = {"default": dict(AGENT)}
        tree["destinations"] = {**DESTINATIONS, **(tree.get("destinations") or {})}
    return tree


def _sections(
    mine: Mapping[str, Any], addresses: Addresses, environment: Mapping[str, str], lab_dir: Path
) -> dict[str, Any]:
    """The settings that the lab adds."""
    audiosocket: dict[str, Any] = {"host": "127.0.0.1", "port": addresses.audiosocket_port}
    if "advertise" in _section(mine, "audiosocket"):
        audiosocket["advertise"] = f"127.0.0.1:{addresses.audiosocket_port}"
    put: dict[str, Any] = {
        # The shipped dialplan knows one application name.
        "asterisk": {**addresses.ari, "app": "ariagent", **_without_tls(mine, "asterisk")},
        "ami": {**addresses.ami, **_without_tls(mine, "ami")},
        "audiosocket": audiosocket,
        "http": {"host": "127.0.0.1", "port": addresses.http_port},
        "control": {
            "host": "127.0.0.1",
            "port": addresses.control_port,
            "tokens": [*_tokens(mine), {"name": TOKEN_NAME, "role": "admin", "token": addresses.api_token}],
        },
        "state_directory": str(lab_dir / "state"),
    }
    realtime = _section(mine, "realtime")
    own = environment.get(URL_NAME) or realtime.get("url")
    if not own:
        put["realtime"] = {"url": addresses.realtime_url, "api_key": SANDBOX_KEY}
    elif is_loopback(urlsplit(str(own)).hostname or "") and not realtime.get("api_key") and KEY_NAME not in environment:
        put["realtime"] = {"api_key": SANDBOX_KEY}
    return put


def _without_tls(mine: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Settings that switch off the TLS of a section."""
    return {key: value for key, value in _NO_TLS.items() if key in _section(mine, name)}


def _anchored(found: Any, folder: Path, key: object = None) -> Any:
    """The settings with absolute paths where they were relative to the file's folder: the lab's file is in another
    one."""
    if isinstance(found, dict):
        return {name: _anchored(each, folder, name) for name, each in found.items()}
    if isinstance(found, list):
        return [_anchored(each, folder, key) for each in found]
    if isinstance(found, str):
        begins = "file:" if found.startswith("file:") else ""
        rest = found.removeprefix("file:").strip()
        if (begins or key in _NAMES_A_FILE) and rest and rest[0] not in "/~$":
            return f"{begins}{folder / rest}"
    return found


def _section(tree: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = tree.get(name)
    return found if isinstance(found, Mapping) else {}


def _tokens(mine: Mapping[str, Any]) -> list[Any]:
    """The file's own; what is no list is left for the settings to refuse."""
    found = _section(mine, "control").get("tokens")
    kept = found if isinstance(found, list) else [] if found is None else [found]
    return [each for each in kept if not (isinstance(each, Mapping) and each.get("name") == TOKEN_NAME)]


def check_scenario(path: Path) -> None:
    """Raises ConfigurationError where the sandbox would not take it, as far as can be told without its recogniser."""
    from ariagent.sandbox.scenario_file import load_scenario

    load_scenario(path)


def existing(path: Path) -> Path:
    """The file's absolute path. Raises ConfigurationError when there is none."""
    if not path.is_file():
        raise ConfigurationError(f"{path}: there is no such file")
    return path.resolve()

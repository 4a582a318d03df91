"""CORE: the text of every file that ariagent writes to Asterisk's configuration folder."""

import ipaddress
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ariagent import __version__, shipped
from ariagent.install.choices import Choices


@dataclass(frozen=True, slots=True)
class Additions:
    """Lines that a site's own files lack."""

    general: Mapping[str, Mapping[str, str]]
    """File (``http.conf``) -> values to add to its ``[general]``."""
    modules: tuple[str, ...] = ()
    """Modules that nothing loads."""
    ami_addresses: Collection[str] = ()
    """Addresses from which the AMI user logs in."""


def site_files(choices: Choices, additions: Additions, ari_password: str, ami_password: str) -> dict[str, str]:
    """File name in ariagent's folder -> text."""
    texts: dict[str, str] = {
        "extensions.conf": _extensions(choices),
        "dialplan.conf": shipped.filled("dialplan/dialplan.conf", {"VERSION": __version__}),
        "supervisor.conf": shipped.text("dialplan/supervisor.conf"),
        "queues.conf": _queues(choices),
        "ari.conf": _users("ari.conf", choices.ari_user, {"ARI_PASSWORD": escaped(ari_password)}),
        "manager.conf": _users(
            "manager.conf",
            choices.ami_user,
            {"AMI_PASSWORD": escaped(ami_password), "PERMITS": _permits(additions.ami_addresses)},
        ),
    }
    if "http.conf" in additions.general:
        texts["http.conf"] = shipped.text("asterisk/http.conf")
    if additions.modules:
        lines = "\n".join(f"load = {name}.so" for name in additions.modules)
        texts["modules.conf"] = shipped.filled("asterisk/modules.conf", {"MODULES": lines})
    for name, values in additions.general.items():
        added = [f"{key} = {value}" for key, value in values.items()]
        texts[name] += "\n".join(["", "; Adds to the existing [general].", "[general](+)", *added]) + "\n"
    return texts


def seats(count: int) -> list[str]:
    """The seats' numbers: 01, 02 ..."""
    digits = 3 if count > 99 else 2
    return [f"{number:0{digits}d}" for number in range(1, count + 1)]


def member(seat: str, name: str) -> str:
    """The line of ``queues.conf`` that makes a seat a member of a queue."""
    return f"member => Local/{seat}@ariagent-seat/nm,0,{name},hint:{seat}@ariagent-seat"


def escaped(value: str) -> str:
    """A value, escaped for a configuration file."""
    return value.replace(";", "\\;")


def _extensions(choices: Choices) -> str:
    """The site's contexts get the numbers without ``(+)``: contexts of one name are one for Asterisk, and ``(+)`` would
    be refused, with all that follows, once the site takes its context out of the file."""
    numbers = [
        f"exten => {number},1,Gosub(ariagent-queue,${{EXTEN}},1({choices.ai_queue}))" for number in choices.numbers
    ]
    numbers += [f"exten => {number},1,Gosub(ariagent-direct,${{EXTEN}},1)" for number in choices.direct_numbers]
    words = {
        "HUMAN_QUEUE": choices.human_queue,
        "LAST_RESORT": choices.last_resort,
        "AI_QUEUE": choices.ai_queue,
        "APP": choices.app,
        "NUMBER_LIST": " ".join(choices.all_numbers),
        "NUMBERS": "\n".join(numbers),
    }
    text = shipped.filled("dialplan/extensions.conf", words)
    if choices.supervisors or choices.code:
        text += "\n[globals]\n"
        if choices.supervisors:
            text += f"ARIAGENT_SUPERVISORS = {choices.supervisors}\n"
        if choices.code:
            codes = zip(("LISTEN", "WHISPER", "BARGE"), "012", strict=True)
            text += "".join(f"ARIAGENT_CODE_{name} = {choices.code}{digit}\n" for name, digit in codes)
    if choices.contexts:
        text += "\n; The site's phones dial the same numbers.\n"
        text += "\n".join(f"[{name}]\n" + "\n".join(numbers) + "\n" for name in choices.contexts)
    if choices.supervisor_contexts:
        text += "\n; Supervisors' phones dial the feature codes.\n"
        text += "\n".join(f"[{name}]\ninclude => ariagent-supervisor\n" for name in choices.supervisor_contexts)
    return text


def _queues(choices: Choices) -> str:
    words = {
        "AI_QUEUE": choices.ai_queue,
        "SEATS": str(choices.seats),
        "MEMBERS": "\n".join(member(seat, choices.member_name) for seat in seats(choices.seats)),
    }
    return shipped.filled("asterisk/queues.conf", words)


def _permits(addresses: Collection[str]) -> str:
    networks = dict.fromkeys(str(ipaddress.ip_network(address)) for address in ("127.0.0.1", "::1", *addresses))
    return "\n".join(f"permit = {network}" for network in networks)


def _users(name: str, user: str, words: Mapping[str, str]) -> str:
    text = shipped.filled(f"asterisk/{name}", words)
    return text.replace("\n[ariagent]\n", f"\n[{user}]\n")

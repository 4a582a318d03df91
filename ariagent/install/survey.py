"""Surveys a site: finds what it has and lacks, and what prevents an installation. Only reads."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from ariagent import shipped
from ariagent.errors import AsteriskError
from ariagent.install.asteriskconf import Document, is_true
from ariagent.install.choices import CODE, OUR_CONTEXTS, Choices, is_address
from ariagent.install.dialplan import answers_to, shown, switches
from ariagent.install.modules import MODULES, OF_PJSIP, SPLIT_OFF
from ariagent.install.render import Additions
from ariagent.install.site import Site
from ariagent.text import did_you_mean

FILES = ("extensions.conf", "queues.conf", "ari.conf", "http.conf", "manager.conf", "modules.conf")
LOOPBACK = "127.0.0.1"
EVERYWHERE = ("", "0.0.0.0", "::", "[::]")
ARI_PORT, AMI_PORT = 8088, 5038
"""Asterisk's defaults."""
HTTP_SESSIONS = 20
"""The service's connections, its event stream, and the commands beside it."""
_LOADS = ("load", "preload", "require", "preload-require")


@dataclass(slots=True)
class Survey:
    """The findings."""

    documents: Mapping[str, Document | None]
    """Name -> each of ``FILES`` as it is without ariagent."""
    obstacles: list[str] = field(default_factory=list)
    """Reasons not to install, each with what to do."""
    notes: list[str] = field(default_factory=list)
    """Notes for the administrator."""
    general: dict[str, dict[str, str]] = field(default_factory=dict)
    """File -> values that its ``[general]`` lacks."""
    modules: tuple[str, ...] = ()
    """Modules that nothing loads."""
    ari_url: str = ""
    """URL of ARI, now or after the installation."""
    ami_address: tuple[str, int] = (LOOPBACK, AMI_PORT)
    """(host, port) of AMI, now or after the installation."""
    service_address: str = ""
    """IP address of a service on another machine."""

    def additions(self) -> Additions:
        """Additional lines that ariagent's files need for this site."""
        return Additions(
            {name: values for name, values in self.general.items() if self.has_general(name)},
            self.modules,
            # A command on this machine that connects to the machine's own address also has that source address.
            [host for host in (self.service_address, self.ami_address[0]) if is_address(host)],
        )

    def has_general(self, name: str) -> bool:
        """Whether a file has a ``[general]``."""
        document = self.documents[name]
        if document is None or not document.has("general"):
            return False
        # There another letter case is another object, and none that Asterisk knows.
        return name != "ari.conf" or any(section.name == "general" for section in document.sections)


def survey(site: Site, choices: Choices, unusable: Collection[str] = ()) -> Survey:
    """Survey the site. ``unusable``: modules that this Asterisk has but cannot load. Raises ConfigurationError for a
    file that cannot be read."""
    found = Survey({name: site.document(name) for name in FILES}, service_address=choices.service_address)
    for document in found.documents.values():
        if document is not None and document.problem:
            found.obstacles.append(f"Asterisk does not use this file as it is: {document.problem}. Correct that line")
        for place in document.cut_off if document is not None else ():
            found.notes.append(f"Asterisk does not read this file to its end: {place}")
    _databases(found, site)
    _queues(found, site, choices)
    _users(found, site, choices)
    _dialplan(found, site, choices)
    _http(found, site, choices)
    _manager(found, site, choices)
    _ari(found)
    if not choices.general:
        for name, values in found.general.items():
            listed = ", ".join(f"{key} = {value}" for key, value in values.items())
            found.notes.append(f"Set in [general] of {site.etc / site.place(name)} yourself (--no-general): {listed}")
        found.general.clear()
    found.modules = tuple(name for name in _modules(found, site) if name not in unusable)
    return found


def _databases(found: Survey, site: Site) -> None:
    """Asterisk can have whole files from a database, and does not look at the files themselves then."""
    document = site.document("extconfig.conf")
    for section in document.titled("settings") if document is not None else ():
        for value in section.values:
            if value.key.lower() in FILES:
                found.notes.append(
                    f"{site.etc / value.file}:{value.line}: Asterisk takes {value.key} from a database ({value.value}) "
                    "and not from the file. If it does, it does not see what ariagent adds to the file"
                )


def queue_names(document: Document | None) -> list[str]:
    """The queues of a ``queues.conf``."""
    sections = [] if document is None else document.sections
    return sorted({each.name for each in sections if each.name != "general" and not each.is_template})


def phone_contexts(site: Site) -> list[str]:
    """The contexts of the phones in ``pjsip.conf``, ``sip.conf`` and ``iax.conf``; the most used first."""
    count: dict[str, int] = {}
    for name in ("pjsip.conf", "pjsip_wizard.conf", "sip.conf", "iax.conf"):
        document = site.document(name)
        for section in document.sections if document is not None else ():
            is_phone = name != "pjsip.conf" or any(
                value.key == "type" and value.value == "endpoint" for value in section.values
            )
            contexts = [value.value for value in section.values if value.key in ("context", "endpoint/context")]
            if is_phone and contexts and not section.is_template and section.name != "general":
                count[contexts[-1]] = count.get(contexts[-1], 0) + 1
    return sorted(count, key=lambda context: -count[context])


def _queues(found: Survey, site: Site, choices: Choices) -> None:
    names = queue_names(found.documents["queues.conf"])
    known = {name.lower() for name in names}
    if choices.ai_queue.lower() in known:
        found.obstacles.append(
            f"the site already has a queue {choices.ai_queue}. Choose another name for the queue of AI seats: "
            "--ai-queue NAME"
        )
    wanted = choices.human_queue
    if wanted and wanted.lower() not in known and not _shows(site, f'queue show "{wanted}"', "No such queue"):
        there = f"Asterisk has {', '.join(names)}" if names else "Asterisk has no queues"
        found.obstacles.append(
            f"there is no queue {wanted}{did_you_mean(wanted, names)}; {there}. Name the queue of human agents: "
            "--human-queue NAME"
        )
    if not wanted and not choices.last_resort:
        found.obstacles.append(
            "there is no place for callers that the AI cannot help. Name a queue of human agents (--human-queue NAME), "
            "or a place in the dialplan (--last-resort CONTEXT,EXTENSION,PRIORITY)"
        )


def _users(found: Survey, site: Site, choices: Choices) -> None:
    for name, user, option in (
        ("ari.conf", choices.ari_user, "--ari-user"),
        ("manager.conf", choices.ami_user, "--ami-user"),
    ):
        document = found.documents[name]
        for section in document.sections if document is not None else ():
            if section.name == user:
                found.obstacles.append(
                    f"{site.etc / section.file}:{section.line}: the section [{user}] already exists. Remove it, or "
                    f"choose another name: {option} NAME"
                )


def _dialplan(found: Survey, site: Site, choices: Choices) -> None:
    document = found.documents["extensions.conf"]
    if document is None:
        found.obstacles.append(
            f"{site.etc / 'extensions.conf'} does not exist: this Asterisk has no dialplan to which ariagent can add"
        )
        return
    contexts = sorted({section.name for section in document.sections} - {"general", "globals"})
    for section in document.sections:
        if section.name.startswith(OUR_CONTEXTS):
            found.obstacles.append(
                f"{site.etc / section.file}:{section.line}: there is a context [{section.name}] already, and names of "
                f"ariagent's contexts begin with {OUR_CONTEXTS}. Remove it, or give it another name"
            )
    for context in (*choices.contexts, *choices.supervisor_contexts):
        if context in contexts or _shows(site, f'dialplan show "{context}"', "There is no existence of"):
            continue
        # FreePBX's dialplan includes this context, whether it exists or not.
        if not (site.is_freepbx and context.endswith("-custom")):
            found.obstacles.append(
                f"there is no context {context}{did_you_mean(context, contexts)}. Name the context of the site's "
                "phones: --context NAME"
            )
    # FreePBX searches its custom context before its own extensions: a number there would hide the site's extension.
    searched = (*choices.contexts, "from-internal") if site.is_freepbx else choices.contexts
    for context in dict.fromkeys(searched):
        for number in choices.all_numbers:
            _number(found, site, document, context, number)
    codes = [f"{choices.code or CODE}{digit}" for digit in "012"]
    for context in choices.supervisor_contexts:
        for taken in (each for code in codes for each in answers_to(document, context, code)):
            found.notes.append(
                f"{taken.extension} in the context {context} ({site.etc / taken.file}:{taken.line}) goes before the "
                f"feature codes {', '.join(codes)}. Choose other codes: --code DIGITS"
            )
    if choices.last_resort:
        context, extension, _ = choices.last_resort.split(",")
        known = next(answers_to(document, context, extension), None)
        if known is None and not _shows(site, f'dialplan show "{extension}@{context}"', "There is no existence of"):
            found.obstacles.append(
                f"the last resort does not exist: there is no extension {extension} in the context {context}. Correct "
                "--last-resort"
            )


def _number(found: Survey, site: Site, document: Document, context: str, number: str) -> None:
    """Numbers that the site uses are not taken over."""
    takers = [(each.extension, f"{site.etc / each.file}:{each.line}") for each in answers_to(document, context, number)]
    # AEL, Lua and what commands print are not in the file.
    takers += [(each, "the running Asterisk") for each in _shown_for(site, context, number)]
    taken = next((each for each in takers if not each[0].startswith("_")), None)
    if taken is not None:
        found.obstacles.append(
            f"{number} is in use in the context {context} ({taken[1]}). Choose another number: --number NUMBER"
        )
    elif takers:
        pattern, place = takers[0]
        found.notes.append(
            f"{number} in the context {context} matched the pattern {pattern} ({place}) until now; "
            "it will reach ariagent"
        )
    for switch in switches(document, context):
        found.notes.append(
            f"the context {context} also looks into {switch} for its numbers. If {number} is there, ariagent takes it"
        )


def _shown_for(site: Site, context: str, number: str) -> list[str]:
    """The extensions that take a number in the running Asterisk, without ariagent's."""
    if site.console is None:
        return []
    try:
        printed = site.console.ask(f'dialplan show "{number}@{context}"')
    except AsteriskError:
        return []  # nothing takes it
    return [extension for extension, does in shown(printed) if not does.startswith("Gosub(ariagent-")]


def _shows(site: Site, command: str, absent: str) -> bool:
    """Whether the running Asterisk has what the console command shows; False if none runs."""
    if site.console is None:
        return False
    try:
        return absent not in site.console.ask(command)
    except AsteriskError:
        return False


def _value(document: Document | None, key: str) -> str:
    return document.value("general", key) if document is not None else ""


def _http(found: Survey, site: Site, choices: Choices) -> None:
    document = found.documents["http.conf"]
    host, port, prefix = (_value(document, key) for key in ("bindaddr", "bindport", "prefix"))
    if not is_true(_value(document, "enabled")):
        host = _address_to_listen_at(host, choices)
        found.general["http.conf"] = {"enabled": "yes", "bindaddr": host}
        if choices.http_port:
            port = found.general["http.conf"]["bindport"] = str(choices.http_port)
    sessions = _value(document, "sessionlimit")
    if sessions.isdigit() and 0 < int(sessions) < HTTP_SESSIONS:
        found.notes.append(
            f"{site.etc / 'http.conf'} has sessionlimit = {sessions}, and ariagent uses up to {HTTP_SESSIONS} "
            "connections at once. Raise it"
        )
    host = _address_to_connect_to(found, site, choices, "http.conf", host)
    path = f"/{prefix.strip('/')}" if prefix.strip("/") else ""
    found.ari_url = f"http://{f'[{host}]' if ':' in host else host}:{port or ARI_PORT}{path}"


def _manager(found: Survey, site: Site, choices: Choices) -> None:
    document = found.documents["manager.conf"]
    host, port = _value(document, "bindaddr"), _value(document, "port")
    if not is_true(_value(document, "enabled")):
        host = _address_to_listen_at(host, choices)
        found.general["manager.conf"] = {"enabled": "yes", "bindaddr": host}
        if is_true(_value(document, "webenabled")):
            # The manager interface through the HTTP server was off with the rest, and that may listen to the network.
            found.general["manager.conf"]["webenabled"] = "no"
        if choices.ami_port:
            port = found.general["manager.conf"]["port"] = str(choices.ami_port)
    host = _address_to_connect_to(found, site, choices, "manager.conf", host)
    found.ami_address = (host, int(port) if port.isdigit() else AMI_PORT)


def _address_to_listen_at(host: str, choices: Choices) -> str:
    """The address of a server that ariagent switches on. It must not be reachable from more of the network than
    ariagent needs."""
    return choices.asterisk_address or (host if _is_loopback(host) else LOOPBACK)


def _address_to_connect_to(found: Survey, site: Site, choices: Choices, name: str, host: str) -> str:
    """The address to reach a server that listens at ``host``. Adds a note if a service on another machine cannot."""
    if choices.service_address and _is_loopback(host):
        found.notes.append(
            f"{site.etc / name} has bindaddr = {host}, so the service at {choices.service_address} cannot reach this "
            f"server. Set bindaddr = {choices.asterisk_address} there and run the command again, or use a TLS proxy "
            "(docs/containers.md)"
        )
        return host
    return choices.asterisk_address or (LOOPBACK if host in EVERYWHERE else host)


def _our_contexts() -> re.Pattern[str]:
    """Finds the name of one of ariagent's contexts in a value, but not in a path."""
    texts = (shipped.text(f"dialplan/{name}.conf") for name in ("dialplan", "extensions", "supervisor"))
    names = {name for text in texts for name in re.findall(rf"^\[({OUR_CONTEXTS}[\w-]+)\]", text, re.MULTILINE)}
    return re.compile(rf"(?<![\w/.-])(?:{'|'.join(sorted(names))})(?![\w-])", re.IGNORECASE)


def uses(site: Site) -> list[str]:
    """Lines of the site's own files that need ariagent's parts, as ``file:line: what``. Raises ConfigurationError for a
    file that cannot be read."""
    found, ours = [], _our_contexts()
    for name in ("queues.conf", "extensions.conf"):
        document = site.document(name)
        if document is None:
            continue
        found += document.borrowed
        for section in document.sections:
            found += [
                f"{value.file}:{value.line}: [{section.name}] {value.key} = {value.value}"
                for value in section.values
                if ours.search(value.value)
            ]
    return [f"{site.etc / each}" for each in dict.fromkeys(found)]


def _ari(found: Survey) -> None:
    enabled = _value(found.documents["ari.conf"], "enabled")
    # Without a [general] Asterisk refuses the whole file. Without enabled it assumes yes.
    if not found.has_general("ari.conf") or (enabled and not is_true(enabled)):
        found.general["ari.conf"] = {"enabled": "yes"}


def _is_loopback(host: str) -> bool:
    return host in ("::1", "localhost") or (host.startswith("127.") and is_address(host))


def _modules(found: Survey, site: Site) -> Iterator[str]:
    """The needed modules that modules.conf does not load."""
    document = found.documents["modules.conf"]
    sections = document.titled("modules") if document is not None else []
    if not sections:
        found.obstacles.append(f"{site.etc / 'modules.conf'} has no section [modules], so Asterisk loads no modules")
        return
    lines = [(value.key.lower(), value.value.strip().removesuffix(".so")) for value in sections[0].values]
    refused = {name for key, name in lines if key == "noload"}
    loaded = {name for key, name in lines if key in _LOADS}
    automatic = is_true(document.value("modules", "autoload")) if document is not None else False
    for name, why in MODULES.items():
        there = not site.modules or name in site.modules
        if name in SPLIT_OFF and (not there or name in refused):
            continue
        if not there:
            found.obstacles.append(
                f"this Asterisk has no module {name} ({why}). Install it, or another build of Asterisk"
            )
        elif name in refused:
            found.obstacles.append(
                f"modules.conf has noload = {name}.so, but ariagent needs the module ({why}). Remove that line"
            )
        elif not automatic and name not in loaded and (name not in OF_PJSIP or "res_pjsip" in loaded):
            yield name

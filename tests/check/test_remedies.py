"""Remedies: every file, command and setting that a message names exists, and no command can break the site.

All texts of the installed program are read, not only those that are known to be remedies: a message that was forgotten
would be the next wrong one.
"""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
from pydantic import BaseModel

import ariagent
from ariagent.cli import application
from ariagent.config import Settings
from tests.parsing import parsed

ROOT = Path(ariagent.__file__).parent
NOT_INSTALLED = ("sandbox", "templates")
PAGES = (
    "configfile/reference.py",
    "check/versionspage.py",
    "install/ours.py",
    "call/machine.py",
    "configfile/schema.py",
    "control/routes.py",
    *(f"cli/{group}.py" for group in ("__init__", "calls", "check", "control", "rehearsal", "service")),
)
"""Hold pages of documentation, where backticks are around everything; what they name is tested elsewhere."""

ASTERISKS_FILES = {
    *("ari.conf", "asterisk.conf", "extensions.conf", "http.conf", "manager.conf", "modules.conf", "queues.conf"),
}
OURS = re.compile(
    r"/etc/asterisk/ariagent(/[a-z-]+\.conf)?|/etc/ariagent/(ariagent\.yaml|openai-key)|/var/lib/ariagent(/state)?"
    r"|/etc/apt/sources\.list\.d"  # of the machine, where a program is fetched
)

HARMLESS = (
    # Shows something, or loads what was not loaded; a file that is wrong stays as unread as it was.
    r"asterisk -rx 'core show uptime'",
    r"asterisk -rx 'http show status'",
    r"asterisk -rx 'queue show \{\}'",
    r"asterisk -rx 'module load [a-z_{}]+\.so'",
    r"asterisk -rx 'module reload res_ari\.so'",
    # Paths of this machine.
    r"ulimit -n",
    r"chmod o\+x",
    r"chmod o-rw? \{\}",
    r"chown root:root \{\} && chmod go-w \{\}",
    r"dialplan show \{\}@",
    r"install -d -o USER -m 0711 \{\}",
)
"""Commands that may be told. `dialplan reload` and `queue reload` are not among them: with an #include of a missing
file they say that all is well, and at the next restart Asterisk has no dialplan."""


def texts(source: str) -> Iterator[tuple[int, str]]:
    """Every text of a module but docstrings, with its line; what is filled in is ``{}``."""
    tree = parsed(source)
    passed: set[int] = set()
    for node in ast.walk(tree):
        for statement in getattr(node, "body", None) or () if not isinstance(node, ast.Lambda | ast.IfExp) else ():
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                passed.add(id(statement.value))
        if isinstance(node, ast.JoinedStr):
            passed |= {id(value) for value in node.values}
            yield node.lineno, "".join(v.value if isinstance(v, ast.Constant) else "{}" for v in node.values)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in passed:
            yield node.lineno, node.value


@functools.cache
def messages() -> list[tuple[str, str]]:
    """(where, text) of all that the installed program may say."""
    said = []
    for path in sorted(ROOT.rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if name.split("/")[0] not in NOT_INSTALLED and name not in PAGES:
            said += [(f"{name}:{line}", text) for line, text in texts(path.read_text())]
    return said


def wrong_with(text: str) -> list[str]:
    """Names in a text that do not exist, or that nobody should be told to use. One word alone is no message."""
    if " " not in text.strip():
        return []
    found = [f"an include: {part}" for part in re.findall(r"#\w*include\b.*", text)]
    found += [
        f"a file of the checkout: {p}" for p in re.findall(r"\b(?:asterisk|dialplan|packaging)/[\w-]+\.\w+", text)
    ]
    for path in re.findall(r"(?<![\w.{}/])/(?:etc|usr|opt|var)/[\w./-]*\w", text):
        if not OURS.fullmatch(path):
            found.append(f"a path that nobody made: {path}")
    for name in re.findall(r"(?<![\w/.-])[a-z_]+\.conf\b", text):
        if name not in ASTERISKS_FILES:
            found.append(f"a file that Asterisk does not have: {name}")
    for command in re.findall(r"`([^`]*)`", text):
        found += _wrong_command(command)
    found += [f"a command without backticks: {part}" for part in re.findall(r"(?<!`)asterisk -rx '[^']*'", text)]
    found += [f"a setting that is not there: {name}" for name in settings_in(text) if not exists(name)]
    return found


def _wrong_command(command: str) -> list[str]:
    if command.startswith("ariagent "):
        _, name, *options = command.split()
        known = typer.main.get_command(application()).commands.get(name)  # type: ignore[attr-defined]
        if known is None:
            return [f"a command that is not there: {command}"]
        flags = {flag for parameter in known.params for flag in (*parameter.opts, *parameter.secondary_opts)}
        return [f"an option that is not there: {o} of {name}" for o in options if o.startswith("-") and o not in flags]
    if not any(re.fullmatch(harmless, command) for harmless in HARMLESS):
        return [f"a command that may break something: {command}"]
    return []


def settings_in(text: str) -> set[str]:
    """Dotted names of settings in a sentence."""
    sections = "|".join(Settings.model_fields)
    found = set(re.findall(rf"(?<![\w./@-])(?:{sections})(?:\.(?:NAME|{{}}|[a-z_]+))+(?![\w.]*[/@(])", text))
    return found - ASTERISKS_FILES


def exists(name: str) -> bool:
    """Whether the settings have this key; ``NAME`` and ``{}`` are names of the site's own."""
    models: list[type[BaseModel]] = [Settings]
    for part in name.split("."):
        if part in ("NAME", "{}"):
            continue
        fields = [model.model_fields[part] for model in models if part in model.model_fields]
        if not fields:
            return False
        models = [model for field in fields for model in _models(field.annotation)]
    return True


def _models(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in getattr(annotation, "__args__", ()) for model in _models(inner)]


def test_every_message_names_only_what_is_there_and_does_no_harm() -> None:
    seen = messages()
    assert len(seen) > 2000
    assert {where: wrong for where, text in seen if (wrong := wrong_with(text))} == {}


def test_the_remedies_are_among_what_was_read() -> None:
    told = " ".join(text for _, text in messages())
    for words in ("ariagent install", "module reload res_ari.so", "audiosocket.advertise", "LimitNOFILE="):
        assert words in told


@pytest.mark.parametrize(
    "text",
    [
        # A former remedy: the first of these took a site's whole dialplan away at the next restart.
        "Add #include dialplan/ariagent.conf to extensions.conf, then `asterisk -rx 'dialplan reload'`",
        "Add #include asterisk/queues.conf to queues.conf",
        "Include asterisk/manager.conf, and add the section ami",
        "See /usr/share/ariagent/dialplan/ariagent-supervisor.conf",
        "then asterisk -rx 'module load x.so'",
        "`asterisk -rx 'core restart now'`",
        "`asterisk -rx 'module unload chan_audiosocket.so'`",
        "`queue unpause member`",
        "`ariagent mend`",
        "`ariagent calls --every`",
        "Look at stasis.conf",
        "Set audiosocket.advertize",
        "Check ami.pasword",
    ],
)
def test_what_is_wrong_is_noticed(text: str) -> None:
    assert wrong_with(text)


@pytest.mark.parametrize(
    "text",
    [
        "Run `ariagent install` (it shows first what it would change)",
        "`ariagent calls --all` lists all calls",
        "Set destinations.{}.queue and agents.NAME.opening",
        "Look at manager.conf and at Asterisk's log",
    ],
)
def test_what_is_right_is_let_be(text: str) -> None:
    assert wrong_with(text) == []

"""Reads the settings: a YAML file (``-c FILE``, ``ARIAGENT_CONFIG``, ``/etc/ariagent``), then the environment.

Every ``ARIAGENT_SECTION__KEY`` of the environment overrides its key (``ARIAGENT_TIMEZONE`` where there is no section).
Unknown keys, duplicate keys and wrong values are refused with file, line and key. A secret may be written as
``${NAME}`` (taken from the environment) or ``file:PATH`` (the file's first line); it is never printed. Nothing is read
from the current directory: a relative path is relative to the folder of the settings file.
"""

import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin
from urllib.parse import urlsplit

import yaml
from pydantic import ValidationError

from ariagent import secret
from ariagent.complaints import KeyPath
from ariagent.config.base import Section
from ariagent.config.secrets import Reading
from ariagent.config.tree import Settings
from ariagent.configfile import consistency, yamlfile
from ariagent.configfile.exposed import exposed
from ariagent.configfile.yamlfile import Document
from ariagent.errors import ConfigurationError
from ariagent.text import did_you_mean

DEFAULT_PATH = Path("/etc/ariagent/ariagent.yaml")
ENVIRONMENT_PREFIX = "ARIAGENT_"
PATH_NAME = f"{ENVIRONMENT_PREFIX}CONFIG"
"""The environment variable that names the settings file if there is no ``-c``."""


def chosen(path: Path | None = None, environment: Mapping[str, str] | None = None) -> Path:
    """The settings file: ``path``, else what ``ARIAGENT_CONFIG`` names, else ``/etc/ariagent/ariagent.yaml``.

    Raises ConfigurationError for a relative path in ``ARIAGENT_CONFIG``: it would depend on the current directory.
    """
    environment = os.environ if environment is None else environment
    if path is not None:
        return path
    if not (named := environment.get(PATH_NAME, "")):
        return DEFAULT_PATH
    if not Path(named).is_absolute():
        raise ConfigurationError(
            f"environment {PATH_NAME}: {named} is a relative path", remedy="Write the absolute path"
        )
    return Path(named)


def load(
    path: Path | None = None,
    environment: Mapping[str, str] | None = None,
    *,
    serving: bool = False,
    warn: Callable[[str], None] = lambda warning: None,
) -> Settings:
    """Read the settings from the file that ``chosen`` returns, and from the environment.

    ``serving``: the program serves calls. It needs every secret, and a key if the model's server requires one. Other
    programs get an error only from a secret that they use. ``warn`` is called with what is legal and probably a
    mistake. Raises ConfigurationError with ``file:line: key: what is wrong`` for each mistake, one a line.
    """
    environment = os.environ if environment is None else environment
    source = chosen(path, environment)
    document = yamlfile.load(source, remedy=f"Name one with -c FILE or {PATH_NAME}; the README has a complete example")
    tree, lines = document.tree, document.lines

    def complaint(path: KeyPath, text: str) -> str:
        return f"{yamlfile.place(str(source), lines, path)}: {yamlfile.dotted(path)}: {text}"

    emptied = _fill_empty_sections(document)
    _apply_environment(tree, environment, lines, str(source))
    try:
        settings = Settings.model_validate(tree, context=Reading(environment, source.absolute().parent))
    except ValidationError as error:
        problems = yamlfile.explain(str(source), lines, error, _did_you_mean, emptied)
        raise ConfigurationError("\n".join(problems)) from None
    secret.locate(settings, lambda path: yamlfile.place(str(source), lines, path), yamlfile.dotted)
    if found := list(consistency.problems(settings)):
        raise ConfigurationError("\n".join(complaint(*problem) for problem in found))
    for empty in _switched_off(document.empty - emptied):
        warn(complaint(empty, "has no value, which switches it off; write null if you want that, else remove the key"))
    for block, number, key in _swallowed(document):
        text = (
            f"this line is part of the text, but looks like the key {key}; if it is a key, indent it like {block[-1]}"
        )
        warn(f"{source}:{number}: {yamlfile.dotted(block)}: {text}")
    elsewhere = {path for path, where in lines.items() if where.startswith("environment ")}
    for found_open in exposed(settings, tree, elsewhere, source):
        warn(found_open)
    if serving:
        secret.demand(settings)
        if settings.realtime.lacks_key:
            raise ConfigurationError(
                complaint(("realtime", "api_key"), f"{urlsplit(settings.realtime.url).hostname} needs a key"),
                remedy="Set it, for instance as ${OPENAI_API_KEY} or file:PATH, or in ARIAGENT_REALTIME__API_KEY",
            )
    return settings


def _apply_environment(
    tree: dict[str, Any], environment: Mapping[str, str], lines: dict[KeyPath, str], source: str
) -> None:
    # Without __ only the keys that have no keys below: variables of other programs may begin with ARIAGENT_ too.
    plain = {key for key in Settings.model_fields if not _sections((key,)) and dict not in _kinds((key,))}
    for name, text in sorted(environment.items()):
        key = name.removeprefix(ENVIRONMENT_PREFIX).lower()
        if not name.startswith(ENVIRONMENT_PREFIX) or ("__" not in name and key not in plain):
            continue
        path = tuple(key.split("__"))
        branch = tree
        for depth, part in enumerate(path[:-1]):
            below = branch.get(part)
            if below is None:
                below = branch[part] = {}
                lines.setdefault(path[: depth + 1], f"environment {name}")
            if not isinstance(below, dict):
                raise ConfigurationError(
                    f"environment {name}: {yamlfile.dotted(path[: depth + 1])} is not a section in {source}"
                )
            branch = below
        # Lists, mappings and null may be given as YAML. Everything else stays text, and the field's type converts it.
        try:
            branch[path[-1]] = yaml.safe_load(text) if text[:1] in ("[", "{") or text == "null" else text
        except (yaml.YAMLError, ValueError):
            raise ConfigurationError(f"environment {name}: {yamlfile.dotted(path)}: not valid YAML") from None
        lines[path] = f"environment {name}"


# -- sections with nothing in them ----------------------------------------------------------------------------------


def _fill_empty_sections(document: Document) -> set[KeyPath]:
    """Give empty sections (every key commented out) and empty lists their defaults. Returns their key paths.

    Only an explicit ``null`` switches a section off.
    """
    filled = set()
    for path in sorted(document.empty, key=len):
        branch, key = _holder(document.tree, path)
        kinds = _kinds(path)
        if branch is None:
            continue
        if _sections(path):
            branch[key] = {}
        elif str not in kinds and kinds & {dict, tuple} and isinstance(branch, dict):
            del branch[key]
        else:
            continue
        filled.add(path)
    return filled


def _holder(tree: Any, path: KeyPath) -> tuple[Any, Any]:
    """The container of the value at a key path, and its key there; (None, None) if the tree has no such place.

    A key may be a number for YAML (1001). A merged key (``<<``) has no place.
    """
    branch = key = None
    for part in path:
        branch = tree if branch is None else branch[key]
        keys = branch.keys() if isinstance(branch, dict) else range(len(branch)) if isinstance(branch, list) else ()
        key = next((each for each in keys if each == part or str(each) == part), None)
        if key is None:
            return None, None
    return branch, key


# -- what the settings tree has where -------------------------------------------------------------------------------


def _kinds(path: KeyPath) -> set[Any]:
    """The types allowed at a key path: sections, ``dict``, ``tuple``, plain types; empty if the key is unknown."""
    annotations: list[Any] = [Settings]
    for part in path:
        below: list[Any] = []
        for annotation in annotations:
            origin, arguments = get_origin(annotation), get_args(annotation)
            if isinstance(annotation, type) and issubclass(annotation, Section):
                field = annotation.model_fields.get(str(part))
                below += [] if field is None else _choices(field.annotation)
            elif origin is dict:
                below += _choices(arguments[1])
            elif origin is tuple and isinstance(part, int):
                below += _choices(arguments[0])
        annotations = below
    return {get_origin(each) or each for each in annotations}


def _choices(annotation: Any) -> list[Any]:
    """The members of a union, without their validators; any other annotation is returned alone."""
    if (members := getattr(annotation, "__metadata__", None)) is not None and members:
        return _choices(annotation.__origin__)
    arguments = get_args(annotation)
    if arguments and get_origin(annotation) not in (dict, tuple, list, type) and not _is_literal(annotation):
        return [choice for argument in arguments for choice in _choices(argument)]
    return [] if annotation is NoneType else [annotation]


def _is_literal(annotation: Any) -> bool:
    return all(isinstance(argument, str | int) for argument in get_args(annotation))


_RENAMED = {"briefs": "announcements", "sign": "waiting_prompt"}
"""Settings of earlier versions: old name -> name today, which is too different to be found as a similar one."""


def _did_you_mean(path: KeyPath) -> str:
    """A hint for an unknown key, the last part of the path: a similar key, else the known keys."""
    known = _keys(path[:-1])
    if path[-1] in known:
        others = [kind for kind in _sections(path[:-1]) if str(path[-1]) in kind.model_fields]
        types = [get_args(kind.model_fields["type"].annotation)[0] for kind in others]
        return f" with this type; it belongs to {' and '.join(types)}"
    if (renamed := _RENAMED.get(str(path[-1]))) in known:
        return f" (did you mean {renamed}?)"
    return did_you_mean(str(path[-1]), known) or f" (known here: {', '.join(known)})" if known else ""


def _sections(path: KeyPath) -> list[type[Section]]:
    """The sections that are allowed at a key path."""
    return [kind for kind in _kinds(path) if isinstance(kind, type) and issubclass(kind, Section)]


def _keys(path: KeyPath) -> list[str]:
    """The keys of those sections."""
    return list(dict.fromkeys(name for kind in _sections(path) for name in kind.model_fields))


_LOOKS_LIKE_A_KEY = re.compile(r"\s*([a-z_]+):(\s|$)")


def _switched_off(empty: Collection[KeyPath]) -> Iterator[KeyPath]:
    """The keys without a value that have a default other than null."""
    for path in sorted(empty, key=str):
        fields = [kind.model_fields.get(str(path[-1])) for kind in _sections(path[:-1])]
        if any(field is not None and field.get_default() is not None for field in fields):
            yield path


def _swallowed(document: Document) -> Iterator[tuple[KeyPath, int, str]]:
    """Lines of a text block that look like keys, because they are indented too far: (the text's path, line, key)."""
    for block in document.blocks:
        known = _keys(block.path[:-1])
        for number, line in enumerate(block.lines, block.first_line):
            if (found := _LOOKS_LIKE_A_KEY.match(line)) and found[1] in known:
                yield block.path, number, found[1]

"""Reads the settings: a YAML file (``-c FILE``), then the environment.

Every ``ARIAGENT_SECTION__KEY`` of the environment overrides its key (``ARIAGENT_MAX_CALLS`` where there is no section).
Unknown keys, duplicate keys and wrong values are refused with file, line and key. A secret may be written as
``${NAME}`` (taken from the environment) or ``file:PATH`` (the file's first line); it is never printed.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin
from urllib.parse import urlsplit

import yaml
from pydantic import ValidationError

from ariagent import yamlfile
from ariagent.config import consistency
from ariagent.config.base import Section
from ariagent.config.tree import Settings
from ariagent.errors import ConfigurationError
from ariagent.text import did_you_mean
from ariagent.yamlfile import KeyPath

DEFAULT_PATH = Path("/etc/ariagent/ariagent.yaml")
ENVIRONMENT_PREFIX = "ARIAGENT_"


def load(path: Path | None = None, environment: Mapping[str, str] | None = None, *, serving: bool = False) -> Settings:
    """Read the settings from ``path`` (default ``/etc/ariagent/ariagent.yaml``) and the environment.

    ``serving``: for a program that talks to the model, which also needs what the model's server cannot do without.
    Raises ConfigurationError with ``file:line: key: what is wrong`` for each mistake, one a line.
    """
    source = path or DEFAULT_PATH
    environment = os.environ if environment is None else environment
    tree, lines = yamlfile.read(source, remedy="Name one with -c FILE; the README has a complete example")
    _apply_environment(tree, environment, lines, str(source))
    try:
        settings = Settings.model_validate(tree)
    except ValidationError as error:
        problems = yamlfile.explain(str(source), lines, error, _did_you_mean)
        raise ConfigurationError("\n".join(problems)) from None
    if found := list(consistency.problems(settings)):
        raise ConfigurationError(
            "\n".join(
                f"{yamlfile.place(str(source), lines, path)}: {yamlfile.dotted(path)}: {text}" for path, text in found
            )
        )
    if serving and settings.realtime.lacks_key:
        where = yamlfile.place(str(source), lines, ("realtime", "api_key"))
        raise ConfigurationError(
            f"{where}: realtime.api_key: {urlsplit(settings.realtime.url).hostname} needs a key",
            remedy="Set it, for instance as ${OPENAI_API_KEY} or file:PATH, or in ARIAGENT_REALTIME__API_KEY",
        )
    return settings


def _apply_environment(
    tree: dict[str, Any], environment: Mapping[str, str], lines: dict[KeyPath, str], source: str
) -> None:
    # Without a section only the plain keys: other programs' variables may begin as ours do.
    plain = {key for key, field in Settings.model_fields.items() if field.annotation in (int, float, Path)}
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
        # Lists and mappings may be given as YAML; everything else stays text and is converted by the field's type.
        try:
            branch[path[-1]] = yaml.safe_load(text) if text[:1] in ("[", "{") else text
        except (yaml.YAMLError, ValueError):
            raise ConfigurationError(f"environment {name}: {yamlfile.dotted(path)}: not valid YAML") from None
        lines[path] = f"environment {name}"


def _did_you_mean(path: KeyPath) -> str:
    """For the last part of a path, which no section has: the keys that there are."""
    models: list[type[Section]] = [Settings]
    holder = False
    for part in path[:-1]:
        if holder:  # the part is a name of the site's own, or a place in a list
            holder = False
            continue
        annotation = next(
            (model.model_fields[str(part)].annotation for model in models if part in model.model_fields), None
        )
        models = list(_sections(annotation))
        holder = any(get_origin(each) in (dict, tuple) for each in (annotation, *get_args(annotation)))
    known = list(dict.fromkeys(name for model in models for name in model.model_fields))
    if not known or holder:
        return ""
    return did_you_mean(str(path[-1]), known) or f" (known here: {', '.join(known)})"


def _sections(annotation: Any) -> Iterator[type[Section]]:
    """The sections that a field may be, or hold."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for inner in get_args(annotation):
        yield from _sections(inner)

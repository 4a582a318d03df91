"""Secrets of the settings that every user of the machine can read."""

import stat
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from ariagent import secret
from ariagent.complaints import KeyPath
from ariagent.config.secrets import secret_file
from ariagent.config.tree import Settings
from ariagent.configfile.yamlfile import dotted

MOST_NAMED = 5


def exposed(settings: Settings, tree: object, elsewhere: Collection[KeyPath], source: Path) -> Iterator[str]:
    """Find what is wrong with the modes of the settings file and of the secrets' own files, with what to do.

    ``tree``: the settings as they are written. ``elsewhere``: keys that are not from that file.
    """
    plain: list[KeyPath] = []
    files: dict[Path, KeyPath] = {}
    for path, found in secret.within(settings):
        text = _written(tree, path)
        if path in elsewhere or not isinstance(text, str) or not text or not hasattr(found, "get_secret_value"):
            continue
        if (named := secret_file(text, source.absolute().parent)) is not None:
            files.setdefault(named, path)
        elif not text.startswith(("file:", "${")):
            plain.append(path)
    if plain and _read_by_others(source):
        keys = ", ".join(dotted(path) for path in plain[:MOST_NAMED]) + (" ..." if len(plain) > MOST_NAMED else "")
        yield (
            f"{source}: every user of this machine can read this file, and it holds {keys} in plain text; "
            f"`chmod o-r {source}`, or write file:PATH there"
        )
    for file, path in files.items():
        if _read_by_others(file):
            yield f"{dotted(path)}: every user of this machine can read the secret's file; `chmod o-r {file}`"


def _written(tree: Any, path: KeyPath) -> object:
    for key in path:
        if isinstance(tree, Mapping):
            tree = tree.get(key)
        elif isinstance(tree, list) and isinstance(key, int) and key < len(tree):
            tree = tree[key]
        else:
            return None
    return tree


def _read_by_others(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False

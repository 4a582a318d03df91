"""Writes what only its owner may read: records of conversations, support bundles, tokens."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

SCRATCH = ".part"
"""The suffix of a file that is not whole yet."""


def write(path: Path, content: str | bytes) -> None:
    """Write the whole file or nothing, with mode 0600 from the first byte on. Raises OSError.

    A file that is there is replaced, whoever may read it; where a symbolic link leads, that file is. A device or a pipe
    (``/dev/stdout``) is written to.
    """
    data = content.encode("utf-8", "replace") if isinstance(content, str) else content
    if path.is_relative_to("/dev") or path.is_relative_to("/proc") or (path.exists() and not path.is_file()):
        with path.open("wb") as stream:
            stream.write(data)
        return
    target = path.resolve()
    # 0600, whatever the umask. By the suffix a folder can be cleaned of what a killed process has left.
    handle, scratch = tempfile.mkstemp(prefix=f".{target.name[:100]}.", suffix=SCRATCH, dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(scratch).replace(target)
    except BaseException:
        with suppress(OSError):
            Path(scratch).unlink()
        raise

"""Programs of distribution packages that were unpacked into a folder: how they are run from there."""

from __future__ import annotations

from pathlib import Path

from ariagent.errors import ConfigurationError

STAMP = ".complete"
"""Is in a package's folder when all of it is there."""


def folder_of(package: str, folder: Path) -> Path:
    """Where ``package`` is unpacked below ``folder``."""
    return folder / "packages" / package


def tool_argv(tool: str, root: Path) -> list[str]:
    """The argv prefix that runs ``tool`` of the packages in ``root``."""
    argv = [*loader(root), str(root / "usr/bin" / tool)]
    if tool == "espeak-ng":  # looks for its voices where the distribution has them
        argv.append(f"--path={first(root, 'usr/lib/*/espeak-ng-data', 'usr/share/espeak-ng-data').parent}")
    return argv


def loader(root: Path) -> tuple[str, ...]:
    """The argv prefix that runs a program of ``root`` with the C library and the libraries of ``root`` only."""
    program = first(root, "usr/lib64/ld-linux-*.so.*", "usr/lib/ld-linux-*.so.*", "lib*/ld-linux-*.so.*")
    libraries = [*root.glob("usr/lib/*-linux-gnu*"), *root.glob("lib/*-linux-gnu*"), root / "usr/lib"]
    for private in ("pulseaudio", "systemd"):
        libraries += root.glob(f"usr/lib/*-linux-gnu*/{private}")
    return (str(program), "--library-path", ":".join(str(path) for path in libraries if path.is_dir()))


def first(root: Path, *patterns: str) -> Path:
    """The first path below ``root`` that one of ``patterns`` matches. Raises ConfigurationError where there is none."""
    for pattern in patterns:
        for path in sorted(root.glob(pattern)):
            return path
    raise ConfigurationError(f"{root} lacks {patterns[0]}", remedy="Delete the folder and run the command again")

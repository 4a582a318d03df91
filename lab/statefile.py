"""Files that the lab's commands share: ``lab.json``, the processes that run, and ``lab.env``, the names for shells."""

from __future__ import annotations

import contextlib
import json
import shlex
from collections.abc import Mapping
from pathlib import Path

from ariagent.errors import ConfigurationError
from lab.processes import ProcessRef


def note(lab_dir: Path, processes: Mapping[str, ProcessRef]) -> None:
    """Write down what runs, by part."""
    scratch = lab_dir / "lab.json.new"
    scratch.write_text(json.dumps({name: [ref.pid, ref.started_ticks] for name, ref in processes.items()}))
    scratch.replace(lab_dir / "lab.json")


def known(lab_dir: Path) -> dict[str, ProcessRef]:
    """The processes that ``lab.json`` names. Raises ConfigurationError for a damaged file."""
    try:
        content = json.loads((lab_dir / "lab.json").read_text())
        return {part: ProcessRef(int(pid), int(ticks)) for part, (pid, ticks) in content.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigurationError(f"{lab_dir}/lab.json is damaged: {error}", remedy="Delete the file") from None


def read_env(lab_dir: Path) -> dict[str, str]:
    """``lab.env`` as a dictionary. Raises ConfigurationError when the lab was never started."""
    try:
        lines = (lab_dir / "lab.env").read_text().splitlines()
    except FileNotFoundError:
        raise ConfigurationError("the lab is not up", remedy="Start it with make lab-up") from None
    return {name: "".join(shlex.split(value)) for name, _, value in (line.partition("=") for line in lines)}


def forget(lab_dir: Path) -> None:
    """Nothing runs any more."""
    for name in ("lab.json", "lab.env"):
        with contextlib.suppress(FileNotFoundError):
            (lab_dir / name).unlink()

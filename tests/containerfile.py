"""The container recipe, parsed."""

from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
CONTAINERFILE = ROOT / "packaging" / "container" / "Containerfile"
COMPOSE = CONTAINERFILE.with_name("compose.yaml")


def recipe() -> list[list[Any]]:
    """The instructions of each stage."""
    dockerfile = pytest.importorskip("dockerfile", reason="the parser has no wheel for this platform")
    stages: list[list[Any]] = []
    for instruction in dockerfile.parse_file(str(CONTAINERFILE)):
        if instruction.cmd == "FROM":
            stages.append([])
        if stages:
            stages[-1].append(instruction)
    return stages


def copied() -> list[str]:
    """The files and folders of the checkout that it takes."""
    return [
        name
        for stage in recipe()
        for instruction in stage
        if instruction.cmd in ("COPY", "ADD") and not any(flag.startswith("--from") for flag in instruction.flags)
        for name in instruction.value[:-1]
    ]

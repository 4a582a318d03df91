"""Hostile programs on the service's ports, and a hostile model's server: the call beside them does not notice."""

from pathlib import Path
from typing import Any

import pytest

from lab import attackbench, attackers, hostilemodel
from lab.asterisk import AsteriskInstance
from lab.attackbench import Harm

EXTRA_GAP_MS = 20.0
"""One frame."""
MEMORY_MB, LOG_MB = 32.0, 1.0
LEAST_CONNECTIONS = 15_000


def harmless(harm: Harm, capsys: Any) -> None:
    with capsys.disabled():
        print(
            f"\n{harm.kind}: longest gap {harm.gap_ms:.0f} ms (calm {harm.calm_gap_ms:.0f}), {harm.packets} of "
            f"{harm.expected} packets, memory {harm.memory_mb:+.1f} MB, log {harm.log_mb:+.2f} MB, {harm.detail}"
        )
    assert harm.extra_gap_ms <= EXTRA_GAP_MS
    assert harm.memory_mb <= MEMORY_MB
    assert harm.log_mb <= LOG_MB


@pytest.mark.chaos
async def test_attacks_on_the_ports(asterisk: AsteriskInstance, tmp_path: Path, capsys: Any) -> None:
    connections = 0
    harms = [harm async for harm in attackbench.besieged(asterisk, tmp_path, list(attackers.KINDS))]
    for harm in harms:
        harmless(harm, capsys)
        connections += harm.detail["connections"]
        assert harm.detail["passed"] == harm.detail["failed"] == 0, harm
    assert connections >= LEAST_CONNECTIONS


@pytest.mark.chaos
@pytest.mark.parametrize("kind", hostilemodel.KINDS)
async def test_a_hostile_model(asterisk: AsteriskInstance, tmp_path: Path, kind: str, capsys: Any) -> None:
    harmless(await attackbench.betrayed(asterisk, tmp_path, kind), capsys)

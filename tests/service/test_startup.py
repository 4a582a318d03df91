"""Mistakes in agents and tools that can be known beforehand keep ``ariagent run`` from starting: each one with its file
and line, exit code 2."""

import os
from pathlib import Path

from tests import forked

PATIENCE_S = 60.0

MISTAKES = """\
realtime:
  api_key: k
routes:
  - {agent: sale, extension: "7001"}
agents:
  default:
    voice: marine
    instructions: You are talking to {caller.nmae}, {variable.TIER}.
    tools: [order_stats]
    mcp: [crn]
    opening: {de: Guten Tag.}
    keypad: {actions: {"x": person}}
    turn_detection: {type: semantic_vad, eagerness: hasty}
  sales:
    lookup: {url: "https://crm.example.com/?n={caller.number}"}
tools:
  order_status:
    description: Says where an order is.
    url: https://api.example.com/orders/{number}
  end_call:
    description: Ours.
    url: https://api.example.com/end
mcp_servers:
  crm: {url: "https://crm.example.com/mcp"}
outbound:
  allowed_hosts: [api.example.com]
"""

FORM = {
    12: ("agents.default.keypad.actions",),
    13: ("agents.default.turn_detection", "eagerness"),
    19: ("tools.order_status.url", "{number}"),
}
"""Told first: a file whose values are no values cannot be looked at further."""

SENSE = {
    4: ("routes[0].agent", "sale", "did you mean sales?"),
    7: ("agents.default.voice", "marine", "did you mean marin?"),
    8: ("agents.default.instructions", "{caller.nmae}"),
    9: ("agents.default.tools[0]", "order_stats"),
    10: ("agents.default.mcp", "crn", "did you mean crm?"),
    11: ("agents.default.opening", "en"),
    15: ("agents.sales.lookup.url", "crm.example.com"),
    20: ("tools.end_call",),
}


async def run(file: Path, text: str) -> tuple[int, list[str]]:
    """Exit code and complaints of ``ariagent run`` with a file that holds this text."""
    file.write_text(text)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ARIAGENT_")}
    environment = {**clean, "COLUMNS": "200"}
    code, out, err = await forked.ariagent("run", "-c", str(file), environment=environment, limit_s=PATIENCE_S)
    assert out == ""
    return code, err.splitlines()


def check(file: Path, lines: list[str], wanted: dict[int, tuple[str, ...]]) -> None:
    """Every mistake of ``wanted`` is told with file and line."""
    assert "Traceback" not in "\n".join(lines)
    for number, words in wanted.items():
        told = [line for line in lines if f"{file}:{number}: " in line]
        assert any(all(word in line for word in words) for line in told), (number, words, lines)


async def test_every_mistake_is_told_at_once_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "ariagent.yaml"
    code, lines = await run(file, MISTAKES)
    assert code == 2
    check(file, lines, FORM)

    mended = MISTAKES.replace('{"x": person}', '{"0": person}').replace("hasty", "high")
    mended = mended.replace("/orders/{number}", "/orders")
    code, lines = await run(file, mended)
    assert code == 2
    check(file, lines, SENSE)
    assert any(f"{file}:8: " in line and "{variable.TIER}" in line for line in lines)

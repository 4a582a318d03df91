"""``python -m lab``: the lab's own commands, called by the Makefile."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import logging
import os
import signal
import sys
from pathlib import Path

from ariagent.errors import AriagentError, ConfigurationError
from ariagent.synthesis.programs import LAB
from lab import up
from lab.packages import default_lab_dir, ensure_asterisk, ensure_judge, ensure_tool, stderr_progress

_OWN_OPTIONS = {
    "test": "run the short tests, in two groups at the same time",
    "demo": "hold a conversation and print it",
    "bench": "measure every budget",
    "judging": "how well the end-of-turn judge hears the end of human speech",
    "soak": "hang many calls up at random moments and see what is left",
    "startup": "the CPU time of a start, beside an earlier commit",
    "recordings": "make the recorded speech of the package again",
    "pictures": "make the pictures of the documentation site",
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 success, 1 failed, 2 wrong usage or configuration."""
    parser = argparse.ArgumentParser(prog="python -m lab", description="The rootless lab.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("setup", help="fetch what the lab needs and the machine lacks")
    starting = commands.add_parser("up", help="start Asterisk, sandbox and service in the background")
    starting.add_argument("--settings", type=Path, metavar="FILE", help="your settings, with the lab's addresses")
    starting.add_argument("--scenario", type=Path, metavar="FILE", help="what the sandbox says to what")
    commands.add_parser("down", help="stop them")
    commands.add_parser("status", help="say what runs; exit code 0 when all of it does")
    alone = commands.add_parser("asterisk", help="run one Asterisk in the foreground")
    alone.add_argument("directory", type=Path, help="its folder; DIRECTORY/lab.env gets its addresses")
    for name, text in _OWN_OPTIONS.items():
        # Their own options are theirs to parse.
        commands.add_parser(name, help=text, add_help=False)
    options, rest = parser.parse_known_args(arguments)
    if rest and options.command not in _OWN_OPTIONS:
        parser.error(f"unknown: {' '.join(rest)}")
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    try:
        return _run(options, rest)
    except ConfigurationError as error:
        stderr_progress(error.line)
        return 2
    except AriagentError as error:
        stderr_progress(error.line)
        return 1
    except KeyboardInterrupt:
        stderr_progress("interrupted")
        return 130


def _run(options: argparse.Namespace, rest: list[str]) -> int:
    lab_dir = default_lab_dir()
    # For what is started here, too: programs that speak are looked for, and unpacked, in the lab's folder.
    os.environ[LAB] = str(lab_dir)
    match options.command:
        case "up":
            return up.up(lab_dir, options.settings, options.scenario)
        case "down":
            return up.down(lab_dir)
        case "status":
            return up.status(lab_dir)
        case "setup":
            ensure_asterisk(lab_dir)
            for tool in ("flite", "sipp"):
                ensure_tool(tool, lab_dir)
            ensure_judge(lab_dir)
            return 0
        case "asterisk":
            return asyncio.run(_foreground(lab_dir, options.directory))
        case command:
            # Imported only here: the demo and the bench pull in callers and audio that the other commands do without.
            return int(importlib.import_module(f"lab.{command}").main(rest))


async def _foreground(lab_dir: Path, directory: Path) -> int:
    from lab.asterisk import AsteriskInstance

    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with AsteriskInstance(ensure_asterisk(lab_dir), directory) as asterisk:
        asterisk.write_env(asterisk.root / "lab.env")
        stderr_progress(f"Asterisk is up, sip:127.0.0.1:{asterisk.sip_port}, addresses in {asterisk.root}/lab.env")
        await ended.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""``make bench``: measure every budget on this machine, or show two such runs side by side.

``benchparts`` has what is measured and the budgets, ``benchrows`` what a row, a run and a comparison are.
"""

from __future__ import annotations

import argparse
import asyncio
import difflib
import logging
import os
import platform
import signal
import sys
import tempfile
from pathlib import Path

from ariagent.errors import ConfigurationError
from lab.asterisk import AsteriskInstance
from lab.benchparts import PARTS, Bench, described
from lab.benchrows import Run, previous, side_by_side
from lab.packages import AsteriskProgram, default_lab_dir, ensure_asterisk, ensure_tool

log = logging.getLogger(__name__)

ENDING_S = 20.0
"""Everything that was started must have ended within this time."""


async def run(program: AsteriskProgram, parts: list[str], out: Path) -> bool:
    """Measure these parts and write ``out``; returns whether every budget is kept."""
    cancel_on_signals()
    with tempfile.TemporaryDirectory(prefix="ariagent-bench-") as scratch:
        directory = Path(scratch)
        async with AsteriskInstance(program, directory / "asterisk") as asterisk:
            bench = Bench(asterisk, directory)
            for number, part in enumerate(parts, 1):
                print(f"[{number}/{len(parts)}] {part}: {described(part)}", flush=True)  # noqa: T201
                await measure(bench, part)
    found = Run(f"{platform.machine()}, Python {platform.python_version()}", program.version, tuple(bench.rows))
    again = out.exists()
    found.write(out)
    verdict = "every budget is kept" if not found.missed else f"missed: {'; '.join(found.missed)}"
    print(f"{len(bench.rows)} rows, {verdict}; written to {_short(out)}", flush=True)  # noqa: T201
    if again:
        command = f"python -m lab bench --compare {_short(previous(out))} {_short(out)}"
        print(f"the run before: {command}", flush=True)  # noqa: T201
    return not found.missed


async def measure(bench: Bench, part: str) -> None:
    """Measure a part. A part that fails is a missed row, and does not keep the other parts from being measured."""
    try:
        await PARTS[part](bench)
    except Exception as error:
        log.warning("%s ended early", part, exc_info=error)
        bench.note(
            f"{part}: ended early, its other rows are missing", 1, 0, "", error=f"{type(error).__name__}: {error}"
        )


def cancel_on_signals() -> None:
    """Ctrl-C and SIGTERM cancel what is being measured, so that all that was started is ended."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    cancelled_at: float | None = None

    def stop() -> None:
        nonlocal cancelled_at
        if cancelled_at is not None and loop.time() < cancelled_at + ENDING_S:
            tell("still ending what was started")
            return
        tell("interrupted: ending what was started, no rows are written")
        cancelled_at = loop.time()
        task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)


def tell(text: str) -> None:
    """Say it on standard error: standard output is for rows."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201


def _short(path: Path) -> str:
    """A path as one would type it here."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def arguments(argv: list[str]) -> argparse.Namespace:
    """The command line. Raises ConfigurationError for a part that there is not."""
    parser = argparse.ArgumentParser(
        prog="python -m lab bench",
        description="Measure every budget on this machine. Exit code 0 if all are kept, 1 if one is missed.",
        epilog="parts:\n" + "\n".join(f"  {part:<14}{described(part)}" for part in PARTS),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help="what to measure (see below); without any, all of it")
    parser.add_argument(
        "--out",
        type=Path,
        default=default_lab_dir() / "bench.json",
        metavar="FILE",
        help="where the rows go (.lab/bench.json); those that were there go to NAME.previous.json",
    )
    parser.add_argument(
        "--compare",
        nargs=2,
        type=Path,
        metavar=("OLD", "NEW"),
        help="measure nothing, show two such files side by side; exit code 1 if a row got worse by more than noise",
    )
    options = parser.parse_args(argv)
    if options.compare and options.parts:
        raise ConfigurationError(
            f"--compare takes two files, and no parts beside them ({', '.join(options.parts)})",
            remedy="Write bench --compare OLD.json NEW.json.",
        )
    if unknown := [part for part in options.parts if part not in PARTS]:
        close = [name for part in unknown for name in difflib.get_close_matches(part, PARTS, n=1)]
        meant = f"Did you mean {', '.join(close)}? " if close else ""
        raise ConfigurationError(
            f"no such part: {', '.join(unknown)}", remedy=f"{meant}The parts are {', '.join(PARTS)}."
        )
    options.parts = options.parts or list(PARTS)
    return options


def main(argv: list[str] | None = None) -> int:
    """Measure all parts, or those named, or compare two runs; exit code 0 when every budget is kept, or no row worse.

    Raises ConfigurationError for wrong usage, KeyboardInterrupt when it was interrupted.
    """
    options = arguments(sys.argv[1:] if argv is None else argv)
    if options.compare:
        old, new = (Run.read(path) for path in options.compare)
        lines, good = side_by_side(old, new, (str(options.compare[0]), str(options.compare[1])))
        print("\n".join(lines))  # noqa: T201
        return 0 if good else 1
    logging.basicConfig(level=logging.WARNING)
    lab_dir = default_lab_dir()
    program = ensure_asterisk(lab_dir)
    ensure_tool("flite", lab_dir)
    try:
        return 0 if asyncio.run(run(program, options.parts, options.out)) else 1
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None

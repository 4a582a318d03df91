"""``make pictures``: pictures of the documentation site, from real calls through the lab's Asterisk and the sandbox.

Output of commands becomes SVG. The page of a call needs a browser: without one, the site shows the file of the
checkout (``docs/images``). A page of ``docs/`` asks for a picture by the comment ``<!-- picture NAME: text -->``, which
the site replaces (``.ci/site/pages.py``).
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import re
import shutil
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.text import Text

from ariagent.errors import AriagentError
from lab import environment
from lab.asterisk import AsteriskInstance
from lab.demo import DESTINATIONS, WITHOUT_JUDGE, agent
from lab.packages import default_lab_dir, ensure_asterisk, ensure_judge, ensure_tool, stderr_progress

ROOT = Path(__file__).parents[1]
PICTURES = ("call.svg", "calls.svg", "check.svg", "demo.svg", "timeline.png")
"""Every picture that the build makes."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
PAGE_SIZE = (1628, 1787)
"""Pixels of a screenshot, at ``SCALE`` pixels for each pixel of CSS."""
SCALE = 1.5
COLUMNS = 132
COMMAND_LIMIT_S = 300.0
CALLS = (("7000", "5550117"), ("7001", "5550142"))
"""Extension and caller's number of each call that ``ariagent calls`` shows, besides the demo's."""
SHOWN_ROOT = "~/ariagent"
"""The checkout's folder, as pictures show it."""
MARK = re.compile(r"^<!-- picture ([\w-]+\.(?:svg|png)): (.+) -->$", re.MULTILINE)
"""The place of a picture on a page: name and text."""

_SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">
<style>
.{unique_id}-matrix {{ font-family: "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: {char_height}px;
  line-height: {line_height}px; font-variant-east-asian: full-width; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: system-ui, sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""
"""A terminal as rich draws it, with the reader's own fonts: a picture on a page may not load any."""


def main(argv: Sequence[str] | None = None) -> int:
    """Make the pictures in a folder. Exit code 0 only if all of them were made, but for a missing browser."""
    parser = argparse.ArgumentParser(prog="pictures", description="Make the pictures of the documentation site.")
    parser.add_argument("directory", type=Path, help="the folder for the pictures")
    parser.add_argument("--only", metavar="NAME", choices=PICTURES, help="make only this picture")
    options = parser.parse_args(argv)
    options.directory.mkdir(parents=True, exist_ok=True)
    return asyncio.run(_make(options.directory, options.only))


async def _make(directory: Path, only: str | None) -> int:
    lab_dir = default_lab_dir()
    program = await asyncio.to_thread(ensure_asterisk, lab_dir)
    await asyncio.to_thread(ensure_tool, "flite", lab_dir)
    has_judge = await asyncio.to_thread(partial(ensure_judge, lab_dir, without=WITHOUT_JUDGE))

    def wanted(*names: str) -> bool:
        return only is None or only in names

    if wanted("call.svg", "demo.svg", "timeline.png"):
        conversation, _, record = (await _run("-m", "lab", "demo")).partition("\nThe same call in")
        if wanted("demo.svg"):
            draw(conversation, "make demo", directory / "demo.svg")
        if wanted("call.svg"):
            shown = record.partition("\n")[2].partition("As a page with")[0]
            draw(shown, "ariagent calls ID", directory / "call.svg")
        if wanted("timeline.png"):
            await screenshot(lab_dir / "demo" / "call.html", directory / "timeline.png")
    if wanted("calls.svg", "check.svg"):
        folder = lab_dir / "pictures"
        shutil.rmtree(folder, ignore_errors=True)
        async with AsteriskInstance(program, folder / "asterisk") as asterisk, environment.sandbox(folder) as (_, url):
            settings = {
                "realtime": {"url": url, "api_key": "sandbox"},
                "agents": {"default": agent(has_judge=has_judge)},
                "destinations": DESTINATIONS,
                "caps": {},
            }
            async with environment.service(asterisk, folder, settings):
                await _show_service(folder / "service.yaml", directory, wanted("calls.svg"), wanted("check.svg"))
    stderr_progress(f"the pictures are in {directory}")
    return 0


async def _show_service(settings: Path, directory: Path, calls: bool, check: bool) -> None:
    """Pictures of commands beside a running service."""
    config = ("-c", str(settings))
    if check:
        draw(await _run("-m", "ariagent", "check", *config), "ariagent check", directory / "check.svg")
    if calls:
        for extension, caller in CALLS:
            await _run("-m", "ariagent", "call", extension, "--caller-id", caller, "--quiet", *config)
        draw(await _run("-m", "ariagent", "calls", *config), "ariagent calls", directory / "calls.svg")


async def _run(*arguments: str) -> str:
    """Standard output of a Python command, with colours. Raises AriagentError if it fails."""
    stderr_progress(" ".join(arguments[1:]).replace(str(ROOT), SHOWN_ROOT))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "COLUMNS": str(COLUMNS - 1), "FORCE_COLOR": "1", "TERM": "xterm-256color"},
    )
    output, _ = await _ended(process, " ".join(arguments))
    if process.returncode:
        raise AriagentError(f"{' '.join(arguments)} ended with {process.returncode}:\n{output.decode()[-2000:]}")
    return output.decode()


async def _ended(process: asyncio.subprocess.Process, name: str) -> tuple[bytes, bytes]:
    """Both outputs of a program that has ended. Raises AriagentError if it does not end in time."""
    try:
        async with asyncio.timeout(COMMAND_LIMIT_S):
            return await process.communicate()
    except TimeoutError:
        raise AriagentError(f"{name} did not end within {COMMAND_LIMIT_S:.0f} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def draw(output: str, title: str, path: Path) -> None:
    """Write the output of a command as an SVG picture of a terminal. It may have ANSI colours."""
    text = Text.from_ansi(output.replace(str(ROOT), SHOWN_ROOT).strip("\n"))
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(text, soft_wrap=False)
    console.save_svg(str(path), title=title, code_format=_SVG, unique_id=path.stem)


async def screenshot(page: Path, path: Path) -> None:
    """Write an HTML file as a PNG picture. Does nothing but say so if there is no browser."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        stderr_progress(
            f"no browser for {path.name} (apt-get install chromium): the site shows docs/images/{path.name}"
        )
        return
    width, height = (round(side / SCALE) for side in PAGE_SIZE)
    options = [
        "--headless",
        "--disable-gpu",
        "--hide-scrollbars",
        f"--force-device-scale-factor={SCALE}",
        f"--window-size={width},{height}",
        f"--user-data-dir={page.parent / 'browser'}",
        f"--screenshot={path.absolute()}",
    ]
    if os.geteuid() == 0:
        options.append("--no-sandbox")  # the page is ours, and a browser of root's does not start with it
    stderr_progress(f"{Path(browser).name}: {path.name}")
    process = await asyncio.create_subprocess_exec(
        browser, *options, page.absolute().as_uri(), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await _ended(process, browser)
    if process.returncode or not path.is_file():
        raise AriagentError(f"{browser} made no picture: {errors.decode(errors='replace')[-500:]}")

"""The commands as a production machine has them: installed from the wheel, as nobody, in ``/``."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from lab import environment as bed
from tests.installed import build, install, someone

pytestmark = pytest.mark.asterisk

SCENARIO = Path(__file__).parent / "scenarios" / "plain.yaml"
LIMIT_S = 120.0
OPENING = "Good day, this is the test."


@pytest.fixture(scope="module")
def open_folder() -> Iterator[Path]:
    """A folder that everybody may read: pytest's own are for this user."""
    folder = Path(tempfile.mkdtemp(prefix="ariagent-installed-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def wheel(open_folder: Path) -> Path:
    return build(open_folder)


@pytest.fixture(scope="module")
def command(wheel: Path, open_folder: Path) -> list[str]:
    """The command of a virtual environment with the wheel and its base dependencies only."""
    return install(wheel, open_folder / "venv")


@pytest.fixture(scope="module")
def rehearsing(wheel: Path, open_folder: Path) -> list[str]:
    """A wheel installed with the extra for rehearsals."""
    pytest.importorskip("pocketsphinx")
    return install(wheel, open_folder / "rehearsing", "rehearsal")


class Outcome:
    """The output of a command, and its exit code."""

    def __init__(self, code: int, output: str) -> None:
        self.code = code
        self.output = output
        self.text = " ".join(output.split())


async def run(command: list[str], *arguments: str, nobody: bool = True) -> Outcome:
    """The command runs as nobody, who has no home and may write only in /tmp, in the root folder."""
    identity = someone(nobody=nobody)

    def become() -> None:  # uvloop takes no user
        if identity:
            os.setgroups(identity["extra_groups"])
            os.setgid(identity["group"])
            os.setuid(identity["user"])

    process = await asyncio.create_subprocess_exec(
        *command,
        *arguments,
        cwd="/",
        env={"PATH": "/nonexistent", "HOME": "/nonexistent", "LANG": "C.UTF-8"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        preexec_fn=become,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), LIMIT_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return Outcome(process.returncode, output.decode())


def written() -> set[str]:
    """Files where a program might write unasked; in the folder for temporary files, where other tests write, too, those
    of nobody's."""
    mine = [path for place in (Path("/"), Path("/var/lib")) for path in place.iterdir()]
    for path in Path(tempfile.gettempdir()).iterdir():
        with suppress(FileNotFoundError, KeyError):  # another test has removed it
            mine += [path] if path.owner() == "nobody" else []
    return {str(path) for path in mine if "ariagent" in path.name or path.name == ".lab"}


SHORT = "steps: [wait_answer, {say: 'Hello, can you hear me?'}, wait_answer, hangup]\n"
"""One of the four sentences of the shipped script."""


@pytest.mark.long
@pytest.mark.parametrize("shipped", [False, True], ids=["short", "shipped"])
async def test_a_call_needs_nothing_that_was_not_installed(
    shipped: bool, command: list[str], asterisk: Any, sandbox: Any, service: Any, open_folder: Path
) -> None:
    """Questions, answered; no recogniser, no records that may be read, no program that speaks, nothing written."""
    # As on a site: with less silence the agent answers within "Thank you, goodbye".
    agent = {"opening": OPENING, "turn_detection": {"silence_duration_ms": 500}}
    running = await service(await sandbox(scenario=SCENARIO), agent=agent)
    settings = bed.write_settings(asterisk, open_folder, {"http": {"port": running.http_port}}, "site")
    settings.chmod(0o644)
    (open_folder / "short.yaml").write_text(SHORT)
    script = () if shipped else ("--script", str(open_folder / "short.yaml"))
    sentences = ("Hello, can you hear me?", "What can you help me with?", "Thank you, goodbye.")[: 3 if shipped else 1]
    questions = 4 if shipped else 1
    before = written()
    done = await run(command, "call", "7000", *script, "-c", str(settings))
    assert (done.code, "Traceback" in done.output) == (0, False), done.output
    assert f"as expected: {2 * questions + 1} turns" in done.text
    for words in sentences:
        assert f"caller {words}" in done.text
    assert done.output.count("agent    (speaking ") == questions + 1
    assert "the agent's words are not known. Run this on the service's machine as a user who may read" in done.text
    assert f"pip --python {command[0]} install 'ariagent[rehearsal]'" in done.text
    assert written() == before

    # The service's own user is told what was said.
    mine = bed.write_settings(
        asterisk, open_folder, {"state_directory": str(running.settings.state_directory)}, "service"
    )
    done = await run(command, "call", "7001", *script, "-c", str(mine), nobody=False)
    assert (done.code, "pip install" in done.text) == (0, False), done.output
    assert f"agent {OPENING}" in done.text
    assert done.text.count("agent The answer.") == questions, done.output
    assert written() == before


@pytest.mark.long
async def test_other_sentences_say_what_they_need_and_fetch_nothing(
    command: list[str], rehearsing: list[str], asterisk: Any, open_folder: Path
) -> None:
    settings = bed.write_settings(asterisk, open_folder, {}, "site")
    settings.chmod(0o644)
    (open_folder / "mine.yaml").write_text("steps:\n  - say: Where is my order?\n  - hangup\n")
    before = written()
    for program, *arguments in ((command, "call", "7001", "--script"), (rehearsing, "rehearse")):
        done = await run(program, *arguments, str(open_folder / "mine.yaml"), "-c", str(settings))
        assert "Traceback" not in done.output, done.output
        if arguments[0] == "call":
            assert 'mine.yaml:2: step 1 (say): "Where is my order?" is not among the recorded sentences' in done.text
        assert "flite, which speaks sentences, is not on this machine. Install it" in done.text
        assert "give recordings (play: FILE.wav)" in done.text
        assert done.code == 2
    done = await run(
        command, "call", "7001", "--fetch", "--script", str(open_folder / "mine.yaml"), "-c", str(settings)
    )
    assert (done.code, "Traceback" in done.output) == (2, False), done.output
    assert "flite is missing, and so is apt-get, which fetches it. Install flite" in done.text
    assert written() == before


async def test_without_a_service_it_says_so(
    command: list[str], asterisk: Any, open_folder: Path, unused_tcp_port: int
) -> None:
    settings = bed.write_settings(asterisk, open_folder, {"http": {"port": unused_tcp_port}}, "site")
    settings.chmod(0o644)
    done = await run(command, "call", "7001", "-c", str(settings))
    assert done.code == 1
    assert "the AI did not take this call: no service is connected to Asterisk" in done.text
    assert "queue support answered" in done.text


LOADED = """
import sys
from ariagent.cli import application
try:
    application()(sys.argv[1:], prog_name="ariagent")
except SystemExit as ended:
    print("exit", ended.code)
print("loaded", *(name for name in sys.modules if name.startswith("ariagent.")))
"""


NOT_FOR_CALLS = ("ariagent.rehearsal", "ariagent.sandbox", "ariagent.synthesis.debian")


async def test_it_loads_neither_rehearsals_nor_the_sandbox_nor_what_fetches(
    command: list[str], asterisk: Any, open_folder: Path, unused_tcp_port: int
) -> None:
    settings = bed.write_settings(asterisk, open_folder, {"http": {"port": unused_tcp_port}}, "site")
    settings.chmod(0o644)
    done = await run([command[0], "-c", LOADED], "call", "7001", "-c", str(settings))
    assert "exit 1" in done.output
    loaded = set(done.output.rpartition("\nloaded ")[2].split())
    assert "ariagent.caller.caller" in loaded
    bench = {name for name in loaded if name.startswith(NOT_FOR_CALLS)}
    assert bench == set()


TONES = ("--scenario", str(SCENARIO), "--detector", "energy", "--no-recogniser", "--voice", "tone", "--think-ms", "20")


async def test_the_service_its_check_and_its_rehearsals(
    command: list[str], rehearsing: list[str], asterisk: Any, open_folder: Path
) -> None:
    """Everything that a machine without a checkout does, by the wheel alone."""
    (open_folder / "state").mkdir()
    (open_folder / "state").chmod(0o777)
    (open_folder / "rehearsals").mkdir()
    (open_folder / "rehearsals" / "one.yaml").write_text(
        "steps: [wait_answer, hangup]\nexpect: {opening_within_ms: 60000, ended_by: caller}\n"
    )
    async with bed.sandbox(open_folder, *TONES) as (_, url):
        tree = {
            "realtime": {"url": url, "api_key": "test"},
            "agents": {"default": {"opening": OPENING}},
            "state_directory": str(open_folder / "state"),
        }
        settings = bed.write_settings(asterisk, open_folder, tree, "whole")
        settings.chmod(0o644)
        async with bed.process([*command, "run", "-c", str(settings)], open_folder / "service.log") as service:
            for text in bed.READY_WITH_QUEUES:
                await service.wait_for(text)
            done = await run(command, "check", "-c", str(settings), "--json")
            assert (done.code, '"passed": true' in done.text) == (0, True), done.output
            (open_folder / "short.yaml").write_text(SHORT)
            short = ("--script", str(open_folder / "short.yaml"))
            done = await run(command, "call", "7001", *short, "-c", str(settings))
            assert (done.code, "Traceback" in done.output) == (0, False), done.output
            rehearsals = ("rehearse", str(open_folder / "rehearsals"), "-c", str(settings))
            done = await run(command, *rehearsals)
            assert done.code == 2
            assert "ariagent rehearse needs the extra rehearsal" in done.text
            done = await run(rehearsing, *rehearsals)
            assert (done.code, "1 passed, 0 failed" in done.text) == (0, True), done.output

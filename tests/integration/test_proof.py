"""The test call at the end of ``ariagent init``: what it proves, what it says when it fails, what it leaves."""

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ariagent.cli.proof import prove
from ariagent.errors import AriError
from lab.asterisk import AsteriskInstance

pytestmark = pytest.mark.asterisk

LIMIT_S = 60.0
AGENT = {"opening": "Good day, this is the test.", "machines": "ignore"}


@pytest.fixture(autouse=True)
def on_a_busy_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Ports that nobody else has, no key in the shell, and a folder for temporary files, empty in the end."""
    for section in ("HTTP", "CONTROL", "AUDIOSOCKET"):
        monkeypatch.setenv(f"ARIAGENT_{section}__PORT", "0")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield
    assert list(folder.iterdir()) == []


def settings_file(asterisk: AsteriskInstance, tmp_path: Path, **sections: Any) -> Path:
    path = tmp_path / "ariagent.yaml"
    ari = {"url": asterisk.ari_url, "user": asterisk.ari_user, "password": asterisk.ari_password}
    tree: dict[str, Any] = {
        "asterisk": ari,
        "ami": asterisk.ami,
        "agents": {"default": AGENT},
        "max_calls": asterisk.seats,
        **sections,
    }
    path.write_text(yaml.safe_dump(tree))
    return path


SHORT = """voice: kal16
steps: [{wait_answer: {within: 10}}, {say: "Hello, can you hear me?"}, {wait_answer: {within: 10}}, hangup]
"""
"""The shipped script has three more sentences."""
SHORT_OR_SHIPPED = pytest.mark.parametrize(
    "script", [SHORT, pytest.param("", marks=pytest.mark.long)], ids=["short", "shipped"]
)


async def proof(path: Path, number: str = "7000", script: str = SHORT) -> tuple[int, bool, str]:
    """Exit code, whether the model itself answered, and what was said; empty ``script``: the shipped one."""
    said: list[str] = []
    # Asterisk, a service and a sandbox beside this loop: as the command does it, in a process's main thread.
    code = (
        "import sys; from pathlib import Path; from ariagent.cli import proof\n"
        "if sys.argv[3:]: proof.DEFAULT_SCRIPT = Path(sys.argv[3])\n"
        "found = proof.prove(Path(sys.argv[1]), sys.argv[2], print)\n"
        "print(f'with_model={found.with_model}'); sys.exit(found.code)"
    )
    own = path.with_name("script.yaml")
    own.write_text(script)
    argv = [sys.executable, "-c", code, str(path), number, *([str(own)] if script else [])]
    process = await asyncio.create_subprocess_exec(
        *argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), LIMIT_S)
    said += [out.decode(), err.decode()]
    assert process.returncode is not None
    return process.returncode, "with_model=True" in said[0], "".join(said)


@SHORT_OR_SHIPPED
async def test_without_a_key_the_telephone_path_is_proved(
    script: str, asterisk: AsteriskInstance, tmp_path: Path
) -> None:
    code, with_model, said = await proof(settings_file(asterisk, tmp_path), script=script)
    assert (code, with_model) == (0, False), said
    assert "a stand-in answers with tones" in said
    assert "Good day, this is the test." in said
    assert "as expected: " in said


async def test_a_service_that_runs_is_called(
    asterisk: AsteriskInstance, sandbox: Any, service: Any, log: Any, tmp_path: Path
) -> None:
    running = await service(await sandbox(), agent=AGENT)
    sections = {"http": {"port": running.http_port}, "state_directory": str(running.settings.state_directory)}
    code, with_model, said = await proof(settings_file(asterisk, tmp_path, **sections))
    assert (code, with_model) == (0, True), said
    assert "The service runs" in said
    assert len(log.named("call.started")) == 1


async def test_a_model_that_cannot_be_used_is_named(asterisk: AsteriskInstance, tmp_path: Path) -> None:
    model = {"url": "ws://127.0.0.1:9/v1/realtime", "api_key": "anything"}
    code, with_model, said = await proof(settings_file(asterisk, tmp_path, realtime=model))
    assert (code, with_model) == (1, True), said
    assert "the AI did not take this call" in said
    assert "cannot reach the model at 127.0.0.1:9" in said


def test_an_asterisk_that_refuses_us_is_named(asterisk: AsteriskInstance, tmp_path: Path) -> None:
    path = settings_file(asterisk, tmp_path)
    path.write_text(path.read_text().replace(asterisk.ari_password, "wrong"))
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(AriError, match="password"):
            prove(path, "7000", lambda line: None)
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    ("when", "number"),
    [
        ("Starting the service", signal.SIGTERM),
        ("(answers)", signal.SIGINT),
        pytest.param("Starting the service", signal.SIGINT, marks=pytest.mark.long),
        pytest.param("(answers)", signal.SIGTERM, marks=pytest.mark.long),
    ],
)
async def test_an_interrupted_one_leaves_nothing(
    when: str, number: signal.Signals, asterisk: AsteriskInstance, tmp_path: Path
) -> None:
    path = settings_file(asterisk, tmp_path)
    code = (
        "import sys; from pathlib import Path; from ariagent.cli.proof import prove\n"
        "prove(Path(sys.argv[1]), '7000', lambda line: print(line, flush=True))"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(path), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    assert process.stdout is not None
    async with asyncio.timeout(LIMIT_S):
        while when not in (line := (await process.stdout.readline()).decode()):
            assert line, "it ended before"
        process.send_signal(number)
        await process.stdout.read()
        await process.wait()
        while _children_of(path):
            await asyncio.sleep(0.05)
        while (await asterisk.cli("core show channels concise")).strip():
            await asyncio.sleep(0.05)


def _children_of(path: Path) -> list[int]:
    """Processes that were started for these settings."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if str(path).encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found

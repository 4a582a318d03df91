"""The container recipe and the compose example. They are read, not run: the tests need no container runtime."""

import asyncio
import os
import shlex
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from typer.testing import CliRunner

from ariagent.cli import application
from ariagent.config import AudioSocketSettings, HttpSettings, Settings
from tests.containerfile import COMPOSE, CONTAINERFILE, ROOT, copied, recipe

PORTS = {AudioSocketSettings().port, HttpSettings().port, Settings().control.port}


def values(command: str, stage: int = -1) -> list[str]:
    """The words of the only instruction of that name in a stage."""
    (found,) = [each for each in recipe()[stage] if each.cmd == command]
    return list(found.value)


def seconds(text: str) -> int:
    return int(text.removesuffix("s"))


def test_what_it_copies_is_here_and_not_left_out_of_the_context() -> None:
    ignored = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line]
    for name in copied():
        assert (ROOT / name).exists(), name
        assert not [pattern for pattern in ignored if fnmatch(name, pattern)], name
    # Neither do names that are made here go along.
    assert {".git", ".venv", ".lab", "dist"} <= set(ignored)


def test_the_image_runs_as_nobody_in_particular() -> None:
    user, group = values("USER")[0].split(":")
    made = " ".join(word for each in recipe()[-1] if each.cmd == "RUN" for word in each.value)
    assert f"--gid {group} ariagent" in made
    assert f"--uid {user} " in made
    last = [each.cmd for each in recipe()[-1]]
    assert "RUN" not in last[last.index("USER") :]


def test_it_starts_the_service_with_its_usual_settings() -> None:
    words = [*values("ENTRYPOINT"), *values("CMD")]
    assert words[0] == "ariagent"
    assert CliRunner().invoke(application(), [*words[1:], "--help"]).exit_code == 0
    assert {int(port) for port in values("EXPOSE")} == PORTS
    assert Path(values("VOLUME")[0]) == Settings().state_directory
    assert values("ENV") == ["CREDENTIALS_DIRECTORY", "/run/secrets"]


@pytest.fixture
def health_check() -> list[str]:
    """The command of the health check, with the Python that is here."""
    words = values("HEALTHCHECK")
    assert words[:3] == ["CMD", "/usr/lib/ariagent/bin/python", "-c"]
    return [sys.executable, *words[2:]]


@pytest.mark.parametrize("status", [200, 503])
async def test_its_health_is_what_healthz_says(health_check: list[str], status: int) -> None:
    asked = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.json_response({}, status=status)

    server = web.Application()
    server.router.add_get("/healthz", answer)
    runner = web.AppRunner(server)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    code = await asyncio.to_thread(_exit_code, health_check, port)
    await runner.cleanup()
    assert asked == ["/healthz"]
    assert (code == 0) is (status == 200)
    # And when nobody listens.
    assert await asyncio.to_thread(_exit_code, health_check, port) != 0


def _exit_code(argv: list[str], port: int) -> int:
    environment = {**os.environ, "ARIAGENT_HTTP__PORT": str(port)}
    return subprocess.run(argv, env=environment, capture_output=True, timeout=60, check=False).returncode


EXAMPLE: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())


@pytest.mark.parametrize("name", EXAMPLE["services"])
def test_the_compose_example(name: str) -> None:
    service = EXAMPLE["services"][name]
    context = (COMPOSE.parent / service["build"]["context"]).resolve()
    assert context == ROOT
    assert (context / service["build"]["dockerfile"]) == CONTAINERFILE
    assert service["cap_drop"] == ["ALL"]
    assert service["read_only"] is True
    assert set(service["secrets"]) == set(EXAMPLE["secrets"])
    volumes = [volume.split(":") for volume in service["volumes"]]
    assert {source for source, *_ in volumes if not source.startswith("/")} == set(EXAMPLE["volumes"])
    assert str(Settings().state_directory) in [target for _, target, *_ in volumes]
    command = service.get("command", values("CMD"))
    assert CliRunner().invoke(application(), [*command, "--help"]).exit_code == 0, shlex.join(command)
    if name == "ariagent":
        assert seconds(service["stop_grace_period"]) > Settings().drain_timeout_s

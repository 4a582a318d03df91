"""No secret comes out: services, calls, commands and checks, with every library at its debug level, succeed and fail;
then everything that they wrote, answered or showed is searched for all secrets there were.
"""

import asyncio
import json
import logging
import os
import secrets
import sys
import traceback
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from ariagent.configfile import load
from ariagent.errors import ConfigurationError
from ariagent.redaction import HIDDEN, Redaction
from lab import environment as lab

pytestmark = pytest.mark.asterisk

LIMIT_S = 60.0
SCENARIO = Path(__file__).parent / "scenarios" / "features.yaml"
LOUD = """
import logging
from ariagent import cli, logs
configure = logs.configure
def loud(*given):
    configure(*given)
    for name in (None, *logging.root.manager.loggerDict):
        logging.getLogger(name).setLevel(logging.DEBUG)
logs.configure = loud
cli.main()
"""
"""``ariagent``, with all that any library logs."""


@dataclass
class Search:
    """All that came out of programs, and the secrets that must not be in it."""

    directory: Path
    secrets: dict[str, str] = field(default_factory=dict)
    found: dict[str, str] = field(default_factory=dict)
    """Texts to search, by their source."""

    def secret(self, name: str) -> str:
        return self.secrets.setdefault(name, f"{name}+{secrets.token_hex(8)}/=")

    def keep(self, where: str, text: str) -> str:
        self.found[f"{len(self.found)} {where}"] = text
        return text

    def leaks(self) -> list[tuple[str, str, str]]:
        """Secret, place, and the text around it."""
        leaks = []
        for name, secret in self.secrets.items():
            redaction = Redaction([secret])
            for where, text in self.found.items():
                if (clean := redaction(text)) != text:
                    at = next(i for i, (a, b) in enumerate(zip(clean + "\0", text + "\0", strict=False)) if a != b)
                    leaks.append((name, where, clean[max(0, at - 100) : at + 100]))
        return leaks


@pytest.fixture
def search(bed: Any, tmp_path: Path) -> Search:
    made = Search(tmp_path)
    made.secrets |= {"ari": bed.asterisk.ari_password, "ami": bed.asterisk.ami_password}
    return made


@pytest.fixture
def tree(bed: Any, search: Search, site: Any, outbound: Any) -> dict[str, Any]:
    """Settings with a secret wherever there may be one."""
    asterisk = bed.asterisk
    signed = {"secret": search.secret("hmac")}
    headers = {"X-Key": search.secret("tool-header"), "Authorization": f"Bearer {search.secret('tool-bearer')}"}
    order = {
        "description": "Says where an order is.",
        "url": f"{site.url}/orders/{{number}}",
        "parameters": {"type": "object", "properties": {"number": {"type": "string"}}, "required": ["number"]},
        "headers": headers,
        "signature": signed,
        "retries": 0,
    }
    lookup = {"url": f"{site.url}/crm", "headers": {"X-Crm": search.secret("lookup-header")}, "signature": signed}
    agent = {
        "opening": "Good day.",
        "machines": "ignore",
        "keypad": {"pause_ms": 150},
        "tools": ["order"],
        "lookup": lookup,
        "instructions": "Help {lookup.name}.",
        "handoff": ["desk"],
    }
    tokens = [
        {"name": name, "role": role, "token": search.secret(f"token-{name}")}
        for name, role in (("anna", "supervisor"), ("vera", "viewer"))
    ]
    return {
        "asterisk": {"url": asterisk.ari_url, "user": asterisk.ari_user, "password": asterisk.ari_password},
        "ami": asterisk.ami,
        "audiosocket": {"port": 0},
        "http": {"port": 0},
        "control": {"port": 0, "tokens": tokens},
        "realtime": {"api_key": search.secret("api-key"), "headers": {"X-Gate": search.secret("model-header")}},
        "log": {"transcripts": True, "level": "debug"},
        "outbound": outbound,
        "tools": {"order": order},
        "mcp_servers": {},
        "agents": {"default": agent},
        "destinations": {"desk": {"queue": "support", "description": "the desk", "kind": "blind"}},
        "state_directory": str(search.directory / "state"),
    }


def written(search: Search, tree: dict[str, Any], name: str) -> Path:
    path = search.directory / f"{name}.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


@asynccontextmanager
async def loud(search: Search, path: Path, *words: str) -> AsyncIterator[lab.Process]:
    """``ariagent WORDS -c path``, whose output and command line are searched."""
    argv = [sys.executable, "-c", LOUD, *words, "-c", str(path)]
    log = search.directory / f"{path.stem}-{words[0]}-{len(search.found)}.log"
    async with lab.process(argv, log, {"PYTHONASYNCIODEBUG": "1", "COLUMNS": "200"}) as process:
        search.keep(f"command line of {words}", Path(f"/proc/{process.pid}/cmdline").read_bytes().decode())
        yield process
    search.keep(f"output of {words}", process.log)


async def command(search: Search, path: Path, *words: str, **environment: str) -> str:
    """The output of a command."""
    argv = [sys.executable, "-m", "ariagent", *words, "-c", str(path)]
    child = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "COLUMNS": "200", **environment},
    )
    search.keep(f"command line of {words}", Path(f"/proc/{child.pid}/cmdline").read_bytes().decode())
    async with asyncio.timeout(LIMIT_S):
        out, _ = await child.communicate()
    return search.keep(f"output of {words}", out.decode())


async def ask(search: Search, url: str, token: str = "", body: Any = None) -> str:
    """An answer, head and body."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"Authorization": f"Bearer {token}"} if token else {})

    def fetch() -> str:
        try:
            with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
                return f"{answer.status} {answer.headers}\n{answer.read().decode()}"
        except urllib.error.HTTPError as error:
            return f"{error.code} {error.headers}\n{error.read().decode()}"

    return search.keep(f"answer of {url}", await asyncio.to_thread(fetch))


def keep_files(search: Search) -> None:
    """All that was written, but what holds secrets by its purpose."""
    for path in search.directory.rglob("*"):
        if path.is_file() and path.suffix not in (".yaml", ".log") and path.name != "control.json":
            search.keep(f"file {path.name}", path.read_bytes().decode("latin-1"))


async def urls(process: lab.Process) -> tuple[str, str]:
    """Answers of the control API, and of metrics and health."""
    fields = dict(word.partition("=")[::2] for word in (await process.wait_for("service.starting")).split())
    return f"http://127.0.0.1:{fields['control_port']}", f"http://127.0.0.1:{fields['http_port']}"


async def test_nothing_of_a_service_that_works_shows_a_secret(
    search: Search, tree: dict[str, Any], sandbox: Any, dial: Any, site: Any, log: Any
) -> None:
    model = await sandbox(scenario=SCENARIO)
    tree["realtime"]["url"] = model.url
    path = written(search, tree, "works")

    async def echo(request: web.Request) -> web.Response:
        return web.json_response(dict(request.headers), status=500)

    site.says("/orders/4711", {"status": "on its way"})
    site.says("/crm", {"name": "Ann"})
    async with loud(search, path, "run") as process:
        api, metrics = await urls(process)
        await process.wait_for("phrases.ready")
        await process.wait_for("pool.ready")
        call, _ = await dial("7001")
        await process.wait_for("call.answered")
        await call.send_dtmf("1")
        await process.wait_for("tool.called")
        anna, vera = search.secrets["token-anna"], search.secrets["token-vera"]
        calls = await ask(search, f"{api}/v1/calls", vera)
        [name] = [each["id"] for each in json.loads(calls.partition("\n\n")[2])["calls"]]
        assert (await ask(search, f"{api}/v1/calls/{name}/whisper", anna, {"text": "Be kind."})).startswith("200")
        for wrong in (
            ask(search, f"{api}/v1/calls/{name}/whisper", vera, {"text": "Be kind."}),
            ask(search, f"{api}/v1/calls/{name}/whisper", anna, {"txet": 1}),
            ask(search, f"{api}/v1/calls?token={anna}", anna[:-1]),
            ask(search, f"{api}/v1/{anna}", anna),
            ask(search, f"{api}/v1/queues", vera),
            ask(search, f"{api}/v1/openapi.json"),
            ask(search, f"{metrics}/metrics"),
            ask(search, f"{metrics}/healthz"),
            ask(search, f"{metrics}/healthz", vera),
        ):
            await wrong
        site.answers["/orders/4711"] = echo
        await call.send_dtmf("1")
        await process.wait_for("tool.failed")
        away = {"ARIAGENT_API_URL": api, "ARIAGENT_API_TOKEN": anna}
        await asyncio.gather(
            command(search, path, "calls", "--json"),
            command(search, path, "calls", name),
            command(search, path, "whisper", name, "Slowly."),
            command(search, path, "pause", **away),
            command(search, path, "resume", **{**away, "ARIAGENT_API_TOKEN": f"{anna}x"}),
        )
        assert "failed" not in await command(search, path, "check")
        # It connects to the sandbox and says nothing.
        log.entries[:] = [entry for entry in log.entries if entry.logger != "websockets.server"]
        await command(search, path, "transfer", name, "--to", "desk")
        await call.hangup()
        await process.wait_for("call.ended")
        assert "Traceback" not in process.log
    # The libraries did say what they sent; otherwise this finds nothing because nothing was there to be found.
    output = process.log
    assert f"> Authorization: Bearer {HIDDEN}" in output
    assert f"> X-Gate: {HIDDEN}" in output
    keep_files(search)
    assert any("calls.db" in where for where in search.found)
    assert search.leaks() == []


QUIET = logging.getLogger("a model of the test")
"""``check`` connects without a word too; that is no fault here."""
QUIET.setLevel(logging.CRITICAL + 1)


def echoing(connection: ServerConnection, request: Request) -> Response:
    """A model that refuses the connection, and repeats its headers."""
    return connection.respond(HTTPStatus.UNAUTHORIZED, f"wrong: {dict(request.headers.raw_items())}\n")


async def complaining(connection: ServerConnection) -> None:
    """A model that lets in, and then tells what is wrong."""
    assert connection.request is not None
    shown = connection.request.headers["Authorization"].removeprefix("Bearer ")
    error = {"type": "error", "error": {"code": "invalid_api_key", "message": f"Incorrect API key provided: {shown}."}}
    await connection.send(json.dumps({"event_id": "e1", **error}))
    await connection.close(3000, f"invalid_request_error.invalid_api_key {shown}"[:120])


@pytest.mark.long
@pytest.mark.parametrize("at_the_door", [False, True])
async def test_nothing_of_a_model_that_refuses_shows_a_secret(
    at_the_door: bool, search: Search, tree: dict[str, Any], dial: Any, site: Any
) -> None:
    site.says("/crm", {"name": "Ann"})
    async with serve(
        complaining, "127.0.0.1", 0, process_request=echoing if at_the_door else None, logger=QUIET
    ) as model:
        tree["realtime"]["url"] = f"ws://127.0.0.1:{model.sockets[0].getsockname()[1]}/"
        path = written(search, tree, "refuses")
        async with loud(search, path, "run") as process:
            _, metrics = await urls(process)
            await process.wait_for("model.unusable")
            await process.wait_for("service.ready")
            assert '"model": "failed"' in await ask(search, f"{metrics}/healthz")
            health = await ask(search, f"{metrics}/healthz", search.secrets["token-vera"])
            assert HIDDEN in health
            await command(search, path, "check", "--json")
            call, _ = await dial("7001")
            await process.wait_for("call.ended")
            await call.hangup()
            listed = await command(search, path, "calls", "--json")
            assert "no_model" in listed
    keep_files(search)
    assert search.leaks() == []


WRONG: dict[str, Any] = {
    "a list": lambda tree, secret: tree["realtime"].update(api_key=[secret]),
    "a mapping": lambda tree, secret: tree["asterisk"].update(password={"is": secret}),
    "a key that is none": lambda tree, secret: tree["asterisk"].update(passwort=secret),
    "a URL": lambda tree, secret: tree["realtime"].update(url=f"ws://user:{secret.replace('/', '')}@127.0.0.1/"),
    "a URL with a slash": lambda tree, secret: tree["realtime"].update(url=f"ws://user:{secret}@127.0.0.1/"),
    "a header of two lines": lambda tree, secret: tree["tools"]["order"]["headers"].update(X=f"{secret}\n{secret}"),
    "a token of two kinds": lambda tree, secret: tree["control"]["tokens"][0].update(token=secret, sha256="0" * 64),
    "a name of a token": lambda tree, secret: tree["control"]["tokens"][0].update(name=f"{secret} {secret}"),
    "a tool's URL": lambda tree, secret: tree["tools"]["order"].update(url=f"http://user:{secret}@127.0.0.1/"),
}


def refused(search: Search, path: Path, **environment: str) -> None:
    """The settings do not load; keep what is said about them."""
    with pytest.raises(ConfigurationError) as caught:
        load(path, environment, serving=True)
    search.keep("mistake", caught.value.line)
    search.keep("trace", "".join(traceback.format_exception(caught.value)))


@pytest.mark.parametrize("what", WRONG)
def test_no_mistake_in_the_settings_shows_a_secret(what: str, search: Search, tree: dict[str, Any]) -> None:
    tree["realtime"]["url"] = "ws://127.0.0.1:9/"
    WRONG[what](tree, search.secret("wrong"))
    refused(search, written(search, tree, "wrong"))
    assert search.leaks() == []


def test_no_broken_file_shows_a_secret(search: Search) -> None:
    secret = search.secret("wrong")
    path = search.directory / "broken.yaml"
    for text in (
        f"asterisk: {{password: {secret}",
        f"asterisk:\n  password: '{secret}\n",
        f"a: {secret}\n b: {secret}",
    ):
        path.write_text(text)
        refused(search, path)
    path.write_text("{}")
    for name in ("REALTIME__API_KEY", "TOOLS__X", "CONTROL__TOKENS", "MAX_CALLS"):
        for value in (f"[{secret}", f"{{a: {secret}}}"):
            refused(search, path, **{f"ARIAGENT_{name}": value})
    assert search.leaks() == []


@pytest.mark.long
async def test_no_refused_password_is_shown(search: Search, tree: dict[str, Any], sandbox: Any) -> None:
    tree["realtime"]["url"] = (await sandbox()).url
    tree["ami"]["password"] = search.secret("wrong-ami")
    async with loud(search, written(search, tree, "ami"), "run") as process:
        await process.wait_for("ami.lost")
    tree["realtime"]["url"] = "ws://127.0.0.1:9/"
    tree["asterisk"]["password"] = search.secret("wrong-ari")
    path = written(search, tree, "ari")
    async with loud(search, path, "run") as process, asyncio.TaskGroup() as beside:
        beside.create_task(command(search, path, "check"))
        # It waits for somebody to mend that, and says why to those who may know.
        await process.wait_for("asterisk.waiting")
        _, metrics = await urls(process)
        assert "refused user ariagent or its password" in await ask(
            search, f"{metrics}/healthz", search.secrets["token-vera"]
        )
    assert "Traceback" not in process.log
    assert search.leaks() == []

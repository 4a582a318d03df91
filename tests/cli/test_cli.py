"""The ``ariagent`` command as a process: one clear line and the right exit code for everything that is wrong."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ariagent import __version__
from ariagent.config import RecordsSettings
from ariagent.configfile import DEFAULT_PATH
from ariagent.records.journal import Journal
from tests import forked
from tests.forked import Forked

PATIENCE_S = 60.0
USAGE, FAILED = 2, 1


def clean() -> dict[str, str]:
    """This environment, without settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ARIAGENT_")}


async def ariagent(*words: str, folder: Path | None = None, **environment: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of ``ariagent`` with these words, in ``folder``."""
    given = {**clean(), "COLUMNS": "200", **environment}
    return await forked.ariagent(*words, environment=given, folder=folder, limit_s=PATIENCE_S)


async def started(*words: str, folder: Path | None = None, **environment: str) -> tuple[int, str, str]:
    """As :func:`ariagent`, by ``python -m``."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ariagent", *words),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=folder,
        env={**clean(), "COLUMNS": "200", **environment},
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def dead_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def tree(**sections: Any) -> dict[str, Any]:
    """Settings that are right, apart from ``sections``, which are merged in."""
    settings: dict[str, Any] = {
        "asterisk": {"url": f"http://127.0.0.1:{dead_port()}"},
        "audiosocket": {"port": 0},
        "http": {"port": 0},
        "control": {"port": 0},
        "realtime": {"url": f"ws://127.0.0.1:{dead_port()}/v1/realtime"},
    }
    for name, section in sections.items():
        settings[name] = {**settings.get(name, {}), **section} if isinstance(section, dict) else section
    return settings


RunWith = Callable[..., Any]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ariagent.yaml"


@pytest.fixture
def run_with(file: Path) -> RunWith:
    """``await run_with(settings or text, NAME=value ...)``: exit code and the one line said, the file as FILE."""

    async def run(settings: dict[str, Any] | str, **environment: str) -> tuple[int, str]:
        file.write_text(settings if isinstance(settings, str) else yaml.safe_dump(settings))
        code, out, err = await ariagent("run", "-c", str(file), **environment)
        assert out == ""
        assert "Traceback" not in err
        lines = err.strip().splitlines()
        assert len(lines) == 1, err
        assert lines[0].startswith("ariagent: ")
        return code, lines[0].removeprefix("ariagent: ").replace(str(file), "FILE")

    return run


ToldWith = Callable[..., Any]


@pytest.fixture
def told_with(file: Path) -> ToldWith:
    """``await told_with(settings, event)``: the first log line of this event; the service is ended then, at once."""

    async def run(
        settings: dict[str, Any], event: str = "asterisk.waiting", then: Callable[[], None] | None = None
    ) -> str:
        if "state_directory" not in settings:
            settings = {**settings, "state_directory": str(file.parent / "state")}
        file.write_text(yaml.safe_dump(settings))
        process = Forked("run", "-c", str(file), environment=clean())
        found = ""
        try:
            err = await process.error()
            async with asyncio.timeout(PATIENCE_S):
                wanted = [event] if then is None else [event, "asterisk.waiting"]
                for name in wanted:
                    line = ""
                    while f" {name} " not in line:
                        line = (await err.readline()).decode()
                        assert line, f"it ended without {name}"
                    found = found or line
                    if then is not None and name == event:
                        then()
                process.signal(signal.SIGTERM)
                assert "Traceback" not in (await err.read()).decode()
                assert await process.ended() == 0
        finally:
            process.close()
        return found

    return run


class TestConfiguration:
    async def test_no_file(self, file: Path) -> None:
        code, _, err = await ariagent("run", "-c", str(file))
        assert code == USAGE
        assert err.startswith(f"ariagent: {file}: there is no such file. Name one with -c FILE")

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("asterisk: [\n", "FILE:1: the [ in this line is not closed"),
            ("asterisk:\n  pasword: x\n", "FILE:2: asterisk.pasword: unknown key (did you mean password?)"),
            ("http: {}\nmax_calls: many\n", "FILE:2: max_calls: must be a whole number"),
            ("realtime:\n  url: http://x/\n", "FILE:2: realtime.url: must be a URL that starts with ws:// or wss://"),
            ("max_calls: 3\nmax_calls: 4\n", "FILE:2: max_calls: this key is given twice"),
            ("realtime:\n  api_key: ${NOT_SET_ANYWHERE}\n", "FILE:2: realtime.api_key: the environment variable NOT_"),
        ],
        ids=["yaml", "unknown key", "type", "url", "twice", "secret"],
    )
    async def test_a_mistake_is_told_with_file_line_and_key(self, run_with: RunWith, text: str, said: str) -> None:
        code, line = await run_with(text)
        assert code == USAGE
        assert line.startswith(said)

    async def test_a_mistake_of_the_environment_names_the_variable(self, run_with: RunWith) -> None:
        code, line = await run_with(tree(), ARIAGENT_HTTP__PORT="eighty")
        assert code == USAGE
        assert line.startswith("environment ARIAGENT_HTTP__PORT: http.port: ")

    @pytest.mark.parametrize(
        "url",
        ["wss://api.openai.com/v1/realtime", "wss://x.openai.azure.com/openai/v1/realtime"],
        ids=["openai", "azure"],
    )
    async def test_a_model_that_needs_a_key_and_has_none(self, run_with: RunWith, url: str) -> None:
        code, line = await run_with(f"http: {{port: 0}}\nrealtime:\n  url: {url}\n  api_key: ''\n")
        assert code == USAGE
        assert line.startswith("FILE:4: realtime.api_key: ")
        assert " needs a key. Set it, " in line

    async def test_the_default_model_without_any_settings_needs_a_key_too(self, run_with: RunWith) -> None:
        code, line = await run_with("http:\n  port: 0\n")
        assert code == USAGE
        assert line.startswith("FILE:1: realtime.api_key: api.openai.com needs a key. ")

    @pytest.mark.parametrize(
        "realtime",
        [
            {"url": "wss://api.openai.com/v1/realtime", "api_key": "sk-x"},
            {"url": "wss://x.openai.azure.com/openai/v1/realtime", "headers": {"authorization": "Bearer x"}},
            {"url": "ws://127.0.0.1:9/v1/realtime"},
        ],
        ids=["key", "own header", "local server"],
    )
    async def test_with_what_the_model_needs_the_next_thing_is_asterisk(
        self, told_with: ToldWith, realtime: dict[str, Any]
    ) -> None:
        line = await told_with({**tree(), "realtime": realtime})
        assert "cannot reach Asterisk at " in line


def without_secrets(folder: Path, **sections: Any) -> dict[str, Any]:
    """Settings whose every secret is one that this shell does not have, apart from ``sections``."""
    lost = "${NOT_IN_THIS_SHELL}"
    http = {"description": "x", "url": "https://a.example/", "headers": {"Authorization": lost}}
    return tree(
        **{
            "asterisk": {"password": lost},
            "ami": {"port": dead_port(), "password": lost},
            "realtime": {"api_key": lost, "fallback": {"url": "ws://127.0.0.1:1", "api_key": lost}},
            "control": {"port": 0, "tokens": [{"name": "anna", "role": "viewer", "token": lost}]},
            "outbound": {"allowed_hosts": ["a.example"]},
            "tools": {"order": {**http, "signature": {"secret": lost}}},
            "mcp_servers": {"crm": {"url": "https://a.example/mcp", "authorization": lost}},
            "agents": {"default": {"tools": ["order"], "mcp": ["crm"]}},
            "http": {"port": dead_port()},
            "state_directory": str(folder / "state"),
            **sections,
        }
    )


class TestWithoutSecrets:
    """In an administrator's shell, which has none of the service's secrets."""

    @pytest.mark.parametrize(
        "words",
        [
            ("transfer", "1", "--queue", "support"),
            ("whisper", "1", "be kind"),
            ("pause",),
            ("resume",),
            ("drain",),
            ("calls", "--watch"),
        ],
        ids=lambda words: words[0],
    )
    async def test_a_command_for_the_running_service_looks_for_that(
        self, file: Path, tmp_path: Path, words: tuple[str, ...]
    ) -> None:
        file.write_text(yaml.safe_dump(without_secrets(tmp_path)))
        code, _, err = await ariagent(*words, "-c", str(file))
        assert (code, err.partition(". ")[0]) == (FAILED, "ariagent: the service does not run")

    async def test_calls_are_listed(self, file: Path, tmp_path: Path) -> None:
        file.write_text(yaml.safe_dump(without_secrets(tmp_path)))
        Journal.open(tmp_path / "state", RecordsSettings()).close()
        assert await ariagent("calls", "-c", str(file)) == (0, "No call is running.\n", "")

    async def test_callers_are_rescued_with_the_managers_password_alone(self, file: Path, tmp_path: Path) -> None:
        settings = without_secrets(tmp_path)
        settings["ami"]["password"] = "known"
        file.write_text(yaml.safe_dump(settings))
        code, _, err = await ariagent("rescue", "--after", "0", "-c", str(file))
        assert code == FAILED
        assert err.startswith("ariagent: cannot reach Asterisk's manager interface at ")

    @pytest.mark.parametrize("options", [("--after", "0"), ("--watch",)], ids=["once", "watching"])
    async def test_a_rescue_that_would_fail_says_so_at_once(
        self, file: Path, tmp_path: Path, options: tuple[str, ...]
    ) -> None:
        file.write_text(yaml.safe_dump(without_secrets(tmp_path)))
        code, _, err = await ariagent("rescue", *options, "-c", str(file))
        assert code == USAGE
        assert ": ami.password: the environment variable NOT_IN_THIS_SHELL is not set. " in err

    async def test_a_caller_needs_asterisks_password_alone(
        self, file: Path, tmp_path: Path, unused_tcp_port: int
    ) -> None:
        settings = without_secrets(tmp_path)
        settings["asterisk"]["url"] = f"http://127.0.0.1:{unused_tcp_port}"
        file.write_text(yaml.safe_dump(settings))
        code, _, err = await ariagent("call", "7000", "-c", str(file))
        assert code == USAGE
        assert ": asterisk.password: the environment variable NOT_IN_THIS_SHELL is not set. " in err
        settings["asterisk"]["password"] = "known"
        file.write_text(yaml.safe_dump(settings))
        code, _, err = await ariagent("call", "7000", "-c", str(file))
        assert code == FAILED
        assert "cannot reach Asterisk at " in err

    async def test_a_check_reports_each_and_checks_the_rest(self, file: Path, tmp_path: Path, ari_server: Any) -> None:
        asterisk = {"url": ari_server.url, "password": ari_server.password}
        file.write_text(yaml.safe_dump(without_secrets(tmp_path, asterisk=asterisk)))
        code, out, err = await ariagent("check", "--json", "-c", str(file))
        assert (code, err) == (FAILED, "")
        results = json.loads(out)["results"]
        lost = [each["found"] for each in results if each["check"] == "settings" and each["status"] == "failed"]
        assert [found.split(": ")[1] for found in lost] == [
            "ami.password",
            "realtime.api_key",
            "realtime.fallback.api_key",
            "tools.order.headers.Authorization",
            "tools.order.signature.secret",
            "mcp_servers.crm.authorization",
            "control.tokens[0].token",
        ]
        statuses = {each["check"]: (each["status"], each["found"]) for each in results}
        assert statuses["asterisk"][0] == "ok"
        assert statuses["manager"] == ("skipped", "needs ami.password")
        assert statuses["model connection"][0] == "failed"  # nobody is there
        assert statuses["tool order"][0] in ("warning", "ok")

    async def test_the_service_does_not_start_and_names_them_all(self, file: Path, tmp_path: Path) -> None:
        file.write_text(yaml.safe_dump(without_secrets(tmp_path)))
        code, _, err = await ariagent("run", "-c", str(file))
        assert code == USAGE
        assert err.count("the environment variable NOT_IN_THIS_SHELL is not set") == 8
        assert ": asterisk.password: " in err

    async def test_the_schema_needs_no_settings(self) -> None:
        code, out, _ = await ariagent("schema")
        assert (code, json.loads(out)["title"]) == (0, "Settings of ariagent")


class TestTheCurrentDirectory:
    """A folder of somebody else: nothing in it is read, whoever starts a command there."""

    @pytest.fixture
    def trap(self, tmp_path: Path) -> Path:
        folder = tmp_path / "somebodys"
        for name in (".lab/ariagent.yaml", "ariagent.yaml", "etc/ariagent/ariagent.yaml"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(yaml.safe_dump({"state_directory": str(folder / "state")}))
        (folder / ".lab" / "lab.env").write_text(f"ASTERISK_PID={os.getpid()}\nARI_URL=http://127.0.0.1:1\n")
        (folder / ".env").write_text("OPENAI_API_KEY=stolen\n")
        for module in ("yaml", "typer", "json", "uvloop", "ariagent_tools"):
            (folder / f"{module}.py").write_text("raise SystemExit('imported from the current directory')\n")
        return folder

    @pytest.mark.parametrize("words", [("calls",), ("check",), ("pause",), ("rescue",), ("call", "7000"), ("run",)])
    async def test_without_settings_there_are_none(self, trap: Path, words: tuple[str, ...]) -> None:
        if DEFAULT_PATH.exists():
            pytest.skip("ariagent is installed here")
        code, _, err = await ariagent(*words, folder=trap)
        assert code == USAGE
        assert err.startswith(
            f"ariagent: {DEFAULT_PATH}: there is no such file. Name one with -c FILE or ARIAGENT_CONFIG"
        )

    @pytest.mark.parametrize("word", ["run", "call"])
    async def test_nothing_is_imported_from_there(self, trap: Path, file: Path, word: str) -> None:
        file.write_text("asterisk: [")
        words = [word, *(["7000"] if word == "call" else [])]
        code, _, err = await started(*words, folder=trap, ARIAGENT_CONFIG=str(file))
        assert code == USAGE
        assert err.startswith(f"ariagent: {file}:1: the [ in this line is not closed")

    async def test_settings_are_those_that_the_environment_names(self, trap: Path, file: Path, tmp_path: Path) -> None:
        file.write_text(yaml.safe_dump(without_secrets(tmp_path)))
        code, _, err = await ariagent("pause", folder=trap, ARIAGENT_CONFIG=str(file))
        assert (code, err.partition(". ")[0]) == (FAILED, "ariagent: the service does not run")


class TestPorts:
    """A taken port is no mistake in the settings: it is tried again for a while, then the exit code is 1."""

    async def test_one_that_stays_taken(self, file: Path, taken_port: int) -> None:
        file.write_text(yaml.safe_dump(tree(http={"port": taken_port})))
        pauses_s = (0.1, 0.2, 0.3)
        changed: dict[str, object] = {"ariagent.service.resources.PAUSES_S": pauses_s}
        code, _, err = await forked.ariagent("run", "-c", str(file), environment=clean(), changed=changed)
        assert code == FAILED
        *tries, last = err.strip().splitlines()
        cause = f"cannot serve metrics on 127.0.0.1:{taken_port}: Address already in use"
        assert last.startswith(f"ariagent: {cause}. Stop the program that uses the port, or set http.port")
        assert [float(line.rpartition("again_s=")[2].split()[0]) for line in tries] == list(pauses_s)
        assert all(" ERROR service.not_started " in line and cause in line for line in tries)

    async def test_one_that_is_free_a_moment_later(self, told_with: ToldWith) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        line = await told_with(tree(audiosocket={"port": port}), "service.not_started", listener.close)
        assert f"AudioSocket cannot listen on 127.0.0.1:{port}: Address already in use" in line

    async def test_an_address_that_is_not_this_machines(self, told_with: ToldWith) -> None:
        line = await told_with(tree(audiosocket={"host": "198.51.100.1"}), "service.not_started")
        assert "AudioSocket cannot listen on 198.51.100.1:0: " in line

    async def test_a_folder_that_cannot_be_made(self, told_with: ToldWith) -> None:
        line = await told_with({**tree(), "state_directory": "/proc/ariagent"}, "service.not_started")
        assert "records of calls cannot be kept in /proc/ariagent: " in line


class TestAsterisk:
    """One that is not there, or does not let us in, is waited for; the log says why, and ``/healthz``."""

    async def test_nobody_there(self, told_with: ToldWith) -> None:
        settings = tree()
        line = await told_with(settings)
        assert f"cannot reach Asterisk at {settings['asterisk']['url']}: Connection refused. Start" in line

    async def test_a_wrong_password(self, told_with: ToldWith, ari_server: Any) -> None:
        line = await told_with(tree(asterisk={"url": ari_server.url, "password": "wrong"}))
        assert " ERROR asterisk.waiting " in line
        assert "refused user ariagent or its password (HTTP 401). Compare asterisk.user and asterisk.password" in line
        assert "wrong" not in line

    async def test_a_caller_with_a_wrong_password(self, file: Path, ari_server: Any) -> None:
        file.write_text(yaml.safe_dump(tree(asterisk={"url": ari_server.url, "password": "wrong"})))
        code, _, err = await ariagent("call", "7000", "-c", str(file))
        assert code == FAILED
        assert "(HTTP 401). Compare asterisk.user and asterisk.password" in err

    @pytest.mark.parametrize(
        "answer",
        [(404, "<html>\n<body>\nnothing\nhere\n</body>\n</html>"), (200, "<html>\nIt works!\n</html>"), (200, "[]")],
        ids=["404", "page", "json"],
    )
    async def test_a_url_that_is_no_ari(self, told_with: ToldWith, ari_server: Any, answer: tuple[int, str]) -> None:
        ari_server.answers["GET /api-docs/resources.json"] = answer
        line = await told_with(tree(asterisk={"url": ari_server.url, "password": ari_server.password}))
        assert f"{ari_server.url} answers, but is no ARI (" in line
        assert "Set asterisk.url to Asterisk's HTTP server" in line

    async def test_a_server_that_never_answers(self, told_with: ToldWith, taken_port: int) -> None:
        # The kernel accepts; nobody ever reads.
        url = f"http://127.0.0.1:{taken_port}"
        line = await told_with(tree(asterisk={"url": url, "request_timeout_s": 0.2}))
        assert "Asterisk did not answer GET api-docs/resources.json within 0.2 s" in line


class TestCommands:
    async def test_version(self) -> None:
        assert await started("version") == (0, f"{__version__}\n", "")
        assert await ariagent("--version") == (0, f"{__version__}\n", "")

    @pytest.mark.parametrize("command", ["", "run", "call", "check", "sandbox", "version"])
    async def test_help(self, command: str) -> None:
        code, out, err = await started(*command.split(), "--help")
        assert code == 0
        assert "Usage: ariagent" in out
        assert f"ariagent {command}".rstrip() in out
        assert err == ""

    async def test_every_command_is_listed(self) -> None:
        _, out, _ = await ariagent("--help")
        for command in ("run", "call", "check", "sandbox", "version"):
            assert f" {command} " in out

    @pytest.mark.parametrize("arguments", [["run", "--nope"], ["nope"], ["run", "x"], ["sandbox", "--nope"]])
    async def test_wrong_usage(self, arguments: list[str]) -> None:
        code, out, err = await ariagent(*arguments)
        assert code == USAGE
        assert out == ""
        assert "Usage: ariagent" in err
        assert "Traceback" not in err

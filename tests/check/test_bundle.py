"""A support bundle: what is in it, who can read it, and that no secret is, wherever it was put."""

import base64
import json
import logging
import os
import stat
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

from ariagent.check import bundle as bundles
from ariagent.check.bundle import Wanted, make
from ariagent.check.report import Report, failed
from ariagent.config import Settings
from ariagent.configfile import load
from ariagent.control import localfile
from ariagent.errors import ConfigurationError
from ariagent.logs import JsonFormatter, TextFormatter
from ariagent.records import events as rec
from ariagent.records.journal import Journal
from tests import forked

SECRETS = {
    "ari": 'ari-pass"word-1',
    "ami": "ami-password-2",
    "model": "sk-proj-model-key-3",
    "fallback": "fallback key/4",
    "model_header": "header-value-5",
    "tool_header": "tool-value-6",
    "signature": "signing-secret-7",
    "mcp": "mcp-token-8",
    "mcp_header": "mcp-header-9",
    "token": "control-token-number-10",
    "local": "local-token-of-the-service-11",
    "environment": "from-the-environment-12",
    "query": "query-token-13",
    "short": "pw14",
}
"""By where each is put."""
WORDS = "the caller whispered xyzzy"
NUMBER = "+4930555123456"
CALL = "1795357064.12"

Bundle = dict[str, str]
"""Name in the archive -> text."""


def read(path: Path) -> Bundle:
    with tarfile.open(path, "r:gz") as tar:
        found = {}
        for member in tar.getmembers():
            assert (member.mode, member.uid, member.gid, member.uname, member.gname) == (0o600, 0, 0, "", "")
            assert member.isfile()
            held = tar.extractfile(member)
            assert held is not None
            folder, _, name = member.name.partition("/")
            assert folder == path.name.removesuffix(".tar.gz")
            found[name] = held.read().decode()
        return found


def forms(secret: str) -> set[str]:
    """In how many writings it might stand."""
    return {secret, quote(secret, safe=""), json.dumps(secret)[1:-1], base64.b64encode(secret.encode()).decode()}


@pytest.fixture
def tree(tmp_path: Path) -> dict[str, Any]:
    """Settings with a secret wherever one may be."""
    return {
        "asterisk": {"url": "http://127.0.0.1:1", "password": SECRETS["ari"]},
        "ami": {"port": 1, "password": SECRETS["ami"]},
        "realtime": {
            "url": f"ws://127.0.0.1:1/v1/realtime?key={SECRETS['query']}",
            "api_key": SECRETS["model"],
            "headers": {"X-Model": SECRETS["model_header"]},
            "fallback": {"url": "ws://127.0.0.1:2/v1/realtime", "api_key": SECRETS["fallback"]},
        },
        "agents": {"default": {"instructions": f"Say: {WORDS}. Dial {NUMBER}."}},
        "tools": {
            "order_status": {
                "description": "Says where an order is.",
                "url": f"https://api.example.com/orders?t={SECRETS['query']}",
                "headers": {"X-Tool": SECRETS["tool_header"]},
                "signature": {"secret": SECRETS["signature"]},
            }
        },
        "mcp_servers": {
            "crm": {
                "url": "https://crm.example.com/mcp",
                "authorization": SECRETS["mcp"],
                "headers": {"X-Mcp": SECRETS["mcp_header"]},
            },
            "short": {"url": "https://crm.example.com/mcp", "headers": {"X-Short": SECRETS["short"]}},
        },
        "outbound": {"allowed_hosts": ["api.example.com"]},
        "control": {"tokens": [{"name": "anna", "role": "admin", "token": SECRETS["token"]}]},
        "http": {"port": 0},
        "state_directory": str(tmp_path / "state"),
    }


@pytest.fixture
def settings(tree: dict[str, Any]) -> Settings:
    return Settings.model_validate(tree)


def everything_said() -> dict[str, Any]:
    """An event's fields that give away all there is."""
    leak = " ".join(SECRETS.values())
    return {"said": WORDS, "arguments": {"to": NUMBER}, "cause": f"{leak} at {NUMBER}", "new_field": f"{leak} {WORDS}"}


def remember(settings: Settings) -> None:
    """Records and the file of the control API, as a service leaves them."""
    settings.state_directory.mkdir(exist_ok=True)
    localfile.write(settings.state_directory, localfile.Access("http://127.0.0.1:9", SECRETS["local"]))
    journal = Journal.open(settings.state_directory, settings.records, None)
    for number, call_id in enumerate((CALL, "1795357065.13")):
        call = journal.begin(call_id, 1_795_357_064.0 + number)
        call.tell(rec.CallStarted(f"PJSIP/{NUMBER[1:]}-1", "default", "-", NUMBER), time.time())
        said = everything_said()
        call.tell(rec.ToolCalled("order", "c", arguments=f"{said['arguments']} {said['new_field']}"), time.time())
        call.tell(rec.ModelRefused("x", said["cause"]), time.time())
        call.tell(rec.CallerTurn("i", said["said"]), time.time())
        call.tell(rec.CallEnded(result="done", reason="caller_hung_up"), time.time())
    journal.close()


def write_log(path: Path) -> None:
    lines = []
    for formatter in (TextFormatter(), JsonFormatter()):
        for fields in (everything_said(), {"call": CALL, "caller": NUMBER}):
            record = logging.makeLogRecord({"msg": "turn.caller", "name": "a.x", "levelname": "INFO", "fields": fields})
            lines.append(formatter.format(record))
    lines.append("Traceback (most recent call last):")
    lines.append(f"ValueError: {SECRETS['model']} for {NUMBER}")
    path.write_text("\n".join(lines) + "\n")


async def bundle(tmp_path: Path, settings: Settings | None, **wanted: Any) -> Bundle:
    file = tmp_path / "support.tar.gz"
    report = Report()
    report.add(failed("agent default", f"refused {SECRETS['model']} of {NUMBER}", "Check realtime.api_key"))
    parts = await make(Wanted(file, **wanted), report, "/etc/ariagent/ariagent.yaml", settings, "a problem")
    found = read(file)
    assert [part.name for part in parts] == list(found)
    assert all(part.what for part in parts)
    return found


@pytest.mark.parametrize("words", [False, True])
async def test_no_secret_is_in_it_wherever_one_was_put(
    words: bool, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_API_KEY", SECRETS["environment"])
    monkeypatch.setenv("ARIAGENT_REALTIME__API_KEY", SECRETS["model"])
    remember(settings)
    write_log(tmp_path / "service.log")
    found = await bundle(tmp_path, settings, words=words, log=tmp_path / "service.log")
    whole = "\n".join(found.values())
    for place, secret in SECRETS.items():
        for form in forms(secret):
            assert form not in whole, place
    # All of it was there to be found.
    assert "ariagent.log" in found
    assert f"calls/{CALL}.json" in found
    assert "new_field" in found["ariagent.log"]
    assert "ARIAGENT_REALTIME__API_KEY" in found["versions.json"]
    assert (WORDS in whole, NUMBER in whole) == (words, words)


async def test_words_and_numbers_are_replaced_and_the_rest_is_useful(settings: Settings, tmp_path: Path) -> None:
    remember(settings)
    write_log(tmp_path / "service.log")
    found = await bundle(tmp_path, settings, log=tmp_path / "service.log", calls=1)
    assert [name for name in found if name.startswith("calls/")] == ["calls/1795357065.13.json"]
    call = json.loads(found["calls/1795357065.13.json"])
    assert (call["call"], call["agent"], call["result"], call["caller"]) == (
        "1795357065.13",
        "default",
        "done",
        "(number)",
    )
    turn = next(event for event in call["events"] if event["event"] == "turn.caller")
    assert turn["fields"]["said"] == f"({len(WORDS)} characters)"
    refused = next(event for event in call["events"] if event["event"] == "model.refused")
    assert refused["fields"]["message"].endswith(" at (number)")
    shown = json.loads(found["settings.json"])
    assert shown["agents"]["default"]["instructions"].endswith(" characters)")
    assert shown["ami"]["port"] == 1
    checked = json.loads(found["check.json"])
    assert checked["results"][0]["found"] == "refused *** of (number)"
    versions = json.loads(found["versions.json"])
    assert {"aiohttp", "ariagent", "pydantic"} <= set(versions["packages"])
    lines = found["ariagent.log"].splitlines()
    assert f"call={CALL}" in lines[1]
    assert json.loads(lines[3])["call"] == CALL
    assert lines[-1] == "ValueError: *** for (number)"
    assert "what ariagent check found" in found["README.txt"]


async def test_only_its_owner_can_read_it(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "support.tar.gz"
    file.write_text("something older that everybody may read")
    file.chmod(0o666)
    before = os.umask(0)
    try:
        await bundle(tmp_path, settings)
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["support.tar.gz"]


async def test_what_is_not_to_be_had_is_named_with_the_reason(settings: Settings, tmp_path: Path) -> None:
    found = await bundle(tmp_path, settings)
    asterisk = json.loads(found["asterisk.json"])
    assert "Connection refused" in asterisk["ari"]
    assert "127.0.0.1" in asterisk["ami"]
    assert "http.port is 0" in found["metrics.txt.missing.txt"]
    assert "journalctl -u ariagent" in found["ariagent.log.missing.txt"]
    assert "nothing was recorded" in found["calls.missing.txt"]


async def test_settings_that_do_not_load_make_a_bundle_too(tmp_path: Path) -> None:
    found = await bundle(tmp_path, None)
    assert json.loads(found["check.json"])["problem"] == "a problem"
    assert "settings.json" not in found
    assert {"README.txt", "versions.json", "check.json"} <= set(found)


async def test_metrics_and_health_are_the_services_own(settings: Settings, tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.Response:
        if request.path == "/metrics":
            return web.Response(text=f"ariagent_cost_total 1234567.0\n# {SECRETS['model']}\n")
        return web.json_response({"status": "ok", "model": f"refused {SECRETS['model']} for {NUMBER}"})

    app = web.Application()
    app.router.add_get("/{path}", answer)
    async with TestServer(app, host="127.0.0.1") as server:
        http = settings.http.model_copy(update={"port": server.port})
        found = await bundle(tmp_path, settings.model_copy(update={"http": http}))
    assert found["metrics.txt"] == "ariagent_cost_total 1234567.0\n# ***\n"
    assert json.loads(found["healthz.json"])["model"] == "refused *** for (number)"


@pytest.fixture
def writer(settings: Settings, tmp_path: Path) -> Iterator[None]:
    """A process that writes records there, and its log to a file."""
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from ariagent.config import RecordsSettings\n"
        "from ariagent.records.journal import Journal\n"
        "journal = Journal.open(Path(sys.argv[1]), RecordsSettings(), None)\n"
        "print('2026-01-31T12:00:00.123Z INFO service.ready', file=sys.stderr, flush=True)\n"
        "print('ready', flush=True)\n"
        "sys.stdin.read()\n"
    )
    settings.state_directory.mkdir()
    with (
        (tmp_path / "anywhere.log").open("w") as log,
        subprocess.Popen(
            [sys.executable, "-c", program, str(settings.state_directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
        ) as process,
    ):
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield
        process.communicate()


@pytest.mark.usefixtures("writer")
async def test_the_running_services_log_is_found_where_it_is_a_file(settings: Settings, tmp_path: Path) -> None:
    """By its process, which the records know."""
    found = await bundle(tmp_path, settings)
    assert found["ariagent.log"] == "2026-01-31T12:00:00.123Z INFO service.ready\n"


async def test_only_the_end_of_a_long_log_is_taken(settings: Settings, tmp_path: Path) -> None:
    log = tmp_path / "service.log"
    log.write_text("".join(f"2026-01-31T12:00:00.123Z INFO line.{number}\n" for number in range(60_000)))
    found = await bundle(tmp_path, settings, log=log)
    lines = found["ariagent.log"].splitlines()
    assert lines[-1].endswith("line.59999")
    assert 10_000 < len(lines) < 40_000
    assert all(line.startswith("2026-") for line in lines)


async def test_digests_of_installed_files_do_not_tell_their_passwords(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "asterisk"
    folder.mkdir()
    monkeypatch.setattr(bundles, "INSTALLED", folder)
    digests = []
    for password in ("one", "two"):
        (folder / "ari.conf").write_text(f"[ariagent]\ntype = user\npassword = {password}\n")
        (folder / "manager.conf").write_text(f"[ariagent]\n  Secret={password}\n")
        (folder / "ari-password.conf").write_text(f"{password}\n")
        digests.append(json.loads((await bundle(tmp_path, settings))["shipped.json"]))
    assert digests[0] == digests[1]
    assert set(digests[0]) == {"ari.conf", "manager.conf", "ari-password.conf"}
    (folder / "ari.conf").write_text("[ariagent]\ntype = user\nread_only = yes\npassword = one\n")
    changed = json.loads((await bundle(tmp_path, settings))["shipped.json"])
    assert changed["ari.conf"] != digests[0]["ari.conf"]
    assert changed["manager.conf"] == digests[0]["manager.conf"]


async def test_a_place_that_cannot_be_written_is_named(settings: Settings, tmp_path: Path) -> None:
    wanted = Wanted(tmp_path / "nowhere" / "support.tar.gz")
    with pytest.raises(ConfigurationError) as caught:
        await make(wanted, Report(), "x", settings)
    assert str(caught.value) == f"the bundle cannot be written to {wanted.file}: No such file or directory"
    assert "--bundle" in caught.value.remedy


class TestCommand:
    async def run(self, tmp_path: Path, text: str, *options: str) -> tuple[int, str, str]:
        (tmp_path / "a.yaml").write_text(text)
        words = ("check", "-c", str(tmp_path / "a.yaml"), *options)
        return await forked.ariagent(*words, environment=dict(os.environ))

    async def test_it_is_made_beside_the_check_and_listed(self, tree: dict[str, Any], tmp_path: Path) -> None:
        file = tmp_path / "support.tar.gz"
        code, out, err = await self.run(tmp_path, yaml.safe_dump(tree), "--json", "--bundle", str(file))
        assert code == 1  # no Asterisk
        assert json.loads(out)["passed"] is False
        found = read(file)
        assert json.loads(found["check.json"])["counts"] == json.loads(out)["counts"]
        for name in found:
            assert name in err
        assert "Look at the file before you send it" in err

    async def test_settings_that_do_not_load(self, tmp_path: Path) -> None:
        file = tmp_path / "support.tar.gz"
        code, _, err = await self.run(tmp_path, "asterisk: {pasword: sesame-open-1}\n", "--bundle", str(file))
        assert code == 2
        assert "did you mean password?" in err
        found = read(file)
        assert "did you mean password?" in json.loads(found["check.json"])["problem"]
        assert "sesame-open-1" not in "".join(found.values())


def test_the_settings_of_this_test_load(tree: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(tree))
    assert load(tmp_path / "a.yaml").realtime.api_key.get_secret_value() == SECRETS["model"]

"""The settings of the lab's service: the lab's addresses, and the site's everything else."""

from pathlib import Path

import pytest

from ariagent.errors import ConfigurationError
from lab.labsettings import AGENT, SANDBOX_KEY, Addresses, check, merged

ARI = {"url": "http://127.0.0.1:7", "user": "ariagent", "password": "p"}
LAB = Addresses(
    ARI, {"host": "127.0.0.1", "port": 8, "user": "ariagent", "password": "q"}, 9, 10, 11, 12, "a token of the lab"
)
OPENAI = "wss://api.openai.com/v1/realtime"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "mine.yaml"


def test_without_a_file(tmp_path: Path) -> None:
    tree = merged(None, LAB, {}, tmp_path)
    assert tree["agents"] == {"default": AGENT}
    assert tree["realtime"] == {"url": "ws://127.0.0.1:9/v1/realtime", "api_key": SANDBOX_KEY}
    assert tree["state_directory"] == str(tmp_path / "state")
    assert tree["log"] == {"transcripts": True}


def test_addresses_are_the_labs_and_the_rest_is_the_files(file: Path, tmp_path: Path) -> None:
    file.write_text(
        "asterisk: {url: http://192.0.2.1, app: theirs, request_timeout_s: 4}\n"
        "audiosocket: {host: 0.0.0.0, port: 1, advertise: '192.0.2.1:1', format: slin}\n"
        "realtime: {api_key: sk-theirs, model: some-model}\n"
        "log: {transcripts: false}\n"
        "agents: {desk: {}}\nmax_calls: 3\n"
    )
    tree = merged(file, LAB, {}, tmp_path)
    assert tree["asterisk"] == {**ARI, "app": "ariagent", "request_timeout_s": 4}
    assert tree["audiosocket"] == {"host": "127.0.0.1", "port": 10, "advertise": "127.0.0.1:10", "format": "slin"}
    assert tree["realtime"] == {
        "url": "ws://127.0.0.1:9/v1/realtime",
        "api_key": SANDBOX_KEY,
        "model": "some-model",
    }
    assert (tree["log"], tree["agents"], tree["max_calls"]) == ({"transcripts": False}, {"desk": {}}, 3)


def test_the_labs_token_comes_to_the_files_own(file: Path, tmp_path: Path) -> None:
    file.write_text(
        "control:\n  port: 1\n"
        f"  tokens: [{{name: anna, role: viewer, sha256: {'a' * 64}}}, {{name: lab, role: viewer}}]\n"
    )
    found = merged(file, LAB, {}, tmp_path)["control"]
    assert (found["host"], found["port"]) == ("127.0.0.1", 12)
    assert found["tokens"] == [
        {"name": "anna", "role": "viewer", "sha256": "a" * 64},
        {"name": "lab", "role": "admin", "token": "a token of the lab"},
    ]


def test_a_server_of_the_files_own_gets_the_files_own_key(file: Path, tmp_path: Path) -> None:
    file.write_text(f"realtime: {{url: '{OPENAI}', api_key: sk-theirs}}\n")
    assert merged(file, LAB, {}, tmp_path)["realtime"] == {"url": OPENAI, "api_key": "sk-theirs"}


def test_no_other_server_is_told_the_sandboxs_key(tmp_path: Path) -> None:
    assert "realtime" not in merged(None, LAB, {"ARIAGENT_REALTIME__URL": OPENAI}, tmp_path)
    near = {"ARIAGENT_REALTIME__URL": "ws://127.0.0.1:8765/v1/realtime"}
    assert merged(None, LAB, near, tmp_path)["realtime"] == {"api_key": SANDBOX_KEY}
    own_key = near | {"ARIAGENT_REALTIME__API_KEY": "x"}
    assert "realtime" not in merged(None, LAB, own_key, tmp_path)


def test_mistakes_are_told_with_the_files_own_lines(file: Path, tmp_path: Path) -> None:
    file.write_text("realtime:\n  api_key: ${NOBODY_HAS_THIS_KEY}\nagents:\n  desk: {voise: x}\n")
    with pytest.raises(ConfigurationError, match=rf"^{file}:4: agents.desk.voise: unknown key"):
        check(file, {}, tmp_path)


def test_a_server_that_needs_a_key(file: Path, tmp_path: Path) -> None:
    file.write_text(f"realtime:\n  url: {OPENAI}\n")
    with pytest.raises(ConfigurationError, match="needs a key"):
        check(file, {}, tmp_path)

"""Settings files and secrets' files that every user of the machine can read."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from ariagent.config import HttpSettings
from ariagent.configfile import load

PLAIN = """
asterisk: {password: correct-horse-1}
ami: {password: correct-horse-2}
realtime: {api_key: correct-horse-3}
agents: {default: {opening: Hello}}
"""


def warnings(path: Path, text: str, mode: int, **environment: str) -> list[str]:
    path.write_text(text)
    path.chmod(mode)
    found: list[str] = []
    load(path, environment, warn=found.append)
    return found


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o666])
def test_plain_secrets_in_an_open_file_are_named_and_not_shown(tmp_path: Path, mode: int) -> None:
    (found,) = warnings(tmp_path / "a.yaml", PLAIN, mode)
    assert "asterisk.password, ami.password" in found
    assert "realtime.api_key" in found
    assert f"chmod o-r {tmp_path / 'a.yaml'}" in found
    assert "correct-horse" not in found


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o660])
def test_a_closed_file_is_right(tmp_path: Path, mode: int) -> None:
    assert warnings(tmp_path / "a.yaml", PLAIN, mode) == []


def test_an_open_file_without_plain_secrets_is_right(tmp_path: Path) -> None:
    secret = tmp_path / "ari"
    secret.write_text("correct-horse\n")
    secret.chmod(0o600)
    text = "asterisk: {password: 'file:ari'}\nrealtime: {api_key: '${KEY}'}\nagents: {default: {opening: Hello}}\n"
    assert warnings(tmp_path / "a.yaml", text, 0o644, KEY="correct-horse") == []
    secret.chmod(0o644)
    (found,) = warnings(tmp_path / "a.yaml", text, 0o644, KEY="correct-horse")
    assert found.startswith("asterisk.password: every user")
    assert f"chmod o-r {secret}" in found


def test_what_the_environment_says_is_not_in_the_file(tmp_path: Path) -> None:
    text = "agents: {default: {opening: Hello}}\n"
    assert warnings(tmp_path / "a.yaml", text, 0o644, ARIAGENT_ASTERISK__PASSWORD="correct-horse") == []


def test_secrets_of_lists_and_of_other_sections_count(tmp_path: Path) -> None:
    tokens = "control: {tokens: [{name: jo, token: correct-horse-battery, role: viewer}]}\n"
    text = f"{tokens}agents: {{default: {{opening: Hi}}}}\n"
    (found,) = warnings(tmp_path / "a.yaml", text, 0o644)
    assert "control.tokens" in found


@pytest.mark.parametrize("name", ["metrics.example.com", "build_1", "127.0.0.1", "::1", "fd00::5", "::ffff:10.0.0.1"])
def test_names_under_which_pages_are_answered(name: str) -> None:
    assert HttpSettings(allowed_hosts=(name,)).allowed_hosts == (name,)


@pytest.mark.parametrize("name", ["metrics.example.com:443", "10.0.0.1:80", "[::1]", "*", "https://x", "a b"])
def test_names_that_no_header_could_match(name: str) -> None:
    with pytest.raises(ValidationError, match="without a port"):
        HttpSettings(allowed_hosts=(name,))

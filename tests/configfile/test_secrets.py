"""Secrets: where they are taken from, what is done without them, and that they are in no text."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from ariagent.config import AsteriskSettings, Settings
from ariagent.errors import ConfigurationError
from ariagent.redaction import secrets_of
from ariagent.secret import LostSecret, SecretError, is_empty, known_value, lost

Load = Callable[..., Settings]
SECRET = "sk-do-not-print-me"
KEYED = "realtime:\n  api_key: {}\n"


def value(settings: Settings) -> str:
    return settings.realtime.api_key.get_secret_value()


class TestWhereTheyAre:
    def test_in_the_environment(self, loaded: Load) -> None:
        assert value(loaded(KEYED.format("${A_KEY}"), {"A_KEY": SECRET})) == SECRET

    def test_in_a_file_on_its_first_line(self, loaded: Load, tmp_path: Path) -> None:
        (tmp_path / "key").write_text(f"  {SECRET} \nsecond line\n")
        assert value(loaded(KEYED.format(f"file:{tmp_path}/key"))) == SECRET

    def test_in_a_file_that_the_environment_names(self, loaded: Load, tmp_path: Path) -> None:
        (tmp_path / "key").write_text(SECRET)
        assert value(loaded("", {"ARIAGENT_REALTIME__API_KEY": f"file:{tmp_path}/key"})) == SECRET

    def test_in_a_folder_that_the_environment_names(self, loaded: Load, tmp_path: Path) -> None:
        (tmp_path / "key").write_text(SECRET)
        text = KEYED.format('"file:${CREDENTIALS_DIRECTORY}/key"')
        assert value(loaded(text, {"CREDENTIALS_DIRECTORY": str(tmp_path)})) == SECRET

    def test_beside_the_settings_and_not_in_the_current_directory(
        self, loaded: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "secrets").mkdir()
        (tmp_path / "secrets" / "key").write_text(SECRET)
        (tmp_path / "here" / "secrets").mkdir(parents=True)
        (tmp_path / "here" / "secrets" / "key").write_text("another one")
        monkeypatch.chdir(tmp_path / "here")
        assert value(loaded(KEYED.format("file:secrets/key"))) == SECRET

    def test_in_the_settings(self, loaded: Load) -> None:
        assert value(loaded(KEYED.format(SECRET))) == SECRET

    def test_of_a_section_that_is_made_in_code(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("A_PASSWORD", SECRET)
        assert AsteriskSettings(password=SecretStr("${A_PASSWORD}")).password.get_secret_value() == SECRET
        (found,) = lost(AsteriskSettings(password=SecretStr("file:key")))
        assert "is a relative path" in str(found.error)


UNREADABLE = {
    "an unset variable": ("${NOT_SET}", "the environment variable NOT_SET is not set", "EnvironmentFile="),
    "an empty variable": ("${BLANK}", "the environment variable BLANK is empty", ""),
    "no file": ("file:/nonexistent/key", "cannot read the secret's file /nonexistent/key: No such file", "Correct"),
    "a folder": ("file:/", "cannot read the secret's file /: Is a directory", ""),
    "no path": ('"file:"', "is empty", ""),
    "a home": ("file:~/key", "begins with ~, which is another folder for each user", "Write the absolute path"),
    "another's home": ("file:~ann/key", "begins with ~", ""),
    "a path without its variable": ('"file:${NOT_SET}/key"', "the environment variable NOT_SET is not set", ""),
    "a credential outside of its unit": (
        '"file:${CREDENTIALS_DIRECTORY}/key"',
        "the path has ${CREDENTIALS_DIRECTORY}, which systemd sets only inside a unit with LoadCredential=",
        "systemd-run ",
    ),
    "a variable as shells write it": ("file:$HOME/key", "the path after file: has a $", "${NAME}"),
}


class TestThatCannotBeRead:
    @pytest.mark.parametrize("kind", UNREADABLE)
    def test_is_told_with_line_and_key_to_whoever_serves_calls(self, complaint: Callable[..., str], kind: str) -> None:
        reference, told, remedy = UNREADABLE[kind]
        said = complaint(KEYED.format(reference), {"BLANK": " "}, serving=True)
        assert said.startswith(f"FILE:2: realtime.api_key: {told}")
        assert remedy in said

    @pytest.mark.parametrize("kind", UNREADABLE)
    def test_is_no_matter_until_it_is_used(self, loaded: Load, file: Path, kind: str) -> None:
        reference, told, _ = UNREADABLE[kind]
        settings = loaded(KEYED.format(reference), {"BLANK": " "})
        assert not is_empty(settings.realtime.api_key)
        assert not settings.realtime.lacks_key
        with pytest.raises(SecretError) as caught:
            value(settings)
        assert str(caught.value).startswith(f"{file}:2: realtime.api_key: {told}")
        assert caught.value.key == "realtime.api_key"

    @pytest.mark.parametrize("content", [b"", b"\n", b"  \nsecond\n", b"\xff\xfe"])
    def test_a_file_that_holds_none(self, complaint: Callable[..., str], tmp_path: Path, content: bytes) -> None:
        (tmp_path / "key").write_bytes(content)
        said = complaint(KEYED.format(f"file:{tmp_path}/key"), serving=True)
        assert "its first line" in said

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_a_file_of_somebody_else(self, complaint: Callable[..., str], tmp_path: Path) -> None:
        (tmp_path / "key").write_text(SECRET)
        (tmp_path / "key").chmod(0)
        assert "Permission denied" in complaint(KEYED.format(f"file:{tmp_path}/key"), serving=True)

    def test_a_file_without_end(self, loaded: Load) -> None:
        assert lost(loaded(KEYED.format("file:/dev/zero"))) == []  # odd, and read in a moment

    def test_of_the_environment_names_its_variable(self, complaint: Callable[..., str]) -> None:
        said = complaint("", {"ARIAGENT_REALTIME__API_KEY": "${NOT_SET}"}, serving=True)
        assert said.startswith("environment ARIAGENT_REALTIME__API_KEY: realtime.api_key: the environment variable")

    def test_every_kind_of_secret_is_asked_for_and_all_are_told(self, complaint: Callable[..., str]) -> None:
        text = """
asterisk: {password: "${A}"}
ami: {password: "${A}"}
realtime:
  api_key: ${A}
  headers: {X-Gate: "${A}"}
  fallback: {url: "wss://b/v1", api_key: "${A}", headers: {X-Gate: "${A}"}}
control: {tokens: [{name: anna, role: viewer, token: "${A}"}]}
outbound: {allowed_hosts: [a.example]}
tools:
  order:
    description: An order.
    url: https://a.example/
    headers: {Authorization: "${A}"}
    signature: {secret: "${A}"}
mcp_servers:
  crm: {url: "https://a.example/mcp", authorization: "${A}", headers: {X-Key: "${A}"}}
agents:
  default:
    lookup: {url: "https://a.example/", headers: {Authorization: "${A}"}}
"""
        lines = complaint(text, serving=True).splitlines()
        assert [line.split(": ")[1] for line in lines] == [
            "asterisk.password",
            "ami.password",
            "realtime.api_key",
            "realtime.headers.X-Gate",
            "realtime.fallback.api_key",
            "realtime.fallback.headers.X-Gate",
            "agents.default.lookup.headers.Authorization",
            "tools.order.headers.Authorization",
            "tools.order.signature.secret",
            "mcp_servers.crm.authorization",
            "mcp_servers.crm.headers.X-Key",
            "control.tokens[0].token",
        ]


NO_SECRETS = {
    "/etc/ariagent/ari-password": "looks like the path of a file",
    "~/ari-password": "looks like the path of a file",
    "./key": "looks like the path of a file",
    "../secrets/key": "looks like the path of a file",
    "beside.txt": "looks like the path of a file",
    "$ARI_PASSWORD": "a reference that ariagent does not know",
    "{$ARI_PASSWORD}": "a reference that ariagent does not know",
    "Bearer ${TOKEN}": "a reference that ariagent does not know",
    "${TOKEN:-none}": "a reference that ariagent does not know",
    "$(cat /etc/key)": "a reference that ariagent does not know",
    "{{ ari_password }}": "a reference that ariagent does not know",
    "%ARI_PASSWORD%": "a reference that ariagent does not know",
    "env:ARI_PASSWORD": "a reference that ariagent does not know",
    "ENV[ARI_PASSWORD]": "a reference that ariagent does not know",
    "$ENV{ARI_PASSWORD}": "a reference that ariagent does not know",
    "os.environ/ARI_PASSWORD": "a reference that ariagent does not know",
    "File:/etc/key": "a reference that ariagent does not know",
    "file=/etc/key": "a reference that ariagent does not know",
    "<password>": "is an example's placeholder",
    "[your key]": "is an example's placeholder",
    "changeme": "is an example's placeholder",
    "CHANGE_ME": "is an example's placeholder",
    "change-this-password": "is an example's placeholder",
    "your-api-key-here": "is an example's placeholder",
    "sk-...": "is an example's placeholder",
    "xxxxxxxx": "is an example's placeholder",
    "********": "is an example's placeholder",
    "TODO": "is an example's placeholder",
}


class TestThatAreNone:
    @pytest.mark.parametrize("text", NO_SECRETS)
    def test_is_refused_without_being_repeated(self, complaint: Callable[..., str], tmp_path: Path, text: str) -> None:
        (tmp_path / "beside.txt").write_text(SECRET)
        said = complaint(f"asterisk:\n  password: '{text}'\n", serving=True)
        assert said.startswith(f"FILE:2: asterisk.password: {NO_SECRETS[text]}") or NO_SECRETS[text] in said
        assert "file:PATH" in said
        assert text not in said

    @pytest.mark.parametrize("text", NO_SECRETS)
    def test_may_be_one_all_the_same_where_it_cannot_be_meant_otherwise(
        self, loaded: Load, tmp_path: Path, text: str
    ) -> None:
        (tmp_path / "key").write_text(text)
        settings = loaded("asterisk: {password: 'file:key'}\nami: {password: '${A}'}\n", {"A": text})
        assert settings.asterisk.password.get_secret_value() == text
        assert settings.ami is not None
        assert settings.ami.password.get_secret_value() == text

    @pytest.mark.parametrize(
        "text",
        [
            "s3cret/with/slashes",
            "a/b+c==",
            "/q9Zr",
            "$uper$ecret",
            "pa$$word",
            "{braces}",
            "100%sure",
            "correct horse battery staple",
            "-----",
            "file",
            "env",
            "mypassword123",
            "sk-proj-abc_DEF-123",
        ],
    )
    def test_is_none_of_these(self, loaded: Load, text: str) -> None:
        settings = loaded(f"asterisk:\n  password: '{text}'\nrealtime: {{url: 'ws://127.0.0.1:1'}}\n", serving=True)
        assert settings.asterisk.password.get_secret_value() == text


class TestForms:
    def test_what_must_have_a_form_is_judged_when_it_is_needed(self, complaint: Callable[..., str]) -> None:
        text = """
realtime: {url: "ws://127.0.0.1:1"}
control: {tokens: [{name: anna, role: viewer, token: short}]}
mcp_servers: {crm: {url: "https://a.example/mcp", authorization: " ", headers: {X-Key: "${A}"}}}
"""
        lines = complaint(text, {"A": "two\nlines"}, serving=True).splitlines()
        assert lines == [
            "FILE:4: mcp_servers.crm.authorization: must not be empty",
            "FILE:4: mcp_servers.crm.headers.X-Key: holds a line break or a control character",
            "FILE:3: control.tokens[0].token: the token is too short: use at least 16 characters",
        ]

    def test_and_not_before(self, loaded: Load) -> None:
        assert lost(loaded("control: {tokens: [{name: anna, role: viewer, token: short}]}\n"))


class TestLost:
    lost = LostSecret("is gone")

    def test_nobody_gets_a_value(self) -> None:
        with pytest.raises(SecretError, match="is gone"):
            self.lost.get_secret_value()
        with pytest.raises(SecretError, match="is gone"):
            len(self.lost)
        assert known_value(self.lost) == ""
        assert known_value(SecretStr("x")) == "x"

    def test_it_is_like_no_other(self) -> None:
        assert self.lost != SecretStr("")
        assert SecretStr("") != self.lost
        assert self.lost == LostSecret("is gone")
        assert self.lost != LostSecret("is elsewhere")
        assert len({self.lost, LostSecret("is gone")}) == 1

    def test_settings_with_one_can_be_shown_and_redacted(self, loaded: Load) -> None:
        settings = loaded(KEYED.format("${NOT_SET}") + f"asterisk: {{password: {SECRET}}}\n")
        assert SECRET in list(secrets_of(settings))
        assert '"api_key":""' in settings.model_dump_json()
        repr(settings)


class TestNeverInAText:
    def test_of_the_settings(self, loaded: Load) -> None:
        settings = loaded(f"realtime:\n  api_key: {SECRET}\nasterisk:\n  password: {SECRET}\n")
        for text in (repr(settings), str(settings), repr(settings.realtime), f"{settings.asterisk}"):
            assert SECRET not in text
        assert SECRET not in settings.model_dump_json()

    @pytest.mark.parametrize(
        "text",
        [
            f"realtime:\n  api_key: [{SECRET}]\n",
            f"realtime:\n  api_key: {{a: {SECRET}}}\n",
            f"realtime:\n  auth: {SECRET}\n",
            f"realtime:\n  connect_timeout_s: {SECRET}\n",
            f"realtime:\n  fallback: {SECRET}\n",
            f"asterisk:\n  url: http://u:{SECRET}@h\n",
            f"asterisk:\n  url: {SECRET}\n",
            f"asterisk:\n  app: {SECRET}!\n",
            f"asterisk:\n  ca_file: [{SECRET}]\n",
            f"audiosocket:\n  advertise: {SECRET}\n",
            f"audiosocket:\n  allowed: {SECRET}\n",
            f"control:\n  tokens: [{SECRET}]\n",
            f"control:\n  tokens: [{{name: a, role: viewer, sha256: {SECRET}}}]\n",
            f"realtime: {SECRET}\n",
            f"realtime:\n  api_key: {SECRET}\n   url: x\n",
            f"realtime:\n  api_key:{SECRET}\n  url: x\n",
            f"realtime:\n  api_key: '{SECRET}\n",
            f"realtime:\n  api_key: @{SECRET}\n",
            f"realtime:\n  api_key: {SECRET}: x\n",
        ],
    )
    def test_of_a_complaint(self, complaint: Callable[..., str], text: str) -> None:
        assert SECRET not in complaint(text)


def test_wrong_settings_are_told_before_lost_secrets(complaint: Callable[..., str]) -> None:
    said = complaint(KEYED.format("${NOT_SET}") + "log: {level: loud}\n", serving=True)
    assert "log.level" in said
    assert "NOT_SET" not in said


def test_errors_are_the_operators() -> None:
    assert issubclass(SecretError, ConfigurationError)

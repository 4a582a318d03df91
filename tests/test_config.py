"""Settings: what is read from where, and that every mistake names file, line and key."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ariagent.config import AgentSettings, SemanticVad, ServerVad, Settings, load
from ariagent.errors import ConfigurationError

Load = Callable[..., Settings]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ariagent.yaml"


@pytest.fixture
def loaded(file: Path) -> Load:
    """``loaded(text, {NAME: value})``: the settings of a file with this text in this environment."""

    def load_text(text: str = "", environment: Mapping[str, str] | None = None) -> Settings:
        file.write_text(text)
        return load(file, environment or {})

    return load_text


@pytest.fixture
def complaint(loaded: Load, file: Path) -> Callable[..., str]:
    """What ``loaded`` complains about, with the file's path written as FILE."""

    def complain(text: str = "", environment: Mapping[str, str] | None = None) -> str:
        with pytest.raises(ConfigurationError) as caught:
            loaded(text, environment)
        return str(caught.value).replace(str(file), "FILE")

    return complain


class TestReading:
    def test_an_empty_file_gives_the_defaults(self, loaded: Load) -> None:
        assert loaded("") == Settings()
        assert loaded("# nothing but a comment\n") == Settings()

    def test_values_of_the_file_replace_defaults_and_leave_their_neighbours(self, loaded: Load) -> None:
        settings = loaded("asterisk:\n  user: someone\nmax_calls: 7\n")
        assert settings.asterisk.user == "someone"
        assert settings.asterisk.app == "ariagent"
        assert settings.max_calls == 7

    def test_turn_detection_without_a_type_is_the_servers(self, loaded: Load) -> None:
        agent = loaded("agents:\n  a:\n    turn_detection:\n      silence_duration_ms: 300\n").agents["a"]
        assert agent.turn_detection == ServerVad(silence_duration_ms=300)

    def test_turn_detection_by_meaning(self, loaded: Load) -> None:
        agent = loaded("agents:\n  a:\n    turn_detection: {type: semantic_vad, eagerness: low}\n").agents["a"]
        assert agent.turn_detection == SemanticVad(type="semantic_vad", eagerness="low")

    def test_null_switches_optional_things_off(self, loaded: Load) -> None:
        agent = loaded("agents:\n  a: {opening: null, transcription: null, noise_reduction: null}\n").agents["a"]
        assert (agent.opening, agent.transcription, agent.noise_reduction) == (None, None, None)

    def test_settings_do_not_change_after_loading(self, loaded: Load) -> None:
        settings = loaded("")
        with pytest.raises(ValueError, match="frozen"):
            settings.max_calls = 3
        with pytest.raises(ValueError, match="frozen"):
            settings.asterisk.user = "x"


class TestEnvironment:
    def test_overrides_the_file(self, loaded: Load) -> None:
        settings = loaded("realtime:\n  model: from-file\n", {"ARIAGENT_REALTIME__MODEL": "from-environment"})
        assert settings.realtime.model == "from-environment"

    def test_text_becomes_the_type_of_its_field(self, loaded: Load) -> None:
        settings = loaded(
            "",
            {
                "ARIAGENT_AUDIOSOCKET__PORT": "0",
                "ARIAGENT_REALTIME__PING_INTERVAL_S": "1.5",
                "ARIAGENT_AGENTS__DEFAULT__TURN_DETECTION__CREATE_RESPONSE": "false",
            },
        )
        assert settings.audiosocket.port == 0
        assert settings.realtime.ping_interval_s == 1.5
        assert settings.agents["default"].turn_detection.create_response is False

    def test_keys_outside_sections_too(self, loaded: Load) -> None:
        settings = loaded("max_calls: 3\n", {"ARIAGENT_MAX_CALLS": "5", "ARIAGENT_DRAIN_TIMEOUT_S": "0"})
        assert settings.max_calls == 5
        assert settings.drain_timeout_s == 0

    def test_lists_and_mappings_are_yaml(self, loaded: Load) -> None:
        settings = loaded(
            "",
            {
                "ARIAGENT_AUDIOSOCKET__ALLOWED": "[10.0.0.0/8, 192.168.0.0/16]",
                "ARIAGENT_REALTIME__HEADERS": '{"OpenAI-Project": "p1"}',
            },
        )
        assert settings.audiosocket.allowed == ("10.0.0.0/8", "192.168.0.0/16")
        assert settings.realtime.headers["OpenAI-Project"].get_secret_value() == "p1"
        assert "p1" not in repr(settings)

    def test_other_variables_are_not_ours(self, loaded: Load) -> None:
        others = {"ARIAGENT_TOKEN": "x", "PATH": "/bin", "OTHER__THING": "y"}
        assert loaded("", others) == Settings()

    def test_an_unknown_key_names_the_variable(self, complaint: Callable[..., str]) -> None:
        assert complaint("", {"ARIAGENT_REALTIME__API_KY": "x"}) == (
            "environment ARIAGENT_REALTIME__API_KY: realtime.api_ky: unknown key (did you mean api_key?)"
        )

    def test_a_wrong_value_names_the_variable_even_where_the_file_has_the_key(
        self, complaint: Callable[..., str]
    ) -> None:
        said = complaint("http:\n  port: 1\n", {"ARIAGENT_HTTP__PORT": "many"})
        assert said.startswith("environment ARIAGENT_HTTP__PORT: http.port: ")

    def test_a_value_that_is_no_yaml_names_the_variable(self, complaint: Callable[..., str]) -> None:
        said = complaint("", {"ARIAGENT_AUDIOSOCKET__ALLOWED": "[10.0.0.0/8"})
        assert said.startswith("environment ARIAGENT_AUDIOSOCKET__ALLOWED: audiosocket.allowed: not valid YAML")

    def test_a_key_below_a_plain_value_names_both_places(self, complaint: Callable[..., str]) -> None:
        said = complaint("realtime:\n  url: ws://127.0.0.1:1\n", {"ARIAGENT_REALTIME__URL__HOST": "x"})
        assert said == "environment ARIAGENT_REALTIME__URL__HOST: realtime.url is not a section in FILE"


# Each: the file, and how the complaint begins (line, key) and what else it says.
MISTAKES = {
    "unknown section": ("\nreeltime:\n  url: x\n", "FILE:2: reeltime: unknown key", "did you mean realtime"),
    "unknown key": ("realtime:\n  modle: x\n", "FILE:2: realtime.modle: unknown key", "did you mean model"),
    "unknown key of an agent": (
        "agents:\n  sales:\n    voice: marin\n    instruction: x\n",
        "FILE:4: agents.sales.instruction: unknown key",
        "did you mean instructions",
    ),
    "unknown key, nothing near": ("http:\n  zzzzzz: 1\n", "FILE:2: http.zzzzzz: unknown key", "host, port"),
    "unknown key of the turn detection": (
        "agents:\n  a:\n    turn_detection:\n      treshold: 1\n",
        "FILE:4: agents.a.turn_detection.treshold: unknown key",
        "",
    ),
    "key of the other turn detection": (
        "agents:\n  a:\n    turn_detection:\n      type: semantic_vad\n      threshold: 1\n",
        "FILE:5: agents.a.turn_detection.threshold: unknown key",
        "",
    ),
    "unknown turn detection": (
        "agents:\n  a:\n    turn_detection:\n      type: telepathy\n",
        "FILE:3: agents.a.turn_detection: ",
        "server_vad",
    ),
    "no number": ("asterisk:\n\n  request_timeout_s: soon\n", "FILE:3: asterisk.request_timeout_s: ", "number"),
    "out of range": ("http:\n  port: 65536\n", "FILE:2: http.port: ", "65535"),
    "zero seconds": ("asterisk: {request_timeout_s: 0}\n", "FILE:1: asterisk.request_timeout_s: ", "greater than 0"),
    "not one of a few words": ("log:\n  level: loud\n", "FILE:2: log.level: ", "'debug'"),
    "number or word": (
        "agents:\n  a:\n    max_output_tokens: lots\n",
        "FILE:3: agents.a.max_output_tokens: ",
        "'inf'",
    ),
    "text where a section belongs": ("log: debug\n", "FILE:1: log: ", ""),
    "list where a section belongs": ("agents:\n  a:\n    - voice\n", "FILE:2: agents.a: ", ""),
    "entry of a list": (
        "audiosocket:\n  allowed:\n    - 10.0.0.0/8\n    - 7\n",
        "FILE:4: audiosocket.allowed[1]: ",
        "",
    ),
    "no network": (
        "audiosocket:\n  allowed:\n    - 10.0.0.0/8\n    - here\n",
        "FILE:4: audiosocket.allowed[1]: ",
        "here",
    ),
    "not a URL": ("realtime:\n  url: localhost\n", "FILE:2: realtime.url: ", "ws:// or wss://"),
    "URL of another kind": ("realtime:\n  url: https://h/v1\n", "FILE:2: realtime.url: ", "ws:// or wss://"),
    "URL without a host": ("asterisk:\n  url: 'http://:8088'\n", "FILE:2: asterisk.url: ", "http:// or https://"),
    "URL with an impossible port": ("asterisk:\n  url: http://h:88088\n", "FILE:2: asterisk.url: ", "ort"),
    "URL with an impossible address": ("asterisk:\n  url: 'http://[::1'\n", "FILE:2: asterisk.url: ", ""),
    "URL with a password": ("asterisk:\n  url: http://u:pw@h:1\n", "FILE:2: asterisk.url: ", "credentials"),
    "application name": ("asterisk:\n  app: a b\n", "FILE:2: asterisk.app: ", "pattern"),
    "no agents": ("agents: {}\n", "FILE:1: agents: ", "at least 1"),
    "duplicate key": ("log:\n  level: info\n  level: debug\n", "FILE:3: log.level: ", "second time"),
    "duplicate section": ("log: {}\nhttp: {}\nlog: {}\n", "FILE:3: log: ", "second time"),
    "duplicate agent": ("agents:\n  a: {}\n  a: {}\n", "FILE:3: agents.a: ", "second time"),
    "number as an agent's name": ("agents:\n  a: {}\n  1001: {}\n", "FILE:3: agents.1001", "string"),
    "not YAML": ("log:\n  level: [info\nhttp:\n", "FILE:3: not valid YAML", ""),
    "tabs": ("log:\n\tlevel: info\n", "FILE:2: not valid YAML", ""),
    "a date that is none": ("max_calls: 2026-99-99\n", "FILE: not valid YAML", ""),
    "a control character": ("max_calls: \x07\n", "FILE: not valid YAML", ""),
    "a list": ("- log\n", "FILE:1: the file must hold sections", "list"),
    "a word": ("hello\n", "FILE:1: the file must hold sections", "str"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_names_file_line_and_key(mistake: str, complaint: Callable[..., str]) -> None:
    text, begins, contains = MISTAKES[mistake]
    said = complaint(text)
    assert said.startswith(begins)
    assert contains in said.removeprefix(begins)


def test_every_mistake_is_told_at_once(complaint: Callable[..., str]) -> None:
    lines = complaint("http:\n  port: x\nlog:\n  level: x\n  colour: x\n").splitlines()
    assert [": ".join(line.split(": ")[:2]) for line in lines] == [
        "FILE:2: http.port",
        "FILE:4: log.level",
        "FILE:5: log.colour",
    ]


class TestFile:
    def test_a_missing_file_is_named_with_a_remedy(self, file: Path) -> None:
        with pytest.raises(ConfigurationError, match=re.escape(f"{file}: there is no such file")) as caught:
            load(file, {})
        assert "-c FILE" in caught.value.remedy

    def test_a_folder_is_not_a_file(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match=f"^{re.escape(str(tmp_path))}: cannot be read"):
            load(tmp_path, {})

    def test_bytes_that_are_not_text(self, file: Path) -> None:
        file.write_bytes(b"log: \xff\xfe\n")
        with pytest.raises(ConfigurationError, match="cannot be read"):
            load(file, {})

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.text(alphabet=st.sampled_from(list("ab:- \n[]{}&*!|>'\"#,0_x2:\t?%@")), max_size=40))
    @example("!!int x")
    @example("a: !!float x")
    @example("[" * 3000)
    @example("&a [*a]")
    @example("? {}\n: 1")
    @example("<<: 1")
    def test_any_text_gives_settings_or_a_complaint(self, tmp_path: Path, text: str) -> None:
        file = tmp_path / "any.yaml"
        file.write_text(text)
        told = ""
        try:
            load(file, {})
        except ConfigurationError as error:
            told = str(error)
        assert told == "" or told.startswith(str(file))


SECRET = "sk-do-not-print-me"


class TestSecrets:
    def test_from_the_environment(self, loaded: Load, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("A_KEY", SECRET)
        assert loaded("realtime:\n  api_key: ${A_KEY}\n").realtime.api_key.get_secret_value() == SECRET

    def test_from_a_file_its_first_line(self, loaded: Load, tmp_path: Path) -> None:
        (tmp_path / "key").write_text(f"  {SECRET} \nsecond line\n")
        settings = loaded(f"realtime:\n  api_key: file:{tmp_path}/key\n")
        assert settings.realtime.api_key.get_secret_value() == SECRET

    def test_from_a_file_named_in_the_environment(self, loaded: Load, tmp_path: Path) -> None:
        (tmp_path / "key").write_text(SECRET)
        settings = loaded("", {"ARIAGENT_ASTERISK__PASSWORD": f"file:{tmp_path}/key"})
        assert settings.asterisk.password.get_secret_value() == SECRET

    def test_literally(self, loaded: Load) -> None:
        assert loaded(f"asterisk:\n  password: {SECRET}\n").asterisk.password.get_secret_value() == SECRET

    @pytest.mark.parametrize(
        ("reference", "told"),
        [
            ("${ARIAGENT_TEST_UNSET}", "the environment variable ARIAGENT_TEST_UNSET is not set"),
            ("file:/nonexistent/key", "cannot read the secret's file /nonexistent/key"),
        ],
    )
    def test_one_that_is_not_there_names_line_and_key(
        self, complaint: Callable[..., str], reference: str, told: str
    ) -> None:
        said = complaint(f"realtime:\n  api_key: {reference}\n")
        assert said.startswith(f"FILE:2: realtime.api_key: {told}")

    @pytest.mark.parametrize("content", ["", "\n", "  \nsecond\n"])
    def test_an_empty_file_is_refused(self, complaint: Callable[..., str], tmp_path: Path, content: str) -> None:
        (tmp_path / "key").write_text(content)
        assert "is empty" in complaint(f"realtime:\n  api_key: file:{tmp_path}/key\n")

    def test_a_file_of_bytes_is_refused(self, complaint: Callable[..., str], tmp_path: Path) -> None:
        (tmp_path / "key").write_bytes(b"\xff\xfe")
        assert "cannot read the secret's file" in complaint(f"realtime:\n  api_key: file:{tmp_path}/key\n")

    def test_never_in_any_text_of_the_settings(self, loaded: Load) -> None:
        settings = loaded(f"realtime:\n  api_key: {SECRET}\nasterisk:\n  password: {SECRET}\n")
        for text in (repr(settings), str(settings), repr(settings.realtime), f"{settings.asterisk}"):
            assert SECRET not in text
        assert SECRET not in settings.model_dump_json()

    @pytest.mark.parametrize(
        "text",
        [
            f"realtime:\n  api_key: [{SECRET}]\n",
            f"realtime:\n  api_key: {{a: {SECRET}}}\n",
            f"asterisk:\n  url: http://u:{SECRET}@h\n",
            f"realtime: {SECRET}\n",
        ],
    )
    def test_never_in_a_complaint(self, complaint: Callable[..., str], text: str) -> None:
        assert SECRET not in complaint(text)


def test_an_agents_defaults_suit_a_telephone() -> None:
    agent = AgentSettings()
    assert agent.opening
    assert not agent.turn_detection.interrupt_response
    assert agent.turn_detection.create_response

"""Settings: what is read from where, and that every mistake names file, line and key."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ariagent.config import AgentSettings, RouteSettings, SemanticVad, ServerVad, Settings
from ariagent.config.base import Section
from ariagent.configfile import DEFAULT_PATH, PATH_NAME, chosen, load
from ariagent.errors import ConfigurationError
from tests.examples import examples

Load = Callable[..., Settings]


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

    def test_every_key_outside_sections(self, loaded: Load) -> None:
        wanted = {
            "timezone": ("Europe/Berlin", "Europe/Berlin"),
            "routes": ('[{agent: default, extension: "7001"}]', (RouteSettings(agent="default", extension="7001"),)),
            "human_queue": ("support", "support"),
            "max_calls": ("5", 5),
            "state_directory": ("/tmp/state", Path("/tmp/state")),
            "drain_timeout_s": ("7", 7.0),
            "drain_to": ("next", "next"),
        }
        below = {key for key, value in Settings() if isinstance(value, Section | dict)} | {"ami"}
        assert wanted.keys() == Settings.model_fields.keys() - below, "every other key is a section or a mapping"
        found = loaded("max_calls: 3\n", {f"ARIAGENT_{key.upper()}": text for key, (text, _) in wanted.items()})
        assert {key: getattr(found, key) for key in wanted} == {key: value for key, (_, value) in wanted.items()}

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

    def test_null_switches_off(self, loaded: Load) -> None:
        assert loaded("", {"ARIAGENT_AGENTS__DEFAULT__OPENING": "null"}).agents["default"].opening is None

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
    "not one of a few words": ("log:\n  level: loud\n", "FILE:2: log.level: ", "must be debug, info"),
    "number or word": (
        "agents:\n  a:\n    max_output_tokens: lots\n",
        "FILE:3: agents.a.max_output_tokens: ",
        "must be a whole number; or be inf",
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
        "must be a network, as 10.0.0.0/8",
    ),
    "not a URL": ("realtime:\n  url: localhost\n", "FILE:2: realtime.url: ", "ws:// or wss://"),
    "URL of another kind": ("realtime:\n  url: https://h/v1\n", "FILE:2: realtime.url: ", "ws:// or wss://"),
    "URL without a host": ("asterisk:\n  url: 'http://:8088'\n", "FILE:2: asterisk.url: ", "http:// or https://"),
    "URL with an impossible port": ("asterisk:\n  url: http://h:88088\n", "FILE:2: asterisk.url: ", "ort"),
    "URL with an impossible address": ("asterisk:\n  url: 'http://[::1'\n", "FILE:2: asterisk.url: ", ""),
    "URL with a password": ("asterisk:\n  url: http://u:pw@h:1\n", "FILE:2: asterisk.url: ", "credentials"),
    "application name": ("asterisk:\n  app: a b\n", "FILE:2: asterisk.app: ", "as ariagent"),
    "no agents": ("agents: {}\n", "FILE:1: agents: ", "at least 1"),
    "duplicate key": ("log:\n  level: info\n  level: debug\n", "FILE:3: log.level: ", "twice"),
    "duplicate section": ("log: {}\nhttp: {}\nlog: {}\n", "FILE:3: log: ", "twice"),
    "duplicate agent": ("agents:\n  a: {}\n  a: {}\n", "FILE:3: agents.a: ", "twice"),
    "number as an agent's name": ("agents:\n  a: {}\n  1001: {}\n", "FILE:3: agents.1001", "in quotes"),
    "not YAML": ("log:\n  level: [info\nhttp:\n", "FILE:2: the [ in this line is not closed", ""),
    "tabs": ("log:\n\tlevel: info\n", "FILE:2: this line is indented with a tab", ""),
    "a date that is none": ("log: {}\nmax_calls: 2026-99-99\n", "FILE:2: this line has a date", ""),
    "a control character": ("\nmax_calls: \x07\n", "FILE:2: this line holds the character U+0007", ""),
    "a list": ("- log\n", "FILE:1: the file must hold sections", "list"),
    "a word": ("hello\n", "FILE:1: the file must hold sections", "a text"),
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
    def test_the_one_that_is_named_goes_first_then_the_environments_then_the_installed(self, file: Path) -> None:
        assert chosen(file, {PATH_NAME: "/elsewhere.yaml"}) == file
        assert chosen(None, {PATH_NAME: "/elsewhere.yaml"}) == Path("/elsewhere.yaml")
        assert chosen(None, {PATH_NAME: ""}) == chosen(None, {}) == DEFAULT_PATH

    def test_the_environments_file_is_read(self, file: Path) -> None:
        file.write_text("max_calls: 7\n")
        assert load(None, {PATH_NAME: str(file)}).max_calls == 7

    def test_nothing_is_read_from_the_current_directory(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for place in (".lab/ariagent.yaml", "ariagent.yaml", ".env", "etc/ariagent/ariagent.yaml"):
            (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / place).write_text("max_calls: 7\n")
        monkeypatch.chdir(tmp_path)
        assert chosen(None, {}) == DEFAULT_PATH
        with pytest.raises(ConfigurationError, match=r"environment ARIAGENT_CONFIG: .* is a relative path"):
            load(None, {PATH_NAME: "ariagent.yaml"})

    def test_relative_paths_are_relative_to_the_files_folder(
        self, loaded: Load, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        settings = loaded(
            "state_directory: state\nannouncements: {directory: ../announcements}\n"
            "asterisk: {url: 'https://h', ca_file: ca.pem}\n"
        )
        assert settings.state_directory == tmp_path / "state"
        assert settings.announcements.directory == tmp_path / "../announcements"
        assert settings.asterisk.ca_file == tmp_path / "ca.pem"
        assert loaded("", {"ARIAGENT_STATE_DIRECTORY": "state"}).state_directory == tmp_path / "state"

    @pytest.mark.parametrize("path", ["~/state", "~ann/state", '""'])
    def test_a_path_that_is_another_one_for_each_user_is_refused(
        self, complaint: Callable[..., str], path: str
    ) -> None:
        assert complaint(f"state_directory: {path}\n").startswith("FILE:1: state_directory: ")

    def test_a_missing_file_is_named_with_a_remedy(self, file: Path) -> None:
        with pytest.raises(ConfigurationError, match=re.escape(f"{file}: there is no such file")) as caught:
            load(file, {})
        assert "-c FILE" in caught.value.remedy

    def test_a_folder_is_not_a_file(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match=f"^{re.escape(str(tmp_path))}: cannot be read"):
            load(tmp_path, {})

    def test_bytes_that_are_not_text(self, file: Path) -> None:
        file.write_bytes(b"log: {}\nagents: {a: {opening: Gr\xfc\xdf Gott}}\n")
        with pytest.raises(ConfigurationError, match=f"^{re.escape(str(file))}:2: this line is not UTF-8$") as caught:
            load(file, {})
        assert "UTF-8" in caught.value.remedy

    @settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.text(alphabet=st.sampled_from(list("ab:- \n[]{}&*!|>'\"#,0_x2:\t?%@")), max_size=40))
    @example("!!int x")
    @example("a: !!float x")
    @example("[" * 3000)
    @example("&a [*a]")
    @example("? {}\n: 1")
    @example("<<: 1")
    @example("agents: {<<: {a: }}")
    @example("agents: {x: &x , y: *x}")
    @example("!")
    @example('a: "\\UFFFFFFFF"')
    def test_any_text_gives_settings_or_a_complaint(self, tmp_path: Path, text: str) -> None:
        file = tmp_path / "any.yaml"
        file.write_text(text)
        told = ""
        try:
            load(file, {})
        except ConfigurationError as error:
            told = str(error)
        assert told == "" or told.startswith(str(file))


def test_an_agents_defaults_suit_a_telephone() -> None:
    agent = AgentSettings()
    assert agent.opening
    assert not agent.turn_detection.interrupt_response
    assert agent.turn_detection.create_response

"""Sections that need each other: every mistake has its line."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ariagent.config import Settings
from ariagent.configfile import load
from ariagent.errors import ConfigurationError

Complaints = Callable[[str], list[str]]
OPENAI = "realtime: {api_key: k}\n"
ELSEWHERE = "realtime: {url: ws://127.0.0.1:1}\n"


@pytest.fixture
def complaints(tmp_path: Path) -> Complaints:
    """``line: key: what`` for each mistake in a file with this text."""

    def load_text(text: str) -> list[str]:
        file = tmp_path / "a.yaml"
        file.write_text(text)
        try:
            load(file, {})
        except ConfigurationError as error:
            return [line.removeprefix(f"{file}:") for line in str(error).splitlines()]
        return []

    return load_text


class TestTemplates:
    def test_what_is_declared_is_fine(self, complaints: Complaints) -> None:
        text = (
            "outbound: {allowed_hosts: [a.example]}\n"
            "agents:\n  a:\n    variables: [VIP, CALLERID(dnid)]\n"
            "    lookup: {url: 'https://a.example/', answer: {x: y}}\n"
            "    instructions: '{variable.VIP}{variable.CALLERID(dnid)}{lookup.x}{caller.name|y} {\"json\": {}}'\n"
        )
        assert complaints(text) == []
        assert complaints(text.replace(", answer: {x: y}", "").replace("lookup.x", "lookup.z")) == []

    def test_what_is_not_names_the_line_of_the_instructions(self, complaints: Complaints) -> None:
        text = "agents:\n  a:\n    voice: marin\n    instructions: '{caller.nmae} {variable.X} {lookup.y}'\n"
        found = complaints(text)
        assert [line.partition(": {")[0] for line in found] == ["4: agents.a.instructions"] * 3
        assert "{caller.nmae} is not known" in found[0]
        assert "{variable.X} needs X among the agent's variables" in found[1]
        assert "{lookup.y} is not looked up" in found[2]


class TestLength:
    def test_instructions_over_the_models_limit(self, complaints: Complaints) -> None:
        (problem,) = complaints(f"agents:\n  a:\n    instructions: {'word ' * 14_000}\n")
        assert problem.startswith("3: agents.a.instructions: too long: about 17")
        assert problem.endswith("the model takes 16384 in all")

    def test_the_tools_that_the_agent_has_count_too(self, complaints: Complaints) -> None:
        tool = (
            "{url: 'https://a.example/', description: d, parameters: {type: object, properties: {x: {description: "
            + ("word " * 4000 + "}}}}")
        )
        text = (
            "outbound: {allowed_hosts: [a.example]}\n"
            f"agents:\n  a:\n    instructions: {'word ' * 10_000}\n    tools: [t]\ntools:\n  t: {tool}\n"
        )
        (problem,) = complaints(text)
        assert problem.startswith("4: agents.a.instructions: too long: about 1")
        assert complaints(text.replace("    tools: [t]\n", "")) == []


class TestOpening:
    @pytest.mark.parametrize("opening", ["''", "' '", "{en: ''}", "{}"])
    def test_is_something_or_null(self, complaints: Complaints, opening: str) -> None:
        (problem,) = complaints(f"agents:\n  a:\n    opening: {opening}\n")
        assert problem.startswith("3: agents.a.opening")
        assert "null for no opening" in problem

    def test_is_not_a_lecture(self, complaints: Complaints) -> None:
        assert complaints(f"agents: {{a: {{opening: {'x' * 600}}}}}") == []
        (problem,) = complaints(f"agents: {{a: {{opening: {'x' * 601}}}}}")
        assert problem == "1: agents.a.opening: must have at most 600 characters, not 601"

    def test_is_the_same_for_every_caller(self, complaints: Complaints) -> None:
        (problem,) = complaints("agents: {a: {opening: 'Hello {caller.name}'}}")
        assert "only instructions are filled in" in problem

    def test_has_a_text_in_the_agents_language(self, complaints: Complaints) -> None:
        assert complaints("agents: {a: {language: pl}}") == [
            "1: agents.a.opening: has no text in the agent's language, pl"
        ]
        assert complaints("agents: {a: {language: pt-BR}}") == []
        assert complaints("agents: {a: {language: pl, opening: Dzień dobry}}") == []
        assert complaints("agents: {a: {language: pl, opening: null}}") == []

    def test_in_a_language_falls_back(self) -> None:
        agent = Settings.model_validate({"agents": {"a": {"language": "de"}}}).agents["a"]
        assert agent.opening_in("es") == agent.opening_in("es-MX")
        assert agent.opening_in("ja") == agent.opening_in("de")


class TestLanguages:
    @pytest.mark.parametrize("language", ["english", "EN", "en_GB", "e", "12", "en-gb"])
    def test_are_codes(self, complaints: Complaints, language: str) -> None:
        (problem,) = complaints(f"agents:\n  a:\n    language: {language}\n")
        assert problem == "3: agents.a.language: must be a language code, as en or pt-BR"

    def test_norwegian_is_not_false(self, complaints: Complaints) -> None:
        (problem,) = complaints("agents: {a: {languages: [en, no]}}")
        assert "YAML reads no as false" in problem
        assert complaints("agents: {a: {languages: [en, 'no', nb, fil]}}") == []


class TestModel:
    def test_a_voice_that_openai_has_not(self, complaints: Complaints) -> None:
        (problem,) = complaints(OPENAI + "agents: {a: {voice: marvin}}")
        assert problem.startswith("2: agents.a.voice: there is no voice marvin (did you mean marin?); known: alloy,")
        assert complaints(OPENAI + "agents: {a: {voice: voice_abc}}") == []

    def test_azure_has_the_same(self, complaints: Complaints) -> None:
        azure = "realtime: {url: 'wss://x.openai.azure.com/openai/v1/realtime', api_key: k}\n"
        assert len(complaints(azure + "agents: {a: {voice: marvin}}")) == 1

    def test_other_servers_have_voices_of_their_own(self, complaints: Complaints) -> None:
        assert complaints(ELSEWHERE + "agents: {a: {voice: Eve}}") == []

    @pytest.mark.parametrize(
        ("model", "fine"),
        [
            ("gpt-realtime-2.1", True),
            ("gpt-realtime-2.1-mini", True),
            ("gpt-realtime-2", True),
            ("gpt-realtime-1.5", False),
            ("gpt-realtime", False),
            ("gpt-realtime-mini", False),
            ("gpt-4o-realtime-preview", False),
            ("my-deployment", True),
        ],
    )
    def test_reasoning_is_for_models_that_reason(self, complaints: Complaints, model: str, fine: bool) -> None:
        agent = f"agents: {{a: {{reasoning: low, model: {model}}}}}"
        assert (complaints(OPENAI + agent) == []) is fine
        assert complaints(ELSEWHERE + agent) == []


class TestNames:
    @pytest.mark.parametrize("name", ["seat", "returned"])
    def test_that_stasis_keeps_for_itself(self, complaints: Complaints, name: str) -> None:
        (problem,) = complaints(f"agents:\n  {name}: {{}}\n")
        assert problem.startswith(f"2: agents.{name}: {name} has another meaning")

    @pytest.mark.parametrize("name", ["a b", "a,b", "''", "-a"])
    def test_that_no_dialplan_could_say(self, complaints: Complaints, name: str) -> None:
        assert len(complaints(f"agents:\n  {name}: {{}}\n")) == 1

    def test_of_mcp_servers(self, complaints: Complaints) -> None:
        text = "agents: {a: {mcp: [crn]}}\nmcp_servers: {crm: {url: 'https://a.example/'}}"
        (problem,) = complaints(text)
        assert problem == "1: agents.a.mcp: there is no crn in mcp_servers (did you mean crm?)"


class TestRoutes:
    AGENTS = "agents:\n  front: {}\n  back: {}\nroutes:\n"

    def test_name_agents_that_there_are(self, complaints: Complaints) -> None:
        (problem,) = complaints(self.AGENTS + "  - {agent: front, queue: a}\n  - {agent: fromt}\n")
        assert problem == "6: routes[1].agent: there is no agent fromt (did you mean front?); known: front, back"

    def test_one_that_takes_all_is_the_last(self, complaints: Complaints) -> None:
        assert complaints(self.AGENTS + "  - {agent: back, queue: x}\n  - {agent: front}\n") == []
        (problem,) = complaints(self.AGENTS + "  - {agent: front}\n  - {agent: back, queue: x}\n")
        assert problem.startswith("5: routes[0]: matches every call")

    @pytest.mark.parametrize("key", ["extension", "dialled", "queue"])
    def test_numbers_are_quoted(self, complaints: Complaints, key: str) -> None:
        (problem,) = complaints(self.AGENTS + f"  - {{agent: front, {key}: 0047}}\n")
        assert problem == f"5: routes[0].{key}: must be text: put it in quotes"
        assert complaints(self.AGENTS + f"  - {{agent: front, {key}: '0047'}}\n") == []


class TestKeys:
    def test_a_single_digit_is_a_key_without_quotes_too(self, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").write_text("agents: {a: {keypad: {actions: {0: person, '*': ignore, '##': end_call}}}}")
        actions = load(tmp_path / "a.yaml", {}).agents["a"].keypad.actions
        assert actions == {"0": "person", "*": "ignore", "##": "end_call"}

    @pytest.mark.parametrize("key", ["12", "-1", "true", "x", "'123456789'"])
    def test_others_are_not(self, complaints: Complaints, key: str) -> None:
        assert len(complaints(f"agents: {{a: {{keypad: {{actions: {{{key}: person}}}}}}}}")) == 1


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("agents: {voice: {voce: x}}", "did you mean voice?"),
        ("agents: {a: {keypad: {pauze_ms: 1}}}", "did you mean pause_ms?"),
        ("agents: {a: {silence: {asks: 1}}}", "known here: ask_after_s, "),
        ("agents: {a: {turn_detection: {treshold: 1}}}", "did you mean threshold?"),
        ("routes: [{agent: default, que: x}]", "did you mean queue?"),
        ("cost: {prices: {m: {input_txt: 1}}}", "did you mean input_text?"),
        ("tools: {t: {url: 'http://x.test', description: x, sign: tone}}", "did you mean waiting_prompt?"),
        ("briefs: {directory: /x}", "did you mean announcements?"),
    ],
)
def test_an_unknown_key_is_answered_with_the_known_ones(complaints: Complaints, text: str, hint: str) -> None:
    assert any("unknown key" in line and hint in line for line in complaints(text))


HOURS = "hours: {office: {timezone: Europe/Berlin, week: {mon-fri: 08:00-17:00}}}\n"
AMI = "ami: {password: x}\n"


class TestHours:
    def test_hours_as_people_write_them(self, complaints: Complaints) -> None:
        text = (
            "hours:\n  office:\n    timezone: Europe/Berlin\n    week:\n"
            '      mon-thu: [08:00-12:00, "13:00-17:00"]\n      fri: 8:00 - 12:00\n      sat: 22:00-06:00\n'
            '    holidays: ["12-25", 2026-12-24, {date: "12-31", hours: 08:00-12:00}, {date: 2027-01-01}]\n'
            "pool: {calls_outside: office}\n"
            "destinations: {desk: {queue: a, description: b, hours: office, alternatives: [message, callback]}}\n"
            "agents: {default: {handoff: [desk], alternatives: [wait, stay]}}\n"
        )
        assert complaints(text + AMI + ELSEWHERE) == []

    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("hours: {a: {timezone: Europe/Berlin}}", "1: hours.a.week: is missing"),
            (
                "hours: {a: {week: {mon: 08:00-09:00}}}",
                "1: hours.a.timezone: is missing; set it here, or set the site's timezone",
            ),
            (
                "hours: {a: {timezone: Mars/Olympus, week: {mon: 08:00-09:00}}}",
                "1: hours.a.timezone: there is no time zone Mars/Olympus; write for example Europe/Berlin "
                "(is the package tzdata installed?)",
            ),
            (
                "hours:\n a:\n  timezone: UTC\n  week:\n   mon: 08-09",
                "5: hours.a.week.mon: 08-09 is not a range of hours; write for example 08:00-12:00",
            ),
            (
                "hours:\n a:\n  timezone: UTC\n  week:\n   mon: [08:00-12:00, 11:00-13:00]",
                "5: hours.a.week.mon: 08:00-12:00, 11:00-13:00 overlap",
            ),
            (
                "hours:\n a:\n  timezone: UTC\n  week:\n   montag: 08:00-12:00",
                "5: hours.a.week.montag: montag is not a day of the week; they are mon, tue, wed, thu, fri, sat, sun",
            ),
            (
                "hours:\n a:\n  timezone: UTC\n  week: {mon-tue: 08:00-09:00, tue: 10:00-11:00}",
                "2: hours.a: week: tuesday is listed twice",
            ),
            (
                "hours:\n a:\n  timezone: UTC\n  week: {mon: 08:00-09:00}\n  holidays:\n  - 24.12.",
                "6: hours.a.holidays[0]: 24.12. is not a date; write for example 2026-12-24, or 12-25 for every year",
            ),
            (
                AMI + "pool: {calls_outside: a, calls_during: b}",
                "2: pool: calls_outside and calls_during exclude each other; give one of them",
            ),
            (
                HOURS + AMI + "pool: {calls_during: ofice}",
                "3: pool.calls_during: there is no ofice in hours (did you mean office?)",
            ),
            (
                HOURS + "pool: {calls_during: office}",
                "2: pool.calls_during: needs the section ami: only AMI can pause seats",
            ),
            (
                "destinations: {d: {queue: a, description: b, hours: x}}",
                "1: destinations.d.hours: there is no x in hours",
            ),
            (
                "records: {enabled: false}\nagents: {a: {alternatives: [callback]}}",
                "2: agents.a.alternatives: message and callback need records.enabled: "
                "they are kept in the records of calls",
            ),
            (
                "agents: {a: {turns: fast, turn_detection: {type: semantic_vad}}}",
                "1: agents.a.turns: fast needs turn_detection.type server_vad: semantic_vad itself decides when a turn "
                "is over",
            ),
            (
                "mcp_servers: {m: {url: https://a.example/}}\nagents: {a: {turns: fast, mcp: [m]}}",
                "2: agents.a.turns: fast cannot be used with mcp: the model's provider would call tools before the "
                "turn is over",
            ),
            (
                "agents: {a: {turns: fast, fast_turns: {early_silence_ms: 800, hold_ms: 800}}}",
                "1: agents.a.fast_turns: hold_ms must be more than early_silence_ms (800): both begin at the end of "
                "speech",
            ),
            (
                "records: {transcripts: false}\nagents: {a: {handoff: [d]}}\n"
                "destinations: {d: {queue: a, description: b, alternatives: [message]}}",
                "2: agents.a.alternatives: message needs records.transcripts: a message is the caller's words",
            ),
        ],
    )
    def test_mistakes_have_their_line(self, complaints: Complaints, text: str, found: str) -> None:
        assert complaints(f"{text}\n{ELSEWHERE}") == [found]

    def test_without_fast_turns_their_settings_do_not_matter(self, complaints: Complaints) -> None:
        text = "agents: {a: {turn_detection: {type: semantic_vad}, fast_turns: {early_silence_ms: 1000, hold_ms: 300}}}"
        assert complaints(f"{text}\n{ELSEWHERE}") == []

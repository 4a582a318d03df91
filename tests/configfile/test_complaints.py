"""Errors of wrong settings: in words for administrators, for any mistake at any place."""

import functools
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from ariagent import complaints
from ariagent.config import Settings
from ariagent.configfile.schema import schema
from ariagent.errors import ConfigurationError

Complaint = Callable[..., str]
Path = tuple[str | int, ...]

WRONG: dict[str, Any] = {
    "null": None,
    "empty text": "",
    "a word": "zz zz",
    "a long text": "y" * 5000,
    "a number": 5,
    "a negative number": -1,
    "a fraction": 1.5,
    "a huge number": 10**30,
    "infinity": float("inf"),
    "no number": float("nan"),
    "true": True,
    "an empty list": [],
    "a list of numbers": [1],
    "a list of texts": ["zz zz"],
    "a list of lists": [[]],
    "an empty section": {},
    "a section of something else": {"zz zz": 1},
    "a section of sections": {"zz zz": {}},
}
SHORT = ("null", "a word", "a number", "a list of texts", "a section of something else")
"""The kinds of ``make test``."""
RAW = re.compile(
    r"\b(Input|String|Value|Field|Dictionary|List|Tuple|Set|Keys?|Extra|Unable|Assertion|Data|Iteration|URL|JSON)\b"
    r" (should|must|is|are|error|required|input|to|failed|inputs|may)|pydantic|<class|NoneType|validat|unhashable",
)
"""Words of the library's own messages, and of Python's."""


def places(node: dict[str, Any], definitions: dict[str, Any], path: Path = ()) -> Iterator[Path]:
    """Every key path there can be."""
    if "$ref" in node:
        node = definitions[node["$ref"].rpartition("/")[2]]
    yield path
    for each in (*node.get("anyOf", ()), *node.get("oneOf", ())):
        yield from places(each, definitions, path)
    for name, each in node.get("properties", {}).items():
        yield from places(each, definitions, (*path, name))
    named = [*node.get("patternProperties", {}).values(), node.get("additionalProperties")]
    for each in named:
        if isinstance(each, dict):
            yield from places(each, definitions, (*path, "mon"))
    if isinstance(items := node.get("items"), dict):
        yield from places(items, definitions, (*path, 0))


@functools.cache
def all_places() -> list[Path]:
    found = schema()
    return sorted(set(places(found, found["$defs"])) - {()}, key=str)


def tree(path: Path, value: Any) -> Any:
    for part in reversed(path):
        value = [value] if part == 0 else {part: value}
    return value


def test_there_are_places() -> None:
    assert ("agents", "mon", "turn_detection", "silence_duration_ms") in all_places()
    assert ("control", "tokens", 0, "sha256") in all_places()
    assert len(all_places()) > 200


@pytest.mark.parametrize(
    "kind", [kind if kind in SHORT else pytest.param(kind, marks=pytest.mark.long) for kind in WRONG]
)
def test_whatever_stands_anywhere_is_told_in_plain_words(complaint: Complaint, kind: str) -> None:
    told = 0
    for path in all_places():
        text = yaml.safe_dump(tree(path, WRONG[kind]), width=10_000)
        try:
            said = complaint(text)
        except pytest.fail.Exception:
            continue  # it is right there
        told += 1
        for line in said.splitlines():
            assert re.match(r"FILE:\d+: \S.*?: \S", line), (path, line)
            assert RAW.search(line) is None, (path, line)
            assert not re.search(r"\{'|\['|\[1\]|\[\[", line.partition(": ")[2].partition(": ")[2]), (path, line)
    assert told > 20


def test_nothing_is_said_in_the_librarys_words() -> None:
    kinds = set()
    for path in all_places():
        for value in WRONG.values():
            try:
                Settings.model_validate(tree(path, value))
            except ValidationError as error:
                for problem in error.errors(include_url=False):
                    kinds.add(problem["type"])
                    if problem["type"] not in complaints.UNSAID:
                        own = problem["msg"].removeprefix("Value error, ")
                        assert complaints.sentence(problem) != own or problem["type"] == "value_error", problem
    assert len(kinds) > 20


SAID = {
    "audiosocket: {advertise: 10.0.0.5}": "audiosocket.advertise: must be HOST:PORT, as 10.0.0.5:9092 or [",
    "audiosocket: {allowed: 10.0.0.0/8}": "audiosocket.allowed: must be a list: [one, two], or a line for each entry",
    "audiosocket: {allowed: [10.0.0.5/8]}": "audiosocket.allowed[0]: is an address inside a network; write 10.0.0.0/8",
    "log: debug": "log: must be a section: below it, indented, a line for each key",
    "log:\n  level:debug": (
        "log: must be a section: below it, indented, a line for each key with its value. A space must follow the colon"
    ),
    "log: {level: warn}": "log.level: must be debug, info, warning or error (did you mean warning?)",
    "agents: {a: {opening: 5}}": "agents.a.opening: must be text: put it in quotes; or be a mapping",
    "agents: {a: {opening: {en: 5}}}": "agents.a.opening.en: must be text: put it in quotes",
    "agents: {a: {max_output_tokens: 9999}}": "agents.a.max_output_tokens: must be at most 4096; or be inf",
    "agents: {a: {turn_detection: {type: server_vda}}}": (
        "agents.a.turn_detection: type must be server_vad or semantic_vad (did you mean server_vad?)"
    ),
    "agents: {a: {keypad: {terminator: }}}": (
        "agents.a.keypad.terminator: has no value; write one, or remove the key. Put text that begins with # in"
    ),
    "agents: {a b: {}}": "agents.a b: the key must be a name of letters, digits and _ . -, at most 64 of them",
    "agents: {1001: {}}": "agents.1001: the key must be text: put it in quotes",
    "agents: {a: {turn_detection: {eagerness: low}}}": (
        "agents.a.turn_detection.eagerness: unknown key with this type; it belongs to semantic_vad"
    ),
    "destinations: {a: {queue: 600, description: x}}": "destinations.a.queue: must be text: put it in quotes",
    "hours: {a: {timezone: Europe/Berlin, week: {mon: 8}}}": "hours.a.week.mon: must be hours, for example",
    "ami: {tls: maybe, password: x}": "ami.tls: must be true or false",
    "max_calls: many": "max_calls: must be a whole number",
    "max_calls: .inf": "max_calls: must be a number that is not infinite",
}


@pytest.mark.parametrize("text", SAID)
def test_what_is_said(complaint: Complaint, text: str) -> None:
    (line,) = complaint(text + "\n").splitlines()
    assert re.sub(r"^FILE:\d+: ", "", line).startswith(SAID[text])


def test_a_key_and_its_value_are_two_things(complaint: Complaint) -> None:
    lines = complaint("destinations: {a: {description: x, queue: x, fields: {A B: 5}}}\n").splitlines()
    assert lines == [
        "FILE:1: destinations.a.fields.A B: the key must be a name of small letters, digits and _, at most 32 of them, "
        "as order_number",
        "FILE:1: destinations.a.fields.A B: must be text: put it in quotes",
    ]


class TestEmptySections:
    @pytest.mark.parametrize(
        "text",
        [
            "asterisk:\n",
            "asterisk:\n  # url: http://127.0.0.1:8088\n",
            "agents:\n",
            "agents:\n  default:\n    # voice: marin\n",
            "agents: {default: {silence: , keypad: , tools: , transcription: }}\n",
            "routes:\ntools:\ndestinations:\n",
        ],
    )
    def test_has_its_defaults(self, loaded: Callable[..., Settings], text: str) -> None:
        assert loaded(text, warn=pytest.fail) == Settings()

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("log: {}\nami:\n  # password: x\n", "FILE:2: ami: this section is empty; it needs password"),
            ("tools:\n  order:\n", "FILE:2: tools.order: this section is empty; it needs url and description"),
            ("routes:\n  -\n", "FILE:2: routes[0]: this section is empty; it needs agent"),
            ("realtime:\n  fallback:\n", "FILE:2: realtime.fallback: this section is empty; it needs url"),
        ],
    )
    def test_without_what_it_needs_is_told_so(self, complaint: Complaint, text: str, said: str) -> None:
        assert complaint(text) == said

    def test_null_switches_off_and_is_no_empty_section(self, loaded: Callable[..., Settings]) -> None:
        assert loaded("agents: {a: {silence: null}}\n").agents["a"].silence is None
        assert loaded("ami: null\n").ami is None

    def test_null_is_no_section(self, complaint: Complaint) -> None:
        assert complaint("log: null\n").startswith("FILE:1: log: has no value; ")

    def test_something_that_is_switched_off_by_leaving_its_value_out_is_doubtful(
        self, loaded: Callable[..., Settings]
    ) -> None:
        doubts: list[str] = []
        assert loaded("agents:\n  a:\n    opening:\n    model:\n", warn=doubts.append).agents["a"].opening is None
        (doubt,) = doubts
        assert ":3: agents.a.opening: has no value, which switches it off; write null if you want that" in doubt


class TestSwallowedKeys:
    def test_are_doubtful(self, loaded: Callable[..., Settings], file: Any) -> None:
        block = "      Be kind.\n      opening: Hello\n\n        voice:\n"
        text = f"agents:\n  a:\n    instructions: |\n{block}    speed: 1\n"
        doubts: list[str] = []
        settings = loaded(text, warn=doubts.append)
        assert "opening: Hello" in settings.agents["a"].instructions
        assert [doubt.removeprefix(str(file)) for doubt in doubts] == [
            f":{line}: agents.a.instructions: this line is part of the text, but looks like the key {key}; "
            "if it is a key, indent it like instructions"
            for line, key in ((5, "opening"), (7, "voice"))
        ]

    @pytest.mark.parametrize(
        "line", ["Hours: 9 to 5.", "opening hours are long", "say opening: twice", "- voice", "voice:over", "zzz: 1"]
    )
    def test_other_words_are_not(self, loaded: Callable[..., Settings], line: str) -> None:
        loaded(f"agents:\n  a:\n    instructions: |\n      {line}\n", warn=pytest.fail)


class TestTls:
    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("asterisk: {ca_file: ca.pem}", "asterisk.ca_file: is only used if asterisk.url begins with https"),
            ("asterisk: {tls_name: a.example}", "asterisk.tls_name: is only used if asterisk.url begins with https"),
            ("ami: {password: x, ca_file: ca.pem}", "ami.ca_file: is only used if ami.tls is true"),
            (
                "realtime: {url: 'ws://a.example', ca_file: ca.pem}",
                "realtime.ca_file: is only used if realtime.url begins with wss",
            ),
        ],
    )
    def test_what_would_protect_nothing_is_refused(self, complaint: Complaint, text: str, said: str) -> None:
        assert complaint(text + "\n") == f"FILE:1: {said}"

    def test_the_manager_has_another_port_with_it(self, loaded: Callable[..., Settings]) -> None:
        ports = [
            loaded(f"ami: {{password: x{more}}}\n").ami.port  # type: ignore[union-attr]
            for more in ("", ", tls: true", ", tls: true, port: 5038")
        ]
        assert ports == [5038, 5039, 5038]

    def test_a_url_keeps_its_path(self, loaded: Callable[..., Settings]) -> None:
        assert loaded("asterisk: {url: 'https://a.example/asterisk/'}\n").asterisk.url == "https://a.example/asterisk"
        with pytest.raises(ConfigurationError, match="must be a base URL"):
            loaded("asterisk: {url: 'https://a.example/?x=1'}\n")

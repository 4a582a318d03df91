"""The schema for editors, and the examples of the documentation held against it and loaded."""

import functools
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from ariagent.agents.briefing import call_values, instructions
from ariagent.agents.choose import ArrivalFacts, choose
from ariagent.cli import application
from ariagent.config import Settings
from ariagent.configfile import load
from ariagent.configfile.schema import schema

ROOT = Path(__file__).parents[2]


def examples() -> list[Any]:
    """Every settings file in README and docs: YAML in a fence that has agents or asterisk in it."""
    found = []
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for number, match in enumerate(re.finditer(r"^( *)```yaml\n(.*?)^ *```", page.read_text(), re.S | re.M)):
            text = "".join(line.removeprefix(match[1]) for line in match[2].splitlines(keepends=True))
            tree = yaml.safe_load(text)
            if isinstance(tree, dict) and tree.keys() & Settings.model_fields.keys():
                found.append(pytest.param(text, id=f"{page.name}-{number}"))
    return found


EXAMPLES = examples()
COMPLETE = [each for each in EXAMPLES if {"asterisk:", "realtime:"} <= set(str(each.values[0]).splitlines())]
"""Those that are whole files; others show a section."""


@functools.cache
def validator() -> Draft202012Validator:
    return Draft202012Validator(schema())


def mistakes(text: str) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in validator().iter_errors(yaml.safe_load(text))]


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(schema())
    assert schema()["$schema"] == Draft202012Validator.META_SCHEMA["$id"]


def test_there_are_complete_examples() -> None:
    assert {example.id.partition("-")[0] for example in COMPLETE} >= {"README.md", "agents.md"}


@pytest.mark.parametrize("text", EXAMPLES)
def test_an_example_fits_the_schema(text: str) -> None:
    assert mistakes(text) == []


@pytest.mark.parametrize("text", COMPLETE)
def test_a_complete_example_can_be_loaded(text: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s\n")
    environment = dict.fromkeys(re.findall(r"\$\{(\w+)\}", text), "s")
    (tmp_path / "a.yaml").write_text(re.sub(r"file:/\S+", f"file:{tmp_path / 'secret'}", text))
    load(tmp_path / "a.yaml", environment, serving=True)


@pytest.fixture
def shop(tmp_path: Path) -> Settings:
    """The example of docs/agents.md."""
    (example,) = [each for each in COMPLETE if each.id.startswith("agents.md")]
    (tmp_path / "a.yaml").write_text(str(example.values[0]))
    return load(tmp_path / "a.yaml", {})


def test_the_example_does_what_its_page_says(shop: Settings) -> None:
    assert choose(shop, ArrivalFacts(queue="service")) == "service"
    assert choose(shop, ArrivalFacts(dialled="+49305551", variables={"MEMBERSHIP": "gold"})) == "service"
    assert choose(shop, ArrivalFacts(dialled="+49305551")) == "default"
    briefing = instructions(shop.agents["service"], call_values("service", queue="service"))
    assert briefing.missing == ()
    assert "You are talking to a caller we do not know\n(number withheld)" in briefing.text
    assert "You speak only English on this line." in briefing.text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("agentz: {}", "'agentz' was unexpected"),
        ("agents: {a: {voce: x}}", "'voce' was unexpected"),
        ("agents: {'a b': {}}", "'a b'"),
        ("agents: {a: {speed: 3}}", "3 is greater than the maximum"),
        ("agents: {a: {language: english}}", "does not match"),
        ("agents: {a: {reasoning: much}}", "not valid under any"),
        ("agents: {a: {keypad: {actions: {x: person}}}}", "'x' does not match"),
        ("agents: {a: {keypad: {actions: {'0': people}}}}", "'people' is not one of"),
        ("agents: {a: {turn_detection: {type: vad}}}", "not valid under any"),
        ("routes: [{queue: x}]", "'agent' is a required property"),
        ("tools: {a: {url: x}}", "'description' is a required property"),
    ],
)
def test_mistakes_are_found(text: str, words: str) -> None:
    assert any(words in mistake for mistake in mistakes(text)), mistakes(text)


def test_the_defaults_fit() -> None:
    defaults = json.loads(Settings().model_dump_json())
    assert list(validator().iter_errors(defaults)) == []


def test_every_key_is_explained() -> None:
    made = schema()
    sections = made["$defs"]
    assert len(sections) > 15
    silent = {
        f"{name}.{key}"
        for name, each in sections.items()
        for key, field in each["properties"].items()
        if key != "type" and "description" not in field and "$ref" not in json.dumps(field)
    }
    assert silent == set()


def test_secrets_are_text_and_no_secret_is_in_it() -> None:
    password = schema()["$defs"]["AsteriskSettings"]["properties"]["password"]
    assert password["type"] == "string"
    assert password.get("default", "") == ""


def test_the_command_prints_it() -> None:
    result = CliRunner().invoke(application(), ["schema"])
    assert result.exit_code == 0
    assert json.loads(result.output) == schema()

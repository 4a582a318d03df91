"""The first settings load, and say what was answered."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from ariagent import config, configfile
from ariagent.config import AudioSocketSettings
from ariagent.install.firstsettings import OPENINGS, TEMPLATES, Answers, Place, first_settings, to_edit

PLACE = Place("http://127.0.0.1:8088", "ariagent", "one", "127.0.0.1", 5038, "ariagent", "two", seats=7)


def load(text: str, folder: Path) -> config.Settings:
    path = folder / "ariagent.yaml"
    path.write_text(text)
    return configfile.load(path, {"PATH": "/bin"})


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("queue", ["support", "201", ""])
def test_every_template_loads(tmp_path: Path, template: str, queue: str) -> None:
    answers = Answers("Harbour Cycles, a repair shop", template, human_queue=queue, key="${PATH}")
    settings = load(first_settings(answers, PLACE), tmp_path)
    assert settings.max_calls == 7
    assert settings.ami is not None
    assert settings.ami.password.get_secret_value() == "two"
    agent = settings.agents["default"]
    assert agent.handoff == (("human",) if queue else ())
    assert [place.queue for place in settings.destinations.values()] == ([queue] if queue else [])
    if template == "receptionist":
        assert agent.keypad.actions == {"0": "person"}


@pytest.mark.parametrize("template", TEMPLATES[1:])
def test_what_is_to_be_edited_is_in_the_file(template: str) -> None:
    document = yaml.safe_load(first_settings(Answers(template=template), PLACE))
    for key in to_edit(template):
        found = document
        for name in key.split("."):
            found = found[name]
    assert ("tools" in to_edit(template)) == ("tools" in document)


@pytest.mark.parametrize("language", [*OPENINGS, "xx"])
def test_the_receptionist_says_what_it_is_in_every_language(tmp_path: Path, language: str) -> None:
    settings = load(first_settings(Answers("Ann's Café", language=language), PLACE), tmp_path)
    agent = settings.agents["default"]
    assert agent.language == (language if language in OPENINGS else "en")
    opening = agent.opening_in(agent.language)
    assert opening is not None
    assert opening.startswith("Ann's Café, ")
    assert "auto" in opening


@pytest.mark.parametrize(
    "business",
    [
        "",
        "a: b",
        'say "hello"',
        "x\ny: z",
        "{caller.number}",
        "- list",
        "# none",
        "7",
        "Müller & Söhne; GmbH",
        "'",
        "%s",
    ],
)
def test_whatever_the_business_is_called(tmp_path: Path, business: str) -> None:
    text = first_settings(Answers(business), PLACE)
    wanted = " ".join(business.split()).replace("{", "(").replace("}", ")")
    assert wanted in load(text, tmp_path).agents["default"].instructions


@pytest.mark.parametrize(
    ("service", "listens", "advertised"),
    [("10.0.0.7", "0.0.0.0", "10.0.0.7:9092"), ("fd00::7", "::", "[fd00::7]:9092")],
)
def test_asterisk_on_another_machine(tmp_path: Path, service: str, listens: str, advertised: str) -> None:
    place = replace(PLACE, service_address=service, asterisk_address="10.0.0.5")
    audio = load(first_settings(Answers("Harbour Cycles"), place), tmp_path).audiosocket
    assert (audio.host, audio.advertise) == (listens, advertised)
    assert [str(network) for network in audio.allowed] == ["10.0.0.5"]
    assert load(first_settings(Answers("Harbour Cycles"), PLACE), tmp_path).audiosocket == AudioSocketSettings()


def test_without_a_key_it_says_what_is_missing(tmp_path: Path) -> None:
    text = first_settings(Answers("x"), PLACE)
    assert "The key is missing." in text
    assert load(text, tmp_path).realtime.lacks_key


@pytest.mark.parametrize("key", ["file:/etc/hostname", "${PATH}", "plain: # text"])
def test_a_key_and_another_server(tmp_path: Path, key: str) -> None:
    answers = Answers("x", key=key, model_url="ws://127.0.0.1:8080/v1/realtime", model="my model")
    text = first_settings(answers, PLACE)
    settings = load(text, tmp_path)
    assert settings.realtime.url == "ws://127.0.0.1:8080/v1/realtime"
    assert settings.realtime.model == "my model"
    assert settings.realtime.api_key.get_secret_value()
    assert "missing" not in text


def test_another_application_and_port(tmp_path: Path) -> None:
    place = Place("http://[::1]:8090/pbx", "me", "a;b", "::1", 5039, "you", "no", app="second", seats=120)
    settings = load(first_settings(Answers("x"), place), tmp_path)
    asterisk = settings.asterisk
    assert (asterisk.url, asterisk.user, asterisk.app) == ("http://[::1]:8090/pbx", "me", "second")
    assert settings.ami is not None
    assert (settings.ami.host, settings.ami.port, settings.ami.user) == ("::1", 5039, "you")
    assert settings.ami.password.get_secret_value() == "no"

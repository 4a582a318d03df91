"""Files for a site's Asterisk do nothing to the site's own configuration."""

import re
from pathlib import Path

import pytest

from ariagent import __version__, shipped
from ariagent.install.asteriskconf import parse

CHECKOUT = Path(__file__).parents[1]
CONFS = [name for name in shipped.names() if name.endswith(".conf")]


def test_the_source_is_the_top_level() -> None:
    assert {name.partition("/")[0] for name in shipped.names()} == {"asterisk", "dialplan", "packaging"}
    for name in shipped.names():
        assert shipped.text(name) == (CHECKOUT / name).read_text()


def test_nothing_of_the_lab_ships() -> None:
    for name in CONFS:
        text = shipped.text(name)
        assert not re.search(r"PJSIP/1\d\d\d,|auth1001|_100\[|\b7100\b|exten => 600", text), name
        assert "[support]" not in text


@pytest.mark.parametrize("name", CONFS)
def test_no_file_begins_a_section_that_a_site_has(name: str) -> None:
    sections = re.findall(r"^\[([^\]]*)\](\(.*\))?", shipped.text(name), re.MULTILINE)
    for title, options in sections:
        if title in ("general", "modules"):
            assert options == "(+)", f"{name}: [{title}] of our own hides the site's"
        elif title != "globals":
            assert title.startswith(("ariagent", "@AI_QUEUE@")), f"{name}: [{title}] may be the site's"


@pytest.mark.parametrize("name", CONFS)
def test_includes_of_what_may_be_missing_break_nothing(name: str) -> None:
    assert not re.search(r"^#include", shipped.text(name), re.MULTILINE)


def test_every_variable_of_ours_has_our_prefix() -> None:
    names = set()
    for name in CONFS:
        names |= set(re.findall(r"Set\(_*([A-Z_]+)=", shipped.text(name)))
        names |= set(re.findall(r"^([A-Z_]+) =", shipped.text(name), re.MULTILINE))
    # Asterisk's own, which its applications read.
    assert {name for name in names if not name.startswith("ARIAGENT_")} <= {
        "QUEUESTATUS",
        "QUEUE_PRIO",
        "SPY_EXIT_CONTEXT",
        "SAY_DTMF_INTERRUPT",
        "GET_TRANSFERRER_DATA",
    }


def test_words_are_filled_in_or_missed() -> None:
    assert f"ARIAGENT_DIALPLAN = {__version__}\n" in shipped.filled("dialplan/dialplan.conf", {"VERSION": __version__})
    with pytest.raises(KeyError):
        shipped.filled("dialplan/dialplan.conf", {})
    with pytest.raises(KeyError):
        shipped.text("dialplan/../../pyproject.toml")


def test_every_context_that_the_dialplan_goes_to_is_there() -> None:
    texts = {name: shipped.text(f"dialplan/{name}") for name in ("dialplan.conf", "supervisor.conf")}
    known = set()
    for name in texts:
        document = parse(name, texts.get, lambda pattern: [])
        assert document is not None
        assert document.problem == ""
        known |= {section.name for section in document.sections}
    named = set(re.findall(r"\b(ariagent-[a-z]+)\b[,^]", "".join(texts.values())))
    assert named <= known

"""Configuration files as Asterisk reads them."""

import pytest

from ariagent.install.asteriskconf import Document, is_true, parse


def read(files: dict[str, str], name: str = "x.conf") -> Document:
    document = parse(name, files.get, lambda pattern: sorted(each for each in files if each.startswith(pattern[:-6])))
    assert document is not None
    return document


def test_a_file_that_is_not_there_is_none() -> None:
    assert parse("x.conf", {}.get, lambda pattern: []) is None


def test_sections_values_and_their_places() -> None:
    document = read({"x.conf": "[general]\nenabled = yes ; really\n\n[a]\nexten => 1,1,Set(B=c)\n"})
    assert [(section.name, section.line) for section in document.sections] == [("general", 1), ("a", 4)]
    [value] = document.values("a", "exten")
    assert (value.key, value.value, value.file, value.line) == ("exten", "1,1,Set(B=c)", "x.conf", 5)
    assert document.value("general", "ENABLED") == "yes"
    assert document.value("general", "missing", "no") == "no"
    assert document.problems == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a = b;c", "b"),
        ("a = b\\;c", "b;c"),
        ("a = b ;-- gone --; c", "b  c"),
        (";--\n[other]\na = x\n--;\na = b", "b"),
        (";-- one ;-- two --; still --;a = b", "b"),
        (";--- only a line\na = b", "b"),
        ("  a   =>   b  ", "b"),
        ("a += b", "b"),
    ],
)
def test_comments_and_signs(text: str, value: str) -> None:
    document = read({"x.conf": f"[s]\n{text}\n"})
    assert document.value("s", "a") == value
    assert [section.name for section in document.sections] == ["s"]


def test_a_template_gives_its_values_and_is_no_section() -> None:
    document = read({"x.conf": "[t](!)\na = 1\nb = 2\n[s](t)\nb = 3\n"})
    assert [value.value for value in document.titled("s")[0].values] == ["1", "2", "3"]
    assert document.value("s", "b") == "3"
    assert document.titled("t") == []
    assert document.has("t")


def test_plus_adds_to_the_section_that_is_there() -> None:
    document = read({"x.conf": "[general]\nport = 1\n[user]\n[general](+)\nport = 2\n"})
    assert len(document.titled("general")) == 1
    assert document.value("general", "port") == "2"


def test_plus_on_a_section_that_is_not_there_is_a_problem() -> None:
    document = read({"x.conf": "[nosuch](+)\na = 1\n"})
    assert document.problems[0] == "x.conf:1: [nosuch](+) adds to a section that does not exist"


def test_includes_are_read_in_place() -> None:
    files = {"x.conf": '[a]\n#include "y.conf"\nk = 3\n', "y.conf": "k = 1\n[b]\n"}
    document = read(files)
    assert document.includes == ["x.conf", "y.conf"]
    assert document.value("a", "k") == "1"
    assert document.value("b", "k") == "3"  # it stands behind the include, so it belongs to its last section


@pytest.mark.parametrize("written", ['"y.conf"', "<y.conf>", "y.conf"])
def test_every_way_to_name_an_include(written: str) -> None:
    assert read({"x.conf": f"#include {written}\n", "y.conf": "[a]\n"}).has("a")


def test_a_missing_include_is_a_problem_and_a_missing_tryinclude_is_none() -> None:
    document = read({"x.conf": '#include "gone.conf"\n#tryinclude "gone too.conf"\n'})
    assert document.problems == ["x.conf:1: includes gone.conf, which does not exist"]
    assert document.named_files == ["gone.conf", "gone too.conf"]


def test_a_pattern_includes_every_file_that_it_takes() -> None:
    files = {"x.conf": '#include "d/*.conf"\n', "d/a.conf": "[a]\n", "d/b.conf": "[b]\n"}
    assert read(files).includes == ["x.conf", "d/a.conf", "d/b.conf"]


def test_a_file_that_includes_itself_ends() -> None:
    document = read({"x.conf": '[a]\n#include "x.conf"\n'})
    assert document.problems == ["x.conf:2: includes are nested too deeply"]


def test_what_exec_prints_is_not_known() -> None:
    document = read({"x.conf": "#exec /bin/generate\n"})
    assert document.runs == ["/bin/generate"]
    assert document.problems == []


@pytest.mark.parametrize("text", ["a = 1\n", "[a\n", "[a]\nno sign\n", "[a]\n#unknown x\n"])
def test_what_asterisk_refuses_is_named_with_its_line(text: str) -> None:
    assert read({"x.conf": text}).problems[0].startswith("x.conf:")


@pytest.mark.parametrize(("text", "wanted"), [("yes", True), ("ON", True), (" 1 ", True), ("no", False), ("", False)])
def test_yes_as_asterisk_reads_it(text: str, wanted: bool) -> None:
    assert is_true(text) is wanted

"""Configuration files as Asterisk reads them."""

import pytest

from ariagent.install.asteriskconf import Document, is_true, left_open, parse


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
    assert document.problem == ""


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
        ("a = x\na += ,y", "x,y"),
        ("a = b ;-- one --; c ;-- two\na = x\n--; d", "b  c"),
        ("a = b \\;-- c", "b ;-- c"),
        # Not a line's end for Asterisk.
        ("a = b\x0bc\x0cd\u2028e", "b\x0bc\x0cd\u2028e"),
        # Passed over.
        ("a = b\nno sign\n#unknown x\n#include\n= c", "b"),
        ("a = b\na = " + 8190 * "x", "b"),
        ("a = b\0\na\0 = c", "b"),
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
    assert not document.has("t")  # (+) does not find it


def test_plus_adds_to_the_section_that_is_there() -> None:
    document = read({"x.conf": "[general]\nport = 1\n[user]\n[general](+)\nport = 2\n"})
    assert len(document.titled("general")) == 1
    assert document.value("general", "port") == "2"


def test_plus_finds_a_section_in_any_letter_case() -> None:
    document = read({"x.conf": "[General]\nport = 1\n[general](+)\nport = 2\n"})
    assert document.has("general")
    assert document.value("general", "port") == "2"


def test_a_bracket_behind_a_space_is_no_option() -> None:
    assert len(read({"x.conf": "[a]\nk = 1\n[a] (+)\nk = 2\n"}).titled("a")) == 2


@pytest.mark.parametrize("head", ["[nosuch](+)", "[a](nosuch)", "[t](!)\n[t](+)"])
def test_a_section_that_is_not_there_cannot_be_added_to(head: str) -> None:
    assert read({"x.conf": f"{head}\na = 1\n"}).problem.startswith("x.conf:")


def test_an_included_file_is_read_as_far_as_it_goes() -> None:
    files = {"x.conf": '[a]\n#include "y.conf"\n[c]\n', "y.conf": "[b]\n[nosuch](+)\n[lost]\n"}
    document = read(files)
    assert [section.name for section in document.sections] == ["a", "b", "c"]
    assert document.problem == ""
    assert document.cut_off == ["y.conf:2: [nosuch](+) adds to a section that does not exist"]


def test_includes_are_read_in_place() -> None:
    files = {"x.conf": '[a]\n#include "y.conf"\nk = 3\n', "y.conf": "k = 1\n[b]\n"}
    document = read(files)
    assert document.includes == ["x.conf", "y.conf"]
    assert [value.value for value in document.values("a", "k")] == ["1", "3"]
    assert document.value("b", "k") == ""


@pytest.mark.parametrize("written", ['"y.conf"', "<y.conf>", "y.conf"])
def test_every_way_to_name_an_include(written: str) -> None:
    assert read({"x.conf": f"#include {written}\n", "y.conf": "[a]\n"}).has("a")


def test_a_missing_include_is_a_problem_and_a_missing_tryinclude_is_none() -> None:
    document = read({"x.conf": '#tryinclude "gone too.conf"\n'})
    assert document.problem == ""
    assert document.named_files == ["gone too.conf"]
    document = read({"x.conf": '#include "gone.conf"\n'})
    assert document.problem == "x.conf:1: includes gone.conf, which does not exist"


def test_a_pattern_includes_every_file_that_it_takes() -> None:
    files = {"x.conf": '#include "d/*.conf"\n', "d/a.conf": "[a]\n", "d/b.conf": "[b]\n"}
    assert read(files).includes == ["x.conf", "d/a.conf", "d/b.conf"]


def test_a_file_that_includes_itself_ends() -> None:
    document = read({"x.conf": '[a]\n#include "x.conf"\n'})
    assert document.cut_off == ["x.conf:2: includes are nested too deeply"]


def test_what_exec_prints_is_not_known() -> None:
    document = read({"x.conf": "#exec /bin/generate\n[printed](+)\na = 1\n[a](printed too)\n"})
    assert document.runs == ["/bin/generate"]
    assert document.problem == ""


@pytest.mark.parametrize("text", ["a = 1\n", "[a\n", "[a](+\n", "\ufeff[a]\n"])
def test_what_asterisk_refuses_is_named_with_its_line(text: str) -> None:
    assert read({"x.conf": text}).problem.startswith("x.conf:")


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("[a]\n;-- old\n[b]\n", 4),
        ("[a]\nk = 1 ;-- old", 4),
        ("[a]\nk = 1 --;\n[b]\n", 4),
        (";-- a --;\n;-- b\n;-- c\n--;\n", 10),
        ("[a]\n;-- old\n--;\n", None),
        ("[a]\n;---- line\n; comment", None),
        ("", None),
    ],
)
def test_a_comment_that_is_left_open(text: str, at: int | None) -> None:
    assert left_open(text.encode()) == at
    if at is not None:
        assert not read({"x.conf": f"{text}\n[ours]\n"}).has("ours")
        assert read({"x.conf": f"{text[:at]}[ours]\n{text[at:]}"}).has("ours")


@pytest.mark.parametrize(("text", "wanted"), [("yes", True), ("ON", True), (" 1 ", True), ("no", False), ("", False)])
def test_yes_as_asterisk_reads_it(text: str, wanted: bool) -> None:
    assert is_true(text) is wanted

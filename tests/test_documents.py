"""The documents: every link leads somewhere, every code block can be read, and marked ones are run."""

import inspect
import json
import os
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from ariagent.cli import application
from ariagent.config import RecordsSettings, Settings
from ariagent.install import asteriskconf
from ariagent.records.events import AgentTurn, CallAnswered, CallEnded, CallStarted
from ariagent.records.journal import Journal
from ariagent.sandbox.command import sandbox

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.glob("*.md")))
LONGEST_PAGE = 300
RUN_LIMIT_S = 120.0
NAMING = ("ariagent", "asterisk", "dialplan", "packaging", "lab", "tests", "Makefile", "CHANGELOG.md")
"""Files and folders whose texts may name a page: errors, remedies, comments."""
NAMED_PAGE = re.compile(r"(?<![\w/-])docs/([\w-]+\.(?:md|json))(?:#([\w-]+))?")


# -- links ----------------------------------------------------------------------------------------


def prose(text: str) -> str:
    """The text without its code blocks."""
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and the documentation site make them."""
    titles = re.findall(r"^#+ (.+)$", prose(page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def broken(page: Path, target: str) -> str:
    """The fault of a link on a page; "": there is none."""
    name, _, anchor = target.partition("#")
    file = (page.parent / name).resolve() if name else page
    if not file.is_file():
        return f"{page.name}: there is no {target}"
    if anchor and anchor not in anchors(file):
        return f"{page.name}: {target}: no such heading"
    return ""


def links(page: Path) -> list[str]:
    found = re.findall(r"\]\(([^)\s]+)\)", prose(page.read_text()))
    return [target for target in found if not re.match(r"https?:|mailto:", target)]


def named_pages() -> Iterator[tuple[Path, str]]:
    """Every page of docs/ that a text outside docs/ names, with its anchor."""
    for place in NAMING:
        top = ROOT / place
        for file in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if file.is_file() and file.suffix not in (".pyc", ".wav", ".gz") and file != Path(__file__):
                text = file.read_text(errors="replace")
                for page, anchor in NAMED_PAGE.findall(text):
                    yield file.relative_to(ROOT), f"{page}#{anchor}" if anchor else page


def test_every_link_leads_somewhere() -> None:
    assert [fault for page in PAGES for target in links(page) if (fault := broken(page, target))] == []


def test_every_page_that_a_text_names_exists() -> None:
    named = set(named_pages())
    assert len(named) > 20
    assert [f"{file}: {fault}" for file, target in sorted(named) if (fault := broken(DOCS / "README.md", target))] == []


@pytest.mark.parametrize(
    ("target", "fault"),
    [
        ("run.md#caps", ""),
        ("../README.md", ""),
        ("#install", ""),
        ("walk.md", "README.md: there is no walk.md"),
        ("run.md#hats", "README.md: run.md#hats: no such heading"),
    ],
)
def test_a_broken_link_is_found(target: str, fault: str) -> None:
    assert broken(DOCS / "README.md", target) == fault


# -- language -------------------------------------------------------------------------------------

PRONOUNS = "whom|whose"
"""They stand far from their nouns. Not looked for in pages that are made from the settings' descriptions."""
SENTENCES = r"(?:^|(?<=[.;] )|(?<=\| ))(?:Whose|Whom|Of|Who)\b[^|.;?]*"
"""A sentence or a cell that begins with one of these has to be read twice. Titles and questions may."""


def read_twice(page: Path) -> list[str]:
    """Words and sentences of a page that have to be read twice."""
    text = re.sub(r"`[^`]*`", "`x`", prose(page.read_text()))
    generated = page.name.startswith("configuration")
    found = [] if generated else re.findall(rf"\b(?:{PRONOUNS})\b", text, re.IGNORECASE)
    return found + [match[0] for match in re.finditer(SENTENCES, text, re.MULTILINE)]


def test_no_page_needs_a_second_reading() -> None:
    read = [page for page in PAGES if page.name != "glossary.md"]
    assert {page.name: found for page in read if (found := read_twice(page))} == {}


def test_no_page_is_too_long() -> None:
    lines = {page.name: len(page.read_text().splitlines()) for page in PAGES}
    assert {name: count for name, count in lines.items() if count > LONGEST_PAGE} == {}


# -- code -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Block:
    """A code block of a page. ``mark`` is the comment ``<!-- ... -->`` on the line before it."""

    page: str
    line: int
    language: str
    mark: str
    code: str


def blocks() -> Iterator[Block]:
    fence = re.compile(r"^(?:<!-- (\w+) -->\n)?( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
    for page in PAGES:
        text = page.read_text()
        for match in fence.finditer(text):
            mark, indent, language, code = match.groups()
            code = re.sub(rf"^{indent}", "", code, flags=re.MULTILINE)
            yield Block(page.name, text.count("\n", 0, match.start()) + 1, language, mark or "", code)


BLOCKS = list(blocks())
RUN = [pytest.param(block, id=f"{block.page}-{block.line}") for block in BLOCKS if block.mark == "run"]
SHOWN = ("console", "nginx", "sql", "text")
"""Output and other programs' languages. They are not parsed."""
DIAGRAMS = ("sequenceDiagram", "stateDiagram-v2")


def read_shell(code: str) -> None:
    subprocess.run(["bash", "-n", "-c", code], check=True, timeout=RUN_LIMIT_S)


def read_asterisk(code: str) -> None:
    """Asterisk would read it; where it begins within a section, below a section of that kind."""
    begun = code if re.search(r"^\[", code, re.MULTILINE) else f"[example]\n{code}"
    lines = [line.strip() for line in begun.splitlines() if line.strip() and not line.strip().startswith(";")]
    assert [line for line in lines if not re.match(r"\[|#|[\w-]+ *=>? *\S|[\w-]+ *=$", line)] == []
    elsewhere = "\n".join(f"[{name}](!)" for name in ("ariagent-seats",))
    known = "\n".join(f"[{name}]" for name in sorted(set(re.findall(r"^\[([^\]]+)\]\(\+\)", begun, re.MULTILINE))))
    texts = {"example.conf": f"{elsewhere}\n{known}\n{begun}"}
    document = asteriskconf.parse("example.conf", texts.get, lambda _: [])
    assert document is not None
    assert (document.problem, document.cut_off, document.borrowed) == ("", [], [])


def read_mermaid(code: str) -> None:
    """A semicolon ends a line for mermaid: the rest of a message would be a line of its own, and an error."""
    first, *lines = code.splitlines()
    assert first in DIAGRAMS
    assert [line for line in lines if ";" in line] == []


READERS = {
    "ini": read_asterisk,
    "json": json.loads,
    "mermaid": read_mermaid,
    "python": lambda code: compile(code, "example.py", "exec"),
    "sh": read_shell,
    "toml": tomllib.loads,
    "yaml": yaml.safe_load,
}


def test_there_are_blocks() -> None:
    assert len(BLOCKS) > 100
    assert len(RUN) >= 5
    assert {block.mark for block in BLOCKS} <= {"", "run", "site"}


def fault_of(block: Block) -> str:
    """The reason why a block cannot be read; "": it can."""
    try:
        if block.mark != "site" and block.language not in SHOWN:
            READERS[block.language](block.code)
    except Exception as error:  # noqa: BLE001  # readers of several libraries
        return f"{type(error).__name__}: {error}"
    return ""


def test_each_block_can_be_read() -> None:
    assert {f"{block.page}:{block.line}": fault for block in BLOCKS if (fault := fault_of(block))} == {}


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("sh", "ariagent check && ("),
        ("sh", "echo 'x"),
        ("ini", "exten => 1,1,Answer()\nsame n,Hangup()\n"),
        ("ini", "[a](b)\nx = 1\n"),
        ("yaml", "a: b: c"),
        ("json", "{"),
        ("mermaid", "sequenceDiagram\n    A->>B: hello; and goodbye\n"),
        ("mermaid", "sequencediagram\n    A->>B: hello\n"),
        ("python", "def"),
        ("toml", "a"),
    ],
)
def test_a_wrong_block_is_found(language: str, code: str) -> None:
    with pytest.raises((AssertionError, ValueError, SyntaxError, yaml.YAMLError, subprocess.CalledProcessError)):
        READERS[language](code)


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """The settings of a service that has recorded the call of docs/records.md."""
    journal = Journal.open(tmp_path / "state", RecordsSettings())
    began = time.time() - 60
    record = journal.begin("1795357064.12", began)
    record.tell(CallStarted("1795357064.12", "orders", "03", "5551000", "6f0c"), began)
    record.tell(CallAnswered(20.0), began)
    record.tell(AgentTurn("i0", "Good day."), began + 1)
    record.tell(CallEnded(result="done", reason="caller_hung_up", talk_s=5.0, underruns=0), began + 6)
    assert journal.close()
    file = tmp_path / "settings.yaml"
    file.write_text("state_directory: state\n")
    return file


@pytest.mark.parametrize("block", RUN)
def test_a_block_runs(block: Block, settings: Path, tmp_path: Path) -> None:
    commands = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.code],
        cwd=tmp_path,
        env={"PATH": commands, "HOME": str(tmp_path), "ARIAGENT_CONFIG": str(settings)},
        capture_output=True,
        text=True,
        timeout=RUN_LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr


# -- names ----------------------------------------------------------------------------------------


def commands() -> dict[str, set[str]]:
    """Command -> its options."""
    group: Any = typer.main.get_command(application())
    options = {
        name: {option for each in command.params for option in (*each.opts, *each.secondary_opts)} | {"--help"}
        for name, command in group.commands.items()
    }
    # This command reads its options itself.
    parameters = [name.replace("_", "-") for name in inspect.signature(sandbox).parameters]
    options["sandbox"] = {f"--{name}" for name in (*parameters, "print-conversations", "help")}
    return options


OTHER_OPTIONS = {"--compare", "--out", "--strict", "--num_pipelines"}
"""Options of the bench, mypy and other programs that the documents name alone."""


def asked(text: str) -> Iterator[tuple[str, list[str]]]:
    """(command, options) of each call of ariagent in a line or a code span."""
    for call in re.split(r"&&|\|\||[;|]", re.sub(r"(?:^| )#.*", "", text)):
        words = call.split()
        for place, word in enumerate(words[:-1]):
            if re.fullmatch(r"(?:\S*/)?ariagent", word) and re.fullmatch(r"(?!ariagent)[a-z]+", words[place + 1]):
                yield words[place + 1], [each.partition("=")[0] for each in words[place + 2 :] if each.startswith("-")]


def spans(page: Path) -> Iterator[str]:
    """Code spans, and the lines of shell blocks."""
    text = page.read_text()
    yield from (" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose(text)))
    for block in blocks():
        if block.page == page.name and block.language in ("sh", "console"):
            lines = block.code.replace("\\\n", " ").splitlines()
            yield from (line for line in lines if block.language == "sh" or line.startswith("$ "))


def test_commands_and_their_options_exist() -> None:
    known = commands()
    assert {page.name: wrong for page in PAGES if (wrong := wrong_commands(page, known))} == {}


def wrong_commands(page: Path, known: dict[str, set[str]]) -> list[str]:
    """Commands and options of a page that there are not."""
    every = set().union(*known.values()) | OTHER_OPTIONS
    wrong = []
    for span in spans(page):
        for command, options in asked(span):
            if command not in known:
                wrong.append(f"ariagent {command}")
            else:
                wrong += [f"{command} {option}" for option in options if option.strip("[]") not in known[command]]
        if re.match(r"--[a-z-]+(?:[ =]|$)", span) and re.split("[ =]", span)[0] not in every:
            wrong.append(span)
    return wrong


def test_targets_of_make_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)) | {"menuselect"}
    called = {
        (page.name, word)
        for page in PAGES
        for span in spans(page)
        if span.startswith("make ")
        for word in re.findall(r" ([a-z-]+)(?= |$)", re.sub(r"(?:^| )#.*", "", span))
    }
    assert len(called) > 10
    assert {(page, word) for page, word in called if word not in targets} == set()


def keys(schema: dict[str, Any], node: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """Every key of the settings as a path; an asterisk is any name."""
    for choice in (node, *node.get("anyOf", ()), *node.get("oneOf", ())):
        if "$ref" in choice:
            yield from keys(schema, schema["$defs"][choice["$ref"].rpartition("/")[2]])
        for name, field in choice.get("properties", {}).items():
            yield (name,)
            yield from ((name, *below) for below in keys(schema, field))
        for field in (*choice.get("patternProperties", {}).values(), choice.get("additionalProperties")):
            if isinstance(field, dict):
                yield ("*",)
                yield from (("*", *below) for below in keys(schema, field))
        if "items" in choice:
            yield from keys(schema, choice["items"])


SETTINGS = Settings.model_json_schema()
KEYS = set(keys(SETTINGS, SETTINGS))


SOURCE = "\n".join(file.read_text() for file in sorted((ROOT / "ariagent").rglob("*.py")))
EVENTS = set(re.findall(r"[\"']([a-z_]+\.[a-z_]+)[\"']", SOURCE))
"""Log events, and other names of that form."""
OTHERS = (
    "conf",
    "py",
    "service",
    "sock",
    "txt",
    "wav",
    "yaml",
    "yml",
    "com",
    "smith",
    "toml",
    "apply_mask",
    "body",
    "to_thread",
)
"""The ends of files' names, and of other names that are neither a key nor an event."""


def is_key(path: tuple[str, ...]) -> bool:
    """Whether this is a key of the settings, or one of an agent, a tool or a destination."""
    return path in KEYS or any((top, "*", *path) in KEYS for top in ("agents", "tools", "destinations"))


def test_settings_and_events_exist() -> None:
    named = [page for page in PAGES if page.name not in ("CHANGELOG.md", "architecture.md")]
    assert {page.name: wrong for page in named if (wrong := wrong_names(page))} == {}


def wrong_names(page: Path) -> list[str]:
    """A code span such as ``rescue.after_s``, ``agents.NAME.silence: 5`` or ``call.ended`` names a key of the settings
    or an event; those that do not."""
    wrong = []
    for span in spans(page):
        found = re.match(r"([a-z_]+(?:\.(?:[a-z0-9_]+|[A-Z]+))+)(?::|=| |$)", span)
        path = tuple("*" if each.isupper() else each for each in found[1].split(".")) if found else ()
        if path and not is_key(path) and ".".join(path) not in EVENTS and path[-1] not in OTHERS:
            wrong.append(span)
    return wrong


# -- messages -------------------------------------------------------------------------------------

SYSTEM_MESSAGES = ("Address already in use",)
SHORTEST_FRAGMENT = 10


def messages() -> str:
    """The strings of the source, joined, with an ellipsis for what is filled in."""
    joined = re.sub(r'"\s*\n\s*f?"', "", SOURCE)
    return " ".join(re.sub(r"\{[^{}]*\}", "...", joined).split())


def quoted(page: Path) -> Iterator[str]:
    """The messages in tables with the heading "it says"."""
    for table in re.findall(r"^\| it says \|.*\n\|[-|]+\n((?:\|.*\n)+)", page.read_text(), re.MULTILINE):
        for row in table.splitlines():
            yield from re.findall(r"`([^`]+)`", row.split(" | ")[0])


@pytest.mark.parametrize("name", ["troubleshooting.md", "troubleshooting-service.md"])
def test_a_message_that_a_page_quotes_is_one_of_the_service(name: str) -> None:
    known = messages()
    found = list(quoted(DOCS / name))
    assert len(found) > 10
    fragments = [each.strip(" ;,:?()") for message in found for each in message.split("...")]
    long = [each for each in fragments if len(each) >= SHORTEST_FRAGMENT and "=" not in each]
    assert [each for each in long if each not in known and each not in SYSTEM_MESSAGES] == []


# -- wrapping -------------------------------------------------------------------------------------


def test_no_page_has_marks_of_an_unfinished_merge() -> None:
    marks = re.compile(r"^(<{7} |={7}$|>{7} )", re.MULTILINE)
    assert [page.name for page in PAGES if marks.search(page.read_text())] == []


def test_no_table_row_is_wrapped_and_no_list_item_is_within_another() -> None:
    """Both happen when the lines of a page are wrapped again."""
    lines = [(page.name, line) for page in PAGES for line in prose(page.read_text()).splitlines()]
    assert [each for each in lines if each[1].startswith("|") != each[1].endswith("|")] == []
    item = re.compile(r"[.:;)] (?:[*-]|\d\.) [A-Z`\[]")
    assert [each for each in lines if item.search(each[1]) and not each[1].startswith("|")] == []

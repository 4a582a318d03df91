"""The lint of dialplans: which texts of others it finds, and where they may stand."""

import re
from pathlib import Path

import pytest

from lab.dialplanlint import findings, ours

DOCS = Path(__file__).parents[2] / "docs"
WRONG = {
    'GotoIf($["${CALLERID(num)}" = ""]?refused)': "${CALLERID(num)}",
    "GotoIf($[${LEN(${CALLERID(num)})} = 0]?refused)": "${CALLERID(num)}",
    "Set(ARIAGENT_BY=${FILTER(0-9,${CALLERID(num)})})": "${CALLERID(num)}",
    "Set(X=${FILTER(0-9,${CALLERID(dnid)})})": "${CALLERID(dnid)}",
    "ExecIf($[1]?Set(X=${CONNECTEDLINE(name)}))": "${CONNECTEDLINE(name)}",
    'GotoIf($["${BLINDTRANSFER}" =~ "@ariagent-"]?done)': "${BLINDTRANSFER}",
    'GotoIf($["${CHANNEL:0:10}" = "Surrogate/"]?done)': "${CHANNEL:0:10}",
    "GotoIf($[${FIELDNUM(LIST,&,${CHANNEL:0:-9})} > 0]?allowed)": "${CHANNEL:0:-9}",
    "Gosub(ariagent-queue,${EXTEN},1(q))": "${EXTEN}",
    "Dial(PJSIP/${EXTEN})": "${EXTEN}",
    "UserEvent(X,By: ${CALLERID(name)})": "${CALLERID(name)}",
    "Set(SHARED(X,${CHANNEL})=1)": "${CHANNEL}",
    "Goto(${HASH(TRANSFER_DATA,X-To)})": "${HASH(TRANSFER_DATA,X-To)}",
    "Set(X=$[${PJSIP_HEADER(read,X-A)} + 1])": "${PJSIP_HEADER(read,X-A)}",
    "Set(X=${${ARG1}:0:3}${IF($[1]?${REDIRECTING(num)}:)})": "${REDIRECTING(num)}",
    'System(echo "${ARIAGENT_REASON}")': "${ARIAGENT_REASON}",
    'GotoIf($[${REGEX("^[0-9]+$" ${CALLERID(num)})}]?done)': "${CALLERID(num)}",
    "Goto(${${ARG1}},1)": "${${ARG1}}",
}
RIGHT = (
    "Set(NUMBER=${CALLERID(num)})",
    "Set(__NAME=${CONNECTEDLINE(name)})",
    "Set(CONNECTEDLINE(name,i)=${ARIAGENT_PREFIX}${CONNECTEDLINE(name)})",
    "Gosub(ariagent-clean,number,1(CALLERID(num)))",
    'GotoIf($["${CHANNEL(state)}" = "Up"]?broken)',
    'GotoIf($["${ARIAGENT_CLEAN}" = ""]?refused)',
    "Set(X=${REPLACE(NUMBER,\\\\x28,!)})",
    "NoOp()",
)


def dialplan(*applications: str, extension: str = "_X!", context: str = "any") -> dict[str, str]:
    lines = [f"[{context}]", f"exten => {extension},1,NoOp()", *(f" same => n,{each}" for each in applications)]
    return {"x.conf": "\n".join(lines) + "\n"}


@pytest.mark.parametrize("application", WRONG)
def test_is_found(application: str) -> None:
    (found, *_) = findings(dialplan(application))
    assert (found.line, found.reference) == (3, WRONG[application])
    assert str(found).startswith(f"x.conf:3: {WRONG[application]} is in")


@pytest.mark.parametrize("application", RIGHT)
def test_is_let_alone(application: str) -> None:
    assert findings(dialplan(application)) == []


def test_a_variable_that_was_set_to_such_a_text_is_one_also_by_way_of_others() -> None:
    steps = ("Set(__A=${CALLERID(num)})", "Set(B=${A})", 'GotoIf($["${B}" = ""]?x)')
    (found,) = findings(dialplan(*steps))
    assert (found.line, found.reference, found.place) == (5, "${B}", "inside $[ ]")


@pytest.mark.parametrize(
    ("extension", "plain"),
    [
        ("7000", True),
        ("_100[1-4]", True),
        ("_NXXXXXX", True),
        ("_X.", False),
        ("_X!", False),
        ("_[a-z)]", False),
        ("_XX/_.", True),
        ("_X./1", False),
    ],
)
def test_an_extension_is_its_patterns(extension: str, plain: bool) -> None:
    assert (findings(dialplan("Dial(PJSIP/${EXTEN})", extension=extension)) == []) == plain


def test_the_cleaner_itself_may() -> None:
    assert findings(dialplan("Set(X=${FILTER(0-9,${CALLERID(num)})})", context="ariagent-clean")) == []


def test_a_hint_names_a_device() -> None:
    assert findings({"x": "[a]\nexten => _XX!,hint,Local/${EXTEN}@b\n"}) == []


def test_comments_are_none_and_a_switch_is_read() -> None:
    assert findings({"x": "[a]\n; exten => 1,1,Dial(${CALLERID(num)})\nexten => 1,1,NoOp() ; ${CALLERID(num)}\n"}) == []
    assert len(findings({"x": "[a]\neswitch => Loopback/${CALLERID(num)}@b\n"})) == 1


def test_what_ships_and_what_is_installed_is_right() -> None:
    texts = ours()
    assert {"dialplan/dialplan.conf", "dialplan/supervisor.conf", "ariagent install: extensions.conf"} <= set(texts)
    assert [str(each) for each in findings(texts)] == []


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_the_examples_of_the_documents_are_right(page: Path) -> None:
    blocks = re.findall(r"^ *```\w*\n(.*?)^ *```", page.read_text(), re.MULTILINE | re.DOTALL)
    examples = {f"{number}": f"[example]\n{text}" for number, text in enumerate(blocks) if "exten =>" in text}
    assert [str(each) for each in findings(examples)] == []

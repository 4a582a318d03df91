"""Mistakes in the tools of the settings are reported at the start, with file, line and key."""

import re
import typing
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from ariagent.config import AgentSettings
from ariagent.config.tools import BUILTIN_TOOLS
from ariagent.configfile import load
from ariagent.dialogue.builtin_tools import NAMES
from ariagent.errors import ConfigurationError

GOOD = """\
outbound:
  allowed_hosts: [api.example.com]
tools:
  order_status:
    description: Says where an order is.
    url: https://api.example.com/orders/{number}?lang=en
    headers: {Authorization: Bearer abc}
    answer: {status: order.items.0.status}
    parameters:
      type: object
      properties:
        number: {type: string}
        detail: {type: string}
      required: [number]
mcp_servers:
  crm: {url: "https://crm.example.com/mcp"}
agents:
  default:
    tools: [order_status]
    mcp: [crm]
    lookup: {url: "https://api.example.com/who?n={caller.number}"}
"""

MISTAKES = {
    "an unknown tool": (
        "tools: [order_status]",
        "tools: [order_stats]",
        19,
        "agents.default.tools[0]",
        "order_status?",
    ),
    "a tool twice": ("[order_status]", "[order_status, order_status]", 19, "agents.default.tools[1]", "twice"),
    "our own as the site's": (
        "tools: [order_status]",
        "tools: [end_call]",
        19,
        "agents.default.tools[0]",
        "builtin_tools",
    ),
    "our own name": ("  order_status:", "  end_call:", 4, "tools.end_call", "ariagent's own"),
    "a name that is none": (
        "  order_status:",
        "  order-status!:",
        4,
        "tools.order-status!",
        "letters, digits, _ and -",
    ),
    "a host not allowed": ("[api.example.com]", "[www.example.com]", 6, "tools.order_status.url", "allowed_hosts"),
    "a lookup's host": (
        "https://api.example.com/who",
        "https://who.example.com/who",
        21,
        "agents.default.lookup.url",
        "who.example.com is not",
    ),
    "a lookup's variable": ("{caller.number}", "{caller.numer}", 21, "agents.default.lookup.url", "{caller.numer}"),
    "a private address": (
        GOOD[GOOD.index("[api.example") : GOOD.index("/orders")],
        GOOD[GOOD.index("[api.example") : GOOD.index("/orders")].replace("api.example.com", "localhost"),
        6,
        "tools.order_status.url",
        "outbound.private",
    ),
    "a variable without a parameter": ("{number}", "{nummer}", 6, "tools.order_status.url", "{nummer} is not among"),
    "a value of the call as a parameter": (
        "detail: {type: string}",
        "caller.number: {type: string}",
        9,
        "tools.order_status.parameters",
        "which the model must not choose: remove the parameter and write {caller.number} into url",
    ),
    "a value of the call without a dot": (
        "detail: {type: string}",
        "queue: {type: string}",
        9,
        "tools.order_status.parameters",
        "bound: {NAME",
    ),
    "a parameter with a dot": (
        "detail: {type: string}",
        "order.detail: {type: string}",
        9,
        "tools.order_status.parameters",
        "has a dot",
    ),
    "a value that no call has": ("{number}", "{caller.numer}", 6, "tools.order_status.url", "mean caller.number"),
    "a value that no call has, in a header": (
        "Bearer abc",
        "'{caller.numer}'",
        7,
        "tools.order_status.headers",
        "mean caller.number",
    ),
    "bound and chosen": (
        "    answer:",
        "    bound: {number: '{caller.number}'}\n    answer:",
        8,
        "tools.order_status.bound",
        "number is also in parameters",
    ),
    "bound and chosen in other letters": (
        "    answer:",
        "    bound: {Number: '{caller.number}'}\n    answer:",
        8,
        "tools.order_status.bound",
        "number is also in parameters",
    ),
    "bound and chosen, as frameworks take names": (
        "    answer:",
        "    bound: {num_ber: '{caller.number}'}\n    answer:",
        8,
        "tools.order_status.bound",
        "number is also in parameters",
    ),
    "bound in the query and chosen in the body": (
        "{number}?lang=en",
        "{number}?Detail={caller.number}\n    method: POST",
        6,
        "tools.order_status.url",
        "detail is in the query of the URL and also an argument",
    ),
    "bound, with no braces": (
        "    answer:",
        "    bound: {customer: caller.number}\n    answer:",
        8,
        "tools.order_status.bound",
        "{caller.number}",
    ),
    "bound, with two pairs of braces": (
        "    answer:",
        "    bound: {customer: '{{caller.number}}'}\n    answer:",
        8,
        "tools.order_status.bound",
        "{caller.number}",
    ),
    "bound, with other letters": (
        "    answer:",
        "    bound: {customer: '{Caller.number}'}\n    answer:",
        8,
        "tools.order_status.bound",
        "{caller.number}",
    ),
    "bound, with a dollar": (
        "    answer:",
        "    bound: {customer: '${caller.number}'}\n    answer:",
        8,
        "tools.order_status.bound",
        "{caller.number}",
    ),
    "bound, with an underline": (
        "    answer:",
        "    bound: {customer: '{caller_number}'}\n    answer:",
        8,
        "tools.order_status.bound",
        "{caller.number}",
    ),
    "bound, with spaces": (
        "    answer:",
        "    bound: {customer: '{ caller.number }'}\n    answer:",
        8,
        "tools.order_status.bound",
        "{caller.number}",
    ),
    "bound to what no call has": (
        "    answer:",
        "    bound: {customer: '{caller.numer}'}\n    answer:",
        8,
        "tools.order_status.bound",
        "mean caller.number",
    ),
    "bound by the name of a value": (
        "    answer:",
        "    bound: {caller.number: 'x'}\n    answer:",
        8,
        "tools.order_status.bound",
        "letters, digits, _ and -",
    ),
    "bound to what is not closed": (
        "    answer:",
        "    bound: {customer: '{caller.number'}\n    answer:",
        8,
        "tools.order_status.bound",
        "not closed",
    ),
    "bound and in the query": (
        "    answer:",
        "    bound: {lang: '{caller.number}'}\n    answer:",
        6,
        "tools.order_status.url",
        "lang is in the query",
    ),
    "bound to a variable that the agent does not read": (
        "    answer:",
        "    bound: {customer: '{variable.VIP}'}\n    answer:",
        20,
        "agents.default.tools[0]",
        "VIP among the agent's variables",
    ),
    "a lookup bound to its own answer": (
        '{caller.number}"}',
        "{caller.number}\", bound: {x: '{lookup.id}'}}",
        21,
        "agents.default.lookup",
        "{lookup.id} is not known before",
    ),
    "a value of the call for the model's provider": (
        'mcp"}',
        'mcp", headers: {X-Caller: "{caller.number}"}}',
        16,
        "mcp_servers.crm.headers",
        "cannot be filled in",
    ),
    "a variable that may be missing": ("{number}?", "{detail}?", 6, "tools.order_status.url", "required"),
    "a variable that is an object": (
        "number: {type: string}",
        "number: {type: [string, 'null']}",
        6,
        "tools.order_status.url",
        "its type must be",
    ),
    "an argument that is there already": ("lang=en", "detail=no", 6, "tools.order_status.url", "detail is in"),
    "a variable in the host": (
        "api.example.com/orders",
        "{number}.example.com/orders",
        6,
        "tools.order_status.url",
        "path",
    ),
    "no schema": ("{type: string}", "{type: text}", 9, "tools.order_status.parameters", "'text'"),
    "no description": ("Says where an order is.", "' '", 5, "tools.order_status.description", "must not be empty"),
    "an empty prompt": (
        "    answer:",
        "    waiting_prompt: ''\n    answer:",
        8,
        "tools.order_status.waiting_prompt",
        "must not be empty",
    ),
    "a header's name": ("Authorization:", "'Autho rization':", 7, "tools.order_status.headers", "an HTTP header"),
    "a header of ours": ("Authorization:", "Host:", 7, "tools.order_status.headers", "sets this header itself"),
    "a header's value": ("Bearer abc", '"Bearer\\nsecret-abc"', 7, "tools.order_status.headers", "line break"),
    "a path of the answer": ("order.items.0", "order..0", 8, "tools.order_status.answer", "is not a path"),
    "a host pattern": ("[api.example.com]", "['https://api.example.com']", 2, "outbound.allowed_hosts", "host name"),
    "an mcp server's name": ("  crm:", "  1crm:", 16, "mcp_servers.1crm", "begin with a letter"),
    "an mcp server twice": ("mcp: [crm]", "mcp: [crm, crm]", 20, "agents.default.mcp[1]", "twice"),
    "two authorizations": (
        'mcp"}',
        'mcp", authorization: x, headers: {authorization: secret-y}}',
        16,
        "mcp_servers.crm.headers",
        "remove one",
    ),
    "an empty signature": (
        "    answer:",
        "    signature: {secret: ''}\n    answer:",
        8,
        "signature.secret",
        "not be empty",
    ),
}


@pytest.fixture
def complaint(tmp_path: Path) -> Callable[[str], str]:
    file = tmp_path / "ariagent.yaml"

    def complain(text: str) -> str:
        file.write_text(text)
        with pytest.raises(ConfigurationError) as caught:
            load(file, {"OPENAI_API_KEY": "k"}, serving=True)
        return str(caught.value).replace(str(file), "FILE")

    return complain


def test_the_good_ones_load(tmp_path: Path) -> None:
    file = tmp_path / "ariagent.yaml"
    file.write_text(GOOD)
    assert set(load(file, {}).tools) == {"order_status"}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_names_file_line_and_key(mistake: str, complaint: Callable[[str], str]) -> None:
    before, after, line, key, words = MISTAKES[mistake]
    text = GOOD.replace(before, after, 1)
    assert text != GOOD
    told = complaint(text)
    assert "secret-" not in told
    # One mistake may have consequences, which are told as well.
    matching = [found for found in told.splitlines() if re.match(rf"FILE:{line}: \S*{re.escape(key)}", found)]
    assert matching, told
    assert words in matching[0]


def test_an_entry_point_with_the_same_name(
    complaint: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "site_tools-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: site-tools\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        dedent("""\
        [ariagent.tools]
        order_status = site_tools:tool
        """)
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "FILE:4: tools.order_status: the installed entry point site_tools:tool" in complaint(GOOD)


def test_our_own_names_are_those_that_agents_know() -> None:
    annotation = AgentSettings.model_fields["builtin_tools"].annotation
    chosen = typing.get_args(typing.get_args(annotation)[0])
    assert {*chosen} < {*NAMES} == {*BUILTIN_TOOLS}

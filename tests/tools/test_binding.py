"""Values of the call that the model does not choose, at a real server."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ariagent.realtime.events import ToolCall
from ariagent.tools.plugins import CallFacts
from ariagent.values import binding
from ariagent.values.outcome import Outcome, ToolFailure

Make = Callable[..., Any]

FACTS = CallFacts(
    "17.1",
    "default",
    "5550100",
    "Ann",
    "en",
    {"called.number": "7001", "queue": "", "variable.VIP": "yes", "lookup.id": "c-9", "caller.number": "old"},
)
WITHHELD = replace(FACTS, caller_number="")


@pytest.fixture
def ask(box: Make) -> Callable[..., Any]:
    """``await ask({"note": "x"}, facts, url=..., bound=...)``: what the tool ``order`` comes to."""

    async def call(arguments: dict[str, Any], facts: CallFacts = FACTS, **tool: Any) -> Outcome:
        made = box(**{"required": (), "properties": {"note": {}}, "agent": AGENT, **tool})
        return await made.toolbox.run("default", ToolCall("c", "order", json.dumps(arguments)), facts)  # type: ignore[no-any-return]

    return call


AGENT = {"variables": ["VIP"], "lookup": {"url": "http://127.0.0.1/", "answer": {"id": "id"}}}
BOUND = {"customer": "{caller.number}"}


class TestWhereItGoes:
    @pytest.mark.parametrize(
        ("tool", "path"),
        [
            ({"url": "/accounts/{customer}", "bound": BOUND}, "/accounts/5550100"),
            ({"url": "/accounts?of={customer}", "bound": BOUND}, "/accounts?of=5550100"),
            ({"url": "/accounts", "bound": BOUND}, "/accounts?customer=5550100"),
            ({"url": "/accounts", "bound": BOUND, "method": "DELETE"}, "/accounts?customer=5550100"),
            ({"url": "/accounts/{caller.number}"}, "/accounts/5550100"),
            ({"url": "/accounts?of={caller.number}&at={called.number}"}, "/accounts?of=5550100&at=7001"),
            ({"url": "/a/{x}", "bound": {"x": "{variable.VIP}-{lookup.id}-{call.id}"}}, "/a/yes-c-9-17.1"),
            ({"url": "/a/{x}", "bound": {"x": "{queue|none}"}}, "/a/none"),
            ({"url": "/a", "bound": {"x": "{queue|}"}}, "/a?x="),
            ({"url": "/a", "bound": {"channel": "telephone"}}, "/a?channel=telephone"),
        ],
    )
    async def test_url_and_query(self, site: Any, ask: Any, tool: dict[str, Any], path: str) -> None:
        assert (await ask({}, **tool)).ok
        assert site.seen[0].raw_path == path

    async def test_the_body_and_headers(self, site: Any, ask: Any) -> None:
        headers = {"X-Caller": "tel:{caller.number}", "X-Customer": "{number_of_caller}", "X-Key": "a{b}c"}
        bound = {"number_of_caller": "{caller.number}", "dialled": "{called.number}"}
        assert (await ask({"note": "n"}, url="/a", method="POST", bound=bound, headers=headers)).ok
        seen = site.seen[0]
        assert json.loads(seen.body) == {"note": "n", "dialled": "7001"}
        assert [seen.headers[name] for name in headers] == ["tel:5550100", "5550100", "a{b}c"]

    async def test_a_value_is_data(self, site: Any, ask: Any) -> None:
        evil = replace(FACTS, caller_number='1&admin=1#"}\r\nX-Evil: 1', caller_name="{lookup.id}{x}")
        headers = {"X-Caller": "{caller.number}", "X-Name": "{caller.name}"}
        await ask({}, evil, url="/a?of={caller.number}", method="POST", bound={"x": "{caller.number}"}, headers=headers)
        seen = site.seen[0]
        assert seen.raw_path == "/a?of=1%26admin%3D1%23%22%7D%20X-Evil%3A%201"
        assert json.loads(seen.body) == {"x": '1&admin=1#"} X-Evil: 1'}
        assert seen.headers["X-Caller"] == '1&admin=1#"} X-Evil: 1'
        assert seen.headers["X-Name"] == "{lookup.id}{x}"
        assert "X-Evil" not in seen.headers

    async def test_a_lookup_knows_them_too(self, site: Any, box: Make) -> None:
        agent = {"lookup": {"url": f"{site.url}/who", "bound": BOUND, "headers": {"X-To": "{called.number}"}}}
        made = box(agent=agent)
        lookup = made.toolbox._settings.agents["default"].lookup
        assert await made.toolbox.lookup(lookup, {"caller.number": "5550100", "called.number": "7001"})
        assert (site.seen[0].raw_path, site.seen[0].headers["X-To"]) == ("/who?customer=5550100", "7001")
        assert await made.toolbox.lookup(lookup, {"caller.number": "", "called.number": "7001"}) == {}
        assert len(site.seen) == 1


NAMES = ["customer", "Customer", "customer[]", "customer[0]", " customer", "queue", "caller.number"]


class TestTheModel:
    def test_is_not_told_of_it(self, box: Make) -> None:
        made = box("/accounts/{customer}/{called.number}", bound=BOUND, required=())
        [declared] = made.toolbox.declarations("default")
        assert "customer" not in json.dumps(declared)
        assert "called" not in json.dumps(declared)

    @pytest.mark.parametrize(
        "name",
        [
            *("customer", "Customer", "customer[]", "customer[0]", " customer", "caller.number", "Caller.Number"),
            *("[customer]", "[customer][]", "customer.id", "cus_tomer", "Cus-tomer", "customer;", "&customer="),
            *("\uff43ustomer", "customer\u200b", "customer\0x", "customer%00", "%63ustomer", "customer\u0301"),
        ],
    )
    @pytest.mark.parametrize("open_to_more", [False, True])
    async def test_cannot_choose_it(self, site: Any, box: Make, name: str, open_to_more: bool) -> None:
        schema = {"type": "object", "properties": {"note": {}}, "additionalProperties": open_to_more}
        made = box("/accounts/{customer}?to={caller.number}", bound=BOUND, parameters=schema)
        call = ToolCall("c", "order", json.dumps({name: "5559999"}))
        outcome = await made.toolbox.run("default", call, FACTS)
        assert (outcome.kind, site.seen) == ("bad_arguments", [])

    @pytest.mark.parametrize(
        ("method", "url", "path"),
        [
            ("GET", "/find?q={note}&of={caller.number}", "/find?q=x&of=5550100"),
            ("GET", "/find?note={note}", "/find?note=x"),
            ("POST", "/find?note=1&of={caller.number}", "/find?note=1&of=5550100"),
        ],
    )
    async def test_still_chooses_what_is_its_own(self, site: Any, ask: Any, method: str, url: str, path: str) -> None:
        parameters = {"type": "object", "properties": {"note": {"type": "string"}}, "required": ["note"]}
        assert (await ask({"note": "x"}, url=url, method=method, parameters=parameters)).ok
        assert site.seen[0].raw_path == path
        assert method == "GET" or json.loads(site.seen[0].body) == {"note": "x"}

    async def test_cannot_repeat_what_the_query_of_the_url_says(self, site: Any, box: Make) -> None:
        schema = {"type": "object", "properties": {}, "additionalProperties": True}
        made = box("/accounts?of={caller.number}", parameters=schema)
        outcome = await made.toolbox.run("default", ToolCall("c", "order", '{"OF": "5559999"}'), FACTS)
        assert (outcome.kind, site.seen) == ("bad_arguments", [])
        assert "cannot be given" in outcome.output


class TestNotKnown:
    @pytest.mark.parametrize(
        "tool",
        [
            {"url": "/accounts/{caller.number}"},
            {"url": "/accounts?of={caller.number}"},
            {"url": "/accounts/{customer}", "bound": BOUND},
            {"url": "/accounts", "bound": BOUND},
            {"url": "/accounts", "method": "POST", "bound": BOUND},
            {"url": "/accounts", "headers": {"X-Caller": "{caller.number}"}},
        ],
    )
    async def test_nothing_is_sent(self, site: Any, ask: Any, tool: dict[str, Any]) -> None:
        outcome = await ask({}, WITHHELD, **tool)
        assert (outcome.kind, site.seen) == ("not_known", [])
        assert "the caller's number is not known" in json.loads(outcome.output)["error"]

    @pytest.mark.parametrize("number", ["..", ".", "a/b", "a\\b"])
    async def test_what_cannot_stand_in_a_path(self, site: Any, ask: Any, number: str) -> None:
        outcome = await ask({}, replace(FACTS, caller_number=number), url="/accounts/{caller.number}")
        assert (outcome.kind, site.seen) == ("not_known", [])

    async def test_another_caller_has_not_the_formers_variables(self, site: Any, ask: Any) -> None:
        other = FACTS.with_caller("5550199", "Bob")
        tool: dict[str, Any] = {"url": "/a/{x}", "bound": {"x": "{lookup.id}"}}
        assert (await ask({}, other, **tool)).kind == "not_known"
        assert (await ask({}, other, url="/a/{caller.number}/{called.number}")).ok
        assert site.seen[0].raw_path == "/a/5550199/7001"


def test_names_and_texts() -> None:
    assert binding.name_problem("customer") is None
    assert "must not choose" in (binding.name_problem("caller.number") or "")
    assert "must not choose" in (binding.name_problem("queue") or "")
    assert "has a dot" in (binding.name_problem("customer.id") or "")
    assert binding.text_problem("tel:{caller.number|none}") is None
    assert "mean caller.number" in (binding.text_problem("{caller.numer}") or "")
    assert "not closed" in (binding.text_problem("{caller.number") or "")
    with pytest.raises(ToolFailure):
        binding.text("{caller.number}", {})

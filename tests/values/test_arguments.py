"""The model's arguments against the tool's schema."""

import json
from typing import Any, ClassVar

import pytest

from ariagent.values.arguments import Parameters, schema_problem
from ariagent.values.outcome import Kind, ToolFailure

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "number": {"type": "string", "pattern": "^[0-9]+$"},
        "count": {"type": "integer", "minimum": 1},
        "where": {"$ref": "#/$defs/place"},
        "day": {"type": "string", "format": "date"},
    },
    "required": ["number"],
    "$defs": {"place": {"type": "object", "properties": {"city": {"type": "string"}}}},
}


def complaint(text: str, schema: dict[str, Any] = SCHEMA) -> ToolFailure:
    with pytest.raises(ToolFailure) as caught:
        Parameters(schema).read(text)
    assert caught.value.kind == Kind.BAD_ARGUMENTS
    assert caught.value.remedy
    return caught.value


class TestReading:
    def test_what_validates(self) -> None:
        text = '{"number": "12", "count": 2, "where": {"city": "Köln"}, "day": "2026-02-28"}'
        assert Parameters(SCHEMA).read(text) == {
            "number": "12",
            "count": 2,
            "where": {"city": "Köln"},
            "day": "2026-02-28",
        }

    def test_no_text_is_no_arguments(self) -> None:
        assert Parameters({"type": "object"}).read("") == {}

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("{}", "'number' is a required property"),
            ('{"number": 12}', "number: 12 is not of type 'string'"),
            ('{"number": "12; drop"}', "does not match"),
            ('{"number": "1", "count": 0}', "count: 0 is less than"),
            ('{"number": "1", "where": {"city": 1}}', "where.city: 1 is not of type"),
            ('{"number": "1", "day": "2026-02-30"}', "day: '2026-02-30' is not a 'date'"),
            ('{"number": "1", "admin": true}', "'admin' was unexpected"),
            ("[]", "not a JSON object"),
            ('"x"', "not a JSON object"),
            ("{", "not valid JSON"),
            ("not json", "not valid JSON"),
            ('{"number": NaN}', "not valid JSON"),
            ('{"number": "1", "any": 1e400}', "not valid JSON"),
            ('{"number": "\\ud800"}', "not valid JSON"),
            ('{"number": ' + "[" * 4000, "not valid JSON"),
            ('{"where": {"city": "Delft", "admin": true}, "number": "1"}', "('admin' was unexpected)"),
            ('{"where": ' + "[" * 600 + "]" * 600 + "}", "nested too deeply"),
            ('{"number": "' + "1" * 20_000 + '"}', "too long"),
        ],
    )
    def test_what_does_not_and_what_the_model_is_told(self, text: str, words: str) -> None:
        failure = complaint(text)
        assert words in str(failure)
        assert len(failure.line) < 600

    def test_the_log_is_not_told_what_the_caller_said(self) -> None:
        failure = complaint('{"number": "my password"}')
        assert failure.detail == "number does not satisfy pattern"

    def test_a_schema_may_allow_more_itself(self) -> None:
        schema = {"type": "object", "properties": {}, "additionalProperties": {"type": "string"}}
        assert Parameters(schema).read('{"a": "b"}') == {"a": "b"}
        complaint('{"a": 1}', schema)


def of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


class TestUnnamed:
    """Arguments that the schema does not name are refused at every depth, and the site's own word wins."""

    ORDER: ClassVar = of(id={"type": "string"})
    SHARED: ClassVar[dict[str, Any]] = {
        "$defs": {"o": {"allOf": [of(id={}), of(lines={"type": "array", "items": of(part={})})]}}
    }

    @pytest.mark.parametrize(
        ("schema", "text"),
        [
            (of(order=ORDER), '{"order": {"id": "1", "admin": true}}'),
            (of(orders={"type": "array", "items": ORDER}), '{"orders": [{"id": "1"}, {"id": "2", "admin": true}]}'),
            (of(orders={"prefixItems": [ORDER]}), '{"orders": [{"admin": true}]}'),
            (of(by={"type": "object", "additionalProperties": ORDER}), '{"by": {"x": {"admin": true}}}'),
            (of(order={"anyOf": [ORDER, {"type": "null"}]}), '{"order": {"id": "1", "admin": true}}'),
            ({**of(order={"$ref": "#/$defs/o"}), **SHARED}, '{"order": {"id": "1", "lines": [], "admin": true}}'),
            ({**of(order={"$ref": "#/$defs/o"}), **SHARED}, '{"order": {"lines": [{"part": 1, "admin": true}]}}'),
            (of(next={"$ref": "#"}), '{"next": {"next": {"admin": true}}}'),
            ({**of(order=ORDER), "additionalProperties": True}, '{"any": 1, "order": {"admin": true}}'),
            ({"$schema": "http://json-schema.org/draft-07/schema#", **of(order=ORDER)}, '{"order": {"admin": true}}'),
            ({"type": "object"}, '{"admin": true}'),
        ],
    )
    def test_refused(self, schema: dict[str, Any], text: str) -> None:
        assert "unexpected" in str(complaint(text, schema))

    @pytest.mark.parametrize(
        ("schema", "text"),
        [
            (of(order={**ORDER, "additionalProperties": True}), '{"order": {"id": "1", "more": true}}'),
            (of(order={"allOf": [ORDER, {"additionalProperties": True}]}), '{"order": {"id": "1", "more": true}}'),
            (of(order={"type": "object"}), '{"order": {"more": true}}'),
            ({**of(order={"$ref": "#/$defs/o"}), **SHARED}, '{"order": {"id": "1", "lines": [{"part": 2}]}}'),
            ({**of(a={}), "anyOf": [of(b={}), of(c={})]}, '{"a": 1, "c": {"any": 2}}'),
            (
                of(a={**of(k={}), "if": of(k={"const": 1}), "then": of(m={}), "else": of(n={})}),
                '{"a": {"k": 2, "n": 1}}',
            ),
        ],
    )
    def test_allowed(self, schema: dict[str, Any], text: str) -> None:
        assert schema_problem(schema) is None
        assert Parameters(schema).read(text)


class TestBounds:
    """Each of these once took the event loop a second or more."""

    @pytest.mark.parametrize(
        "pattern", [r"^([a-z]+ ?)+$", r"^(a|a)*$", r"(.*)*(.*)*(.*)*x$", r"^(\w+\s?)*:$", r"^(([a-z])+.)+[A-Z]$"]
    )
    def test_a_pattern_takes_no_time(self, pattern: str) -> None:
        schema = of(a={"type": "string", "pattern": pattern})
        assert schema_problem(schema) is None
        assert "does not match" in str(complaint(f'{{"a": "{"a" * 1900}!"}}', schema))

    @pytest.mark.parametrize(
        "pattern", [r"(?=a*b)a", r"a++b", r"^(?=(a+)+$)b", r"^(a+)+\1$", r"(?!.*x)(a|aa)+$", r"(.*)\1x", r"(?<!b)a*+b"]
    )
    @pytest.mark.parametrize("length", [{}, {"maxLength": 4000}])
    def test_patterns_that_can_be_slow_are_for_short_texts(self, pattern: str, length: dict[str, int]) -> None:
        for schema in (
            {"pattern": pattern, **length},
            {"allOf": [{"pattern": pattern}], **length},
            {"not": {"pattern": pattern}, **length},
        ):
            assert schema_problem(of(a=schema)) is None
            complaint(f'{{"a": "{"a" * 300}x"}}', of(a=schema))
        found = Parameters(of(a={"pattern": r"^((?!x).)*$", **length}))
        assert found.read(json.dumps({"a": "a" * 256})) == {"a": "a" * 256}
        assert "longer than 256" in str(complaint(json.dumps({"a": "a" * 257}), of(a={"pattern": "^((?!x).)*$"})))

    def test_nor_are_names_of_properties_looked_at_with_one(self) -> None:
        assert "look-around" in (schema_problem({"type": "object", "patternProperties": {"(?=a*b)a": {}}}) or "")
        assert schema_problem({"type": "object", "patternProperties": {"^x-[a-z]+$": {}}}) is None

    @pytest.mark.parametrize("text", ["1234\\n", "1234\\r\\n", "\\n1234", "１２３４"])
    def test_a_pattern_means_the_whole_text(self, text: str) -> None:
        complaint(f'{{"a": "{text}"}}', of(a={"type": "string", "pattern": "^[0-9]{4,8}$"}))
        complaint(f'{{"a": "{text}"}}', of(a={"type": "string", "pattern": r"^\d{4,8}$"}))

    @pytest.mark.parametrize(
        ("schema", "value"),
        [
            ({"type": "array"}, [0] * 65),
            ({"type": "array", "uniqueItems": True, "maxItems": 1000}, [[0]] * 700),
            ({"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "number"}]}}, [[]] * 900),
            ({}, [0] * 65),
            ({"type": "string"}, "x" * 2001),
            ({}, "x" * 2001),
            ({"type": "array", "maxItems": 3}, [0] * 4),
        ],
    )
    def test_lists_and_texts_are_bounded(self, schema: dict[str, Any], value: Any) -> None:
        complaint(json.dumps({"a": value}), of(a=schema))

    @pytest.mark.parametrize(
        ("schema", "value"),
        [({"type": "array", "maxItems": 500}, [0] * 500), ({"type": "string", "maxLength": 4000}, "x" * 3000)],
    )
    def test_the_sites_own_bounds_win(self, schema: dict[str, Any], value: Any) -> None:
        assert Parameters(of(a=schema)).read(json.dumps({"a": value})) == {"a": value}

    def test_the_mistake_stands_behind_a_long_value(self) -> None:
        assert "does not match" in str(complaint(f'{{"number": "{"x" * 1900}"}}'))


class TestSchemas:
    def test_good_ones(self) -> None:
        assert schema_problem(SCHEMA) is None
        assert schema_problem({"type": "object"}) is None

    @pytest.mark.parametrize(
        ("schema", "words"),
        [
            ({}, "type object"),
            ({"type": "string"}, "type object"),
            ({"type": "object", "properties": []}, "properties must be a mapping"),
            ({"type": "object", "properties": {"a": {"type": "text"}}}, "properties.a.type: 'text' is not"),
            ({"type": "object", "properties": {"a": {"pattern": "("}}}, "pattern"),
            ({"type": "object", "properties": {"a": {"minimum": "1"}}}, "minimum"),
            ({"type": "object", "properties": {"a": {"const": float("nan")}}}, "JSON does not have"),
            ({"type": "object", "properties": {"a": {"const": b"x"}}}, "JSON does not have"),
            ({"type": "object", "properties": {}, "required": ["a"]}, "requires a, which is not"),
            ({"type": "object", "properties": {"a": {"$ref": "#/$defs/b"}}}, "#/$defs/b"),
            ({"type": "object", "properties": {"a": {"$ref": "https://example.com/x.json"}}}, "https://example.com"),
            ({"type": "object", "properties": {"a": {"$ref": "file:///etc/passwd"}}}, "file:///etc/passwd"),
        ],
    )
    def test_bad_ones(self, schema: dict[str, Any], words: str) -> None:
        assert words in (schema_problem(schema) or "")

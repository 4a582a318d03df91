"""The model's arguments against the tool's schema."""

from typing import Any

import pytest

from ariagent.tools.arguments import Parameters, schema_problem
from ariagent.tools.outcome import Kind, ToolFailure

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
            ('{"number": "\\ud800"}', "not valid JSON"),
            ('{"number": ' + "[" * 8000, "not valid JSON"),
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

"""URL templates: what a template may be, and that no value becomes structure."""

from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from yarl import URL

from ariagent.values import urls
from ariagent.values.outcome import Kind, ToolFailure


class TestTemplates:
    @pytest.mark.parametrize(
        "template",
        [
            "https://api.example.com",
            "https://api.example.com/orders/{number}",
            "http://10.1.2.3:8080/a/{x}/b-{y.z}?q={x}&k=1&{y}=2",
            "https://[2001:db8::1]/x?{q}",
            "https://api.example.com?q={x}",
            "https://api.example.com/a%20b/@me;v=1/{variable.VIP}",
        ],
    )
    def test_good_ones(self, template: str) -> None:
        assert urls.problem(template) is None

    @pytest.mark.parametrize(
        ("template", "words"),
        [
            ("https://{host}/x", "path and in the query only"),
            ("https://{a}.example.com/x", "path and in the query only"),
            ("{scheme}://example.com/x", "path and in the query only"),
            ("https://example.com:{port}/x", "path and in the query only"),
            ("https://example.com{path}", "path and in the query only"),
            ("https://user:pass@example.com/x", "credentials"),
            ("https://{user}@example.com/x", "credentials"),
            ("ftp://example.com/x", "http://"),
            ("example.com/x", "http://"),
            ("https://", "must be a URL"),
            ("https:///x", "must be a URL"),
            ("https://exa mple.com/x", "must be a URL"),
            ("https://example.com\\@evil.com/x", "credentials"),
            ("https://example.com\\.evil.com/x", "must be a URL"),
            ("https://example.com/x\\y", "must be a URL"),
            ("https://bücher.example/x", "must be a URL"),
            ("https://example.com/ü", "must be a URL"),
            ("https://example.com/{}", "must be a URL"),
            ("https://example.com/{a b}", "must be a URL"),
            ("https://example.com/{a", "must be a URL"),
            ("https://example.com/{{a}}", "must be a URL"),
            ("https://example.com/x#y", "fragment"),
            ("https://example.com:99999/x", "port"),
            ("https://example.com:0/x", "port"),
            ("https://example.com/a/../{x}", ".."),
            ("https://example.com/a/%2E%2e/{x}", ".."),
        ],
    )
    def test_bad_ones_and_what_is_wrong(self, template: str, words: str) -> None:
        assert words in (urls.problem(template) or "")

    def test_names_in_their_order(self) -> None:
        assert urls.variables("https://e.com/{b}/{a}?x={b}&{c.d}") == ("b", "a", "c.d")

    def test_the_host(self) -> None:
        assert urls.host("https://[::1]:80/{x}") == "::1"
        assert urls.host("https://API.example.com/{x}") == "api.example.com"

    def test_what_the_query_holds_already(self) -> None:
        assert urls.query_keys("https://e.com/?a=1&b=&c={c}") == {"a", "b", "c"}


class TestFilling:
    def test_values_are_escaped(self) -> None:
        url = urls.fill("https://e.com/o/{n}?q={q}", {"n": "1 ü;?#%", "q": "a&b=c/#?"}, [("x y", True), ("z", 1.5)])
        assert url == "https://e.com/o/1%20%C3%BC%3B%3F%23%25?q=a%26b%3Dc%2F%23%3F&x%20y=true&z=1.5"

    def test_a_query_begins_where_there_is_none(self) -> None:
        assert urls.fill("https://e.com/o", {}, [("a", "1")]) == "https://e.com/o?a=1"
        assert urls.fill("https://e.com", {}) == "https://e.com"
        assert urls.fill("https://e.com?", {}, [("a", "1")]) == "https://e.com?a=1"

    @pytest.mark.parametrize(
        "value",
        [
            *("", ".", "..", "a/b", "../x", "..\\x", "a\x00b", "a\nb", "\ud800", "..;", "..;x=1", ".. "),
            # Characters that a server that decodes twice, or by compatibility, makes a slash or a full stop of.
            *("%2e%2e", "..%2fx", "%252e%252e", "a%5Cb", "x%00", "\uff0e\uff0e", "a\uff0fb", "..\u00ad", "\u200b.."),
        ],
    )
    def test_what_may_not_stand_in_a_path(self, value: str) -> None:
        with pytest.raises(ToolFailure) as caught:
            urls.fill("https://e.com/o/{n}/x", {"n": value})
        assert caught.value.kind == Kind.BAD_ARGUMENTS

    @pytest.mark.parametrize("value", ["50%", "J. Ü. 1/2".replace("/", "\u2044"), "1;2", "...", "a.b"])
    def test_what_may(self, value: str) -> None:
        assert urls.fits_path(value)

    @pytest.mark.parametrize("rest", [".", ".;x", "%2e"])
    def test_two_values_do_not_climb_together(self, rest: str) -> None:
        with pytest.raises(ToolFailure):
            urls.fill("https://e.com/o/{a}{b}/x", {"a": ".", "b": rest})

    def test_a_missing_value(self) -> None:
        with pytest.raises(ToolFailure, match="n is missing"):
            urls.fill("https://e.com/o/{n}", {})

    def test_too_long(self) -> None:
        with pytest.raises(ToolFailure, match="too long"):
            urls.fill("https://e.com/o?n={n}", {"n": "x" * 9000})

    @given(
        in_path=st.text() | st.text(alphabet="./\\%2eE@:?#&=;", max_size=8),
        in_query=st.text() | st.text(alphabet="./\\%&=;#+", max_size=8),
        key=st.text(max_size=8),
        added=st.text(max_size=20),
    )
    @example("..", "", "", "")
    @example("%2e%2e", "&x=1", "x", "1")
    @example("@evil.com", "#", "q", "&")
    @example("x?y#z", "a;b", "&", "=")
    def test_no_value_changes_host_path_or_query(self, in_path: str, in_query: str, key: str, added: str) -> None:
        template = "https://api.example.com/orders/{a}/items?fixed=1&q={b}"
        try:
            url = urls.fill(template, {"a": in_path, "b": in_query}, [(key, added)])
        except ToolFailure:
            return  # refused, as test_what_may_not_stand_in_a_path says
        parts = urlsplit(url)
        assert (parts.scheme, parts.netloc, parts.fragment) == ("https", "api.example.com", "")
        segments = parts.path.split("/")
        assert [segments[1], segments[3], len(segments)] == ["orders", "items", 4]
        # The URL as a proxy that decodes before it routes would see it.
        assert len(unquote(parts.path).split("/")) == 4
        assert unquote(segments[2]) == in_path
        expected = [("fixed", "1"), ("q", in_query), (key, added)]
        assert parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True) == expected
        # The library that sends it reads it in the same way.
        sent = URL(url, encoded=True)
        assert (sent.host, sent.raw_path, sent.raw_query_string) == ("api.example.com", parts.path, parts.query)

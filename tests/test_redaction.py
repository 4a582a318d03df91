"""Secrets do not come out, in whatever form they came in."""

import base64
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ariagent.config import Settings
from ariagent.redaction import HIDDEN, SHORTEST, Redaction, secrets_of

SECRET = 'pa"ss/w+ö rd\\42'


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        quote(SECRET),
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        json.dumps(SECRET)[1:-1],
        json.dumps(SECRET, ensure_ascii=False)[1:-1],
        repr(SECRET)[1:-1],
        base64.b64encode(SECRET.encode()).decode(),
    ],
)
def test_every_form_is_hidden(text: str) -> None:
    assert Redaction([SECRET])(f"it was {text}, they said").rstrip("=").startswith(f"it was {HIDDEN}")


def test_the_rest_stays_as_it_is() -> None:
    assert Redaction(["sekret-one", "sekret-one-two"])("a sekret-one-two b sekret-one c") == "a *** b *** c"


@pytest.mark.parametrize("secret", ['ari-pass"word-1', "fallback key/4", "password=again&again"])
def test_none_of_it_is_left_where_its_writings_begin_alike(secret: str) -> None:
    for written in (secret, json.dumps(secret)[1:-1], quote(secret), quote(secret, safe=""), quote_plus(secret)):
        assert Redaction([secret])(f"refused {written}, they said") == f"refused {HIDDEN}, they said"


def test_a_secret_that_was_cut_off_is_hidden_too() -> None:
    key = "sk-proj-0123456789abcdefghijklmnopqrstuvwxyz"
    redact = Redaction([key])
    assert {redact(f"wrong key: {key[:length]}") for length in range(15, 44)} == {"wrong key: ***"}
    assert redact(f"{key[:20]}, {key[:30]} and {key}!") == "***, *** and ***!"
    assert redact("a key begins with sk-proj-") == "a key begins with sk-proj-"


@pytest.mark.parametrize("secrets", [[], [""], ["x" * (SHORTEST - 1)]])
def test_what_protects_nothing_is_not_looked_for(secrets: list[str]) -> None:
    assert Redaction(secrets)("xxxxxxx and nothing") == "xxxxxxx and nothing"


@given(st.text(min_size=SHORTEST, max_size=40), st.text(max_size=40), st.text(max_size=40))
def test_no_text_around_it_lets_it_out(secret: str, before: str, after: str) -> None:
    assert secret not in Redaction([secret])(before + secret + after).replace(HIDDEN, "") or secret in before + after


def test_all_secrets_of_the_settings_are_found() -> None:
    settings = Settings.model_validate(
        {
            "asterisk": {"user": "u", "password": "s-ari"},
            "ami": {"password": "s-ami"},
            "realtime": {"api_key": "s-key", "headers": {"X-A": "s-header"}},
            "outbound": {"allowed_hosts": ["example.com"]},
            "tools": {
                "look": {
                    "description": "Looks.",
                    "url": "https://example.com/",
                    "headers": {"X-B": "s-tool"},
                    "signature": {"secret": "s-hmac"},
                }
            },
            "mcp_servers": {
                "m": {"url": "https://example.com", "authorization": "s-mcp", "headers": {"X-C": "s-mcph"}}
            },
            "agents": {"default": {"lookup": {"url": "https://example.com/", "headers": {"X-D": "s-lookup"}}}},
            "control": {"tokens": [{"name": "a", "role": "viewer", "token": "s-token-of-sixteen"}]},
        }
    )
    pairs = {base64.b64encode(pair).decode() for pair in (b"u:s-ari", b"ariagent:s-ami")}
    plain = {"s-ari", "s-ami", "s-key", "s-header", "s-tool", "s-hmac", "s-mcp", "s-mcph", "s-lookup"}
    assert set(secrets_of(settings)) == plain | {"s-token-of-sixteen"} | pairs


@pytest.mark.parametrize("scheme", ["Bearer", "Token", "ApiKey", "bearer "])
def test_the_token_of_a_header_is_a_secret_by_itself(scheme: str) -> None:
    assert Redaction([f"{scheme} sk-0123456789"])("you sent sk-0123456789") == "you sent ***"


def test_the_password_of_a_basic_header_is_one_too() -> None:
    header = "Basic " + base64.b64encode(b"site:pass-word-1").decode()
    assert Redaction([header])("user site, password pass-word-1") == "user site, password ***"
    assert Redaction(["Basic no-base64-at-all!"])("no-base64-at-all!") == "***"


def test_texts_in_what_else_there_is() -> None:
    found = {"a": [1, "x sekret-one", ("sekret-one",)], "sekret-one": {"b": None}, "n": 1.5}
    hidden = {"a": [1, "x ***", ("***",)], "***": {"b": None}, "n": 1.5}
    assert Redaction(["sekret-one"]).within(found) == hidden


def test_all_of_many_are_hidden() -> None:
    others = [f"{SECRET}-{number}" for number in range(20)]
    text = "".join(f"{secret} " for secret in (SECRET, *others))
    assert Redaction([SECRET, *others])(text * 50) == f"{HIDDEN} " * 21 * 50

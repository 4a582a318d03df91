"""Users of the control API, as the settings name them."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from ariagent.config import ControlSettings
from ariagent.configfile import load
from ariagent.errors import ConfigurationError

HASH = "ab" * 32


def tokens(*entries: dict[str, str]) -> ControlSettings:
    return ControlSettings.model_validate({"tokens": entries})


def test_hashed_plain_and_from_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("sixteen characters\n")
    monkeypatch.setenv("BENS_TOKEN", "another sixteen characters")
    found = tokens(
        {"name": "anna", "role": "supervisor", "sha256": HASH},
        {"name": "ben", "role": "viewer", "token": "${BENS_TOKEN}"},
        {"name": "carla", "role": "admin", "token": f"file:{tmp_path}/token"},
    ).tokens
    assert [token.token.get_secret_value() if token.token else None for token in found] == [
        None,
        "another sixteen characters",
        "sixteen characters",
    ]
    assert "another" not in repr(found)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"sha256": HASH, "token": "x" * 20}, "needs sha256 or token, and not both"),
        ({}, "needs sha256 or token, and not both"),
        ({"sha256": "x" * 64}, "sha256"),
        ({"sha256": HASH, "role": "boss"}, "role"),
        ({"sha256": HASH, "name": "local"}, "the name local is reserved"),
        ({"sha256": HASH, "name": "model"}, "the name model is reserved"),
        ({"sha256": HASH, "name": "with space"}, "name"),
    ],
)
def test_what_cannot_be(entry: dict[str, str], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        tokens({"name": "anna", "role": "viewer", **entry})


def test_a_token_is_not_told_with_what_is_wrong_with_it(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("control:\n  tokens:\n    - {name: anna, role: viewer, token: hush-hush}\n")
    with pytest.raises(ConfigurationError, match="the token is too short: use at least 16 characters") as caught:
        load(file, {}, serving=True)
    assert "a.yaml:3: control.tokens[0].token: " in str(caught.value)
    assert "hush" not in str(caught.value)


def test_two_with_one_name() -> None:
    with pytest.raises(ValidationError, match="two tokens have the name anna"):
        tokens(*({"name": "anna", "role": "viewer", "sha256": digit * 64} for digit in "ab"))

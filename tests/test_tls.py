"""The verification of peers, and the text of an error."""

import ssl
from pathlib import Path
from typing import Any

import pytest

from ariagent.errors import ConfigurationError
from ariagent.tls import AMI, ASTERISK, MODEL, client_context, failure


def test_the_machines_cas_are_read_once() -> None:
    context = client_context(None, "x")
    assert context is client_context(None, "y")
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_a_ca_file_is_in_place_of_them(authority: Any) -> None:
    context = client_context(authority.file, "x")
    assert context is client_context(authority.file, "x")
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert len(context.get_ca_certs()) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "cannot be read: No such file"), (b"", "holds no certificate"), (b"\xff\x00", "holds no certificate")],
)
def test_a_file_that_is_none(tmp_path: Path, content: bytes | None, said: str) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=f"^asterisk.ca_file: {file} {said}") as caught:
        client_context(file, "asterisk.ca_file")
    assert caught.value.remedy


@pytest.mark.parametrize("peer", [ASTERISK, AMI, MODEL], ids=lambda peer: peer.name)
def test_every_failure_has_a_remedy(peer: Any) -> None:
    refused = ssl.SSLCertVerificationError(1, "x")
    for code in (9, 10, 18, 19, 20, 21, 62, 64):
        refused.verify_code, refused.verify_message = code, "why"
        found = failure(refused, peer, "pbx:8089")
        assert found is not None
        assert "pbx:8089" in found.cause
        assert found.remedy
    wrong = ssl.SSLError(1, "x")
    for reason in ("WRONG_VERSION_NUMBER", "TLSV1_ALERT_PROTOCOL_VERSION", None):
        wrong.reason = reason  # type: ignore[assignment]
        assert failure(wrong, peer, "pbx:8089") is not None
    assert failure(ConnectionResetError(), peer, "pbx:8089") is not None


def test_what_is_not_tls_is_not_its_fault() -> None:
    for error in (ConnectionRefusedError(), TimeoutError(), ValueError()):
        assert failure(error, ASTERISK, "pbx:8089") is None

"""TLS to peers: the verification of their certificates, and the meaning of its errors.

Verification cannot be switched off. For a certificate of an unknown CA the settings name a CA file. For a certificate
with another name they give that name.
"""

import asyncio
import functools
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ariagent.errors import ConfigurationError, why

LOOK_S = 1.0
"""Time limit for finding out whether a port speaks TLS."""
MOST_OF_A_GREETING = 64


@dataclass(frozen=True, slots=True)
class Peer:
    """A peer's name in errors, and the remedy for each problem with TLS."""

    name: str
    use_plain: str
    """Remedy if the port does not speak TLS."""
    trust: str
    """Remedy if the certificate is of an unknown CA."""
    rename: str
    """Remedy if the certificate is for another name."""
    renew: str
    """The certificate to renew, or the Asterisk setting that names it."""
    use_tls: str = ""
    """Remedy if the port speaks TLS, but the connection was made without."""


def _trust(key: str) -> str:
    return f"Set {key}.ca_file to a file with the CA's certificate; a self-signed certificate is its own CA"


def _rename(key: str) -> str:
    return f"Connect to a name that is in the certificate, or set {key}.tls_name to it"


ASTERISK = Peer(
    "Asterisk's HTTP server",
    use_plain="Write http:// in asterisk.url, or use the TLS port (tlsbindaddr in http.conf)",
    use_tls="Write https:// in asterisk.url, or use the plain port (bindport in http.conf)",
    trust=_trust("asterisk"),
    rename=_rename("asterisk"),
    renew="tlscertfile in http.conf",
)
AMI = Peer(
    "Asterisk's manager interface",
    use_plain="Set ami.tls to false, or ami.port to the TLS port (tlsbindaddr in manager.conf)",
    use_tls="Set ami.tls to true, or ami.port to the plain port (port in manager.conf)",
    trust=_trust("ami"),
    rename=_rename("ami"),
    renew="tlscertfile in manager.conf",
)
MODEL = Peer(
    "the model's server",
    use_plain="Write ws:// in realtime.url if that is intended, or use the server's TLS port",
    use_tls="Write wss:// in realtime.url",
    trust=_trust("realtime"),
    rename="Use a host in realtime.url that is in the certificate",
    renew="the server's certificate",
)


@functools.cache
def _context(ca_file: Path | None) -> ssl.SSLContext:
    if ca_file is None:
        return ssl.create_default_context()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cafile=ca_file)
    return context


def client_context(ca_file: Path | None, key: str) -> ssl.SSLContext:
    """The context of connections that verify the peer: against ``ca_file`` alone, or the machine's CAs.

    It is made once for each file: a new one takes 20 ms or more, and no call has audio meanwhile. ``key`` is the
    setting that names the file. Raises ConfigurationError if the file cannot be used.
    """
    try:
        return _context(ca_file)
    except ssl.SSLError:
        cause, remedy = "holds no certificate", "Use a file in PEM format (-----BEGIN CERTIFICATE-----)"
    except OSError as error:
        cause = f"cannot be read: {why(error)}"
        remedy = "Correct the path, or let this user read the file"
    raise ConfigurationError(f"{key}: {ca_file} {cause}", remedy=remedy)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why TLS failed, and what to do."""

    cause: str
    remedy: str


_NO_TLS = (
    *("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "PACKET_LENGTH_TOO_LONG", "UNEXPECTED_MESSAGE"),
    *("RECORD_LAYER_FAILURE", "BAD_RECORD_TYPE"),
)
"""OpenSSL's errors if the answer is not TLS."""
_EXPIRED, _NOT_YET, _OTHER_NAME = (10,), (9,), (62, 63, 64)
"""OpenSSL's verification errors (X509_V_ERR_...)."""


def failure(error: BaseException, peer: Peer, where: str) -> Failure | None:
    """The meaning of ``error`` from an attempt to make a TLS connection with ``peer`` at ``where``. None: it is not
    about TLS. A reset of the connection means that the port probably does not speak TLS.
    """
    found = _inner(error)
    if isinstance(found, ssl.SSLCertVerificationError):
        return _refused_certificate(found, peer, f"the certificate of {peer.name} at {where}")
    if isinstance(found, ssl.SSLError):
        if found.reason in _NO_TLS:
            return Failure(f"{where} does not speak TLS", peer.use_plain)
        return Failure(f"TLS with {peer.name} at {where} failed: {found.reason or found}", f"Check {peer.renew}")
    if isinstance(found, ConnectionResetError | ConnectionAbortedError):
        return Failure(f"{where} closed the connection during the TLS handshake; it may not speak TLS", peer.use_plain)
    return None


def _refused_certificate(error: ssl.SSLCertVerificationError, peer: Peer, which: str) -> Failure:
    if error.verify_code in _EXPIRED:
        return Failure(f"{which} has expired", f"Renew it ({peer.renew})")
    if error.verify_code in _NOT_YET:
        return Failure(f"{which} is not valid yet", f"Check the clocks of both machines, or renew it ({peer.renew})")
    if error.verify_code in _OTHER_NAME:
        return Failure(f"{which} is for another name: {error.verify_message.rstrip('.')}", peer.rename)
    return Failure(f"{which} is not trusted: {error.verify_message}", peer.trust)


def _inner(error: BaseException) -> BaseException:
    """The original error of the system or the TLS library, which HTTP clients wrap in their own."""
    inner = getattr(error, "certificate_error", None) or getattr(error, "os_error", None)
    return _inner(inner) if isinstance(inner, BaseException) and inner is not error else error


async def speaks_tls(host: str, port: int) -> bool:
    """Whether a port answers a TLS handshake, with any certificate. Nothing else is sent."""
    try:
        async with _looking(host, port, ssl=client_context(None, ""), server_hostname=host):
            return True
    except ssl.SSLError as error:
        return isinstance(error, ssl.SSLCertVerificationError) or error.reason not in _NO_TLS
    except (OSError, TimeoutError, ValueError):
        return False


async def greeting(host: str, port: int) -> bytes:
    """The first bytes that a port sends by itself; empty if it waits for the client."""
    with suppress(OSError, TimeoutError, ValueError):
        async with _looking(host, port) as reader:
            return await reader.read(MOST_OF_A_GREETING)
    return b""


@asynccontextmanager
async def _looking(host: str, port: int, **options: Any) -> AsyncIterator[asyncio.StreamReader]:
    """A short connection."""
    async with asyncio.timeout(LOOK_S):
        reader, writer = await asyncio.open_connection(host, port, **options)
        try:
            yield reader
        finally:
            writer.transport.abort()

"""TLS to peers: what their certificate is verified against, and what it means when that fails.

There is no way to do without verification: a certificate that no CA of the machine signed is verified against a CA
file, one for another name against a name that the settings give.
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
"""For finding out what a port speaks."""
MOST_OF_A_GREETING = 64


@dataclass(frozen=True, slots=True)
class Peer:
    """What an error calls a peer, and what is to be done about each thing that may be wrong with TLS to it."""

    name: str
    use_plain: str
    """Its port speaks no TLS."""
    trust: str
    """Its certificate is of an unknown CA."""
    rename: str
    """Its certificate is for another name."""
    renew: str
    """The certificate, or the setting of Asterisk's that names it."""
    use_tls: str = ""
    """Its port speaks TLS, and was spoken to without."""


def _trust(key: str) -> str:
    return f"Name a file with the CA's certificate in {key}.ca_file; a self-signed certificate is its own CA"


def _rename(key: str) -> str:
    return f"Connect to a name that the certificate has, or say that name in {key}.tls_name"


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
    use_plain="Write ws:// in realtime.url if that is meant, or use the server's TLS port",
    use_tls="Write wss:// in realtime.url",
    trust=_trust("realtime"),
    rename="Write a name that the certificate has in realtime.url",
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
    """For connections that verify the other side: against ``ca_file`` alone, or the machine's CAs.

    Made once for the process: a new one takes 20 ms and more, in which no call has audio. ``key`` is the setting that
    names the file. Raises ConfigurationError when it cannot be used.
    """
    try:
        return _context(ca_file)
    except ssl.SSLError:
        cause, remedy = "holds no certificate", "It must hold certificates in PEM form (-----BEGIN CERTIFICATE-----)"
    except OSError as error:
        cause = f"cannot be read: {why(error)}"
        remedy = "Correct the path, or let the user that runs this read the file"
    raise ConfigurationError(f"{key}: {ca_file} {cause}", remedy=remedy)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no connection, and what to do."""

    cause: str
    remedy: str


_NO_TLS = (
    *("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "PACKET_LENGTH_TOO_LONG", "UNEXPECTED_MESSAGE"),
    *("RECORD_LAYER_FAILURE", "BAD_RECORD_TYPE"),
)
"""OpenSSL's reasons when what came back is no TLS."""
_EXPIRED, _NOT_YET, _OTHER_NAME = (10,), (9,), (62, 63, 64)
"""OpenSSL's codes of verification (X509_V_ERR_...)."""


def failure(error: BaseException, peer: Peer, where: str) -> Failure | None:
    """What it means that no TLS connection with ``peer`` at ``where`` could be made; None: TLS is not to blame.

    ``error`` is of an attempt to connect: a connection that is reset in it is taken for one without TLS.
    """
    found = _inner(error)
    if isinstance(found, ssl.SSLCertVerificationError):
        return _refused_certificate(found, peer, f"the certificate of {peer.name} at {where}")
    if isinstance(found, ssl.SSLError):
        if found.reason in _NO_TLS:
            return Failure(f"{where} does not speak TLS", peer.use_plain)
        return Failure(f"no TLS connection with {peer.name} at {where}: {found.reason or found}", f"See {peer.renew}")
    if isinstance(found, ConnectionResetError | ConnectionAbortedError):
        return Failure(f"{where} closed the connection at the TLS handshake; it may not speak TLS", peer.use_plain)
    return None


def _refused_certificate(error: ssl.SSLCertVerificationError, peer: Peer, which: str) -> Failure:
    if error.verify_code in _EXPIRED:
        return Failure(f"{which} has expired", f"Renew it ({peer.renew})")
    if error.verify_code in _NOT_YET:
        return Failure(f"{which} is not valid yet", f"Set the clocks of both machines, or renew it ({peer.renew})")
    if error.verify_code in _OTHER_NAME:
        return Failure(f"{which} is for another name: {error.verify_message.rstrip('.')}", peer.rename)
    return Failure(f"{which} is not trusted: {error.verify_message}", peer.trust)


def _inner(error: BaseException) -> BaseException:
    """The system's or the TLS library's own error: HTTP clients put theirs around it."""
    inner = getattr(error, "certificate_error", None) or getattr(error, "os_error", None)
    return _inner(inner) if isinstance(inner, BaseException) and inner is not error else error


async def speaks_tls(host: str, port: int) -> bool:
    """Whether a port answers the beginning of a TLS handshake, with whatever certificate. Nothing is sent beyond it."""
    try:
        async with _looking(host, port, ssl=client_context(None, ""), server_hostname=host):
            return True
    except ssl.SSLError as error:
        return isinstance(error, ssl.SSLCertVerificationError) or error.reason not in _NO_TLS
    except (OSError, TimeoutError, ValueError):
        return False


async def greeting(host: str, port: int) -> bytes:
    """The beginning of what a port says by itself; nothing where it waits to be spoken to."""
    with suppress(OSError, TimeoutError, ValueError):
        async with _looking(host, port) as reader:
            return await reader.read(MOST_OF_A_GREETING)
    return b""


@asynccontextmanager
async def _looking(host: str, port: int, **options: Any) -> AsyncIterator[asyncio.StreamReader]:
    """A connection for a moment."""
    async with asyncio.timeout(LOOK_S):
        reader, writer = await asyncio.open_connection(host, port, **options)
        try:
            yield reader
        finally:
            writer.transport.abort()

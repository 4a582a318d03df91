"""SIP digest credentials (RFC 7616, RFC 8760): MD5 and SHA-256, quality "auth" or none. I/O-free."""

import hashlib
from dataclasses import dataclass

from lab.sip import Response, SipError, split_list


@dataclass(frozen=True, slots=True)
class Challenge:
    """One WWW-Authenticate or Proxy-Authenticate value."""

    realm: str
    nonce: str
    algorithm: str = "MD5"
    qop: tuple[str, ...] = ()
    opaque: str | None = None
    stale: bool = False

    @classmethod
    def parse(cls, text: str) -> "Challenge":
        """Raises SipError for another scheme than Digest or without realm and nonce."""
        scheme, _, rest = text.strip().partition(" ")
        fields = digest_fields(rest)
        if scheme.lower() != "digest" or "realm" not in fields or "nonce" not in fields:
            raise SipError(f"not a digest challenge: {text[:80]!r}")
        return cls(
            fields["realm"],
            fields["nonce"],
            fields.get("algorithm", "MD5").upper(),
            tuple(part.strip() for part in fields.get("qop", "").split(",") if part.strip()),
            fields.get("opaque"),
            fields.get("stale", "").lower() == "true",
        )

    @property
    def usable(self) -> bool:
        """Whether we can answer it: MD5 or SHA-256, quality "auth" or none."""
        return self.algorithm in _HASHES and (not self.qop or "auth" in self.qop)

    def authorization(self, method: str, uri: str, user: str, password: str, *, cnonce: str, count: int = 1) -> str:
        """The Authorization value for one request. ``count`` is how often this nonce was used, this time included."""
        qop = "auth" if self.qop else ""
        digest = digest_response(self, method, uri, user, password, cnonce=cnonce, count=count)
        parts = [
            f'username="{user}"', f'realm="{self.realm}"', f'nonce="{self.nonce}"', f'uri="{uri}"',
            f'response="{digest}"', f"algorithm={self.algorithm}",
        ]  # fmt: skip
        if self.opaque is not None:
            parts.append(f'opaque="{self.opaque}"')
        if qop:
            parts += [f"qop={qop}", f"nc={count:08x}", f'cnonce="{cnonce}"']
        return "Digest " + ", ".join(parts)


_HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}


def digest_fields(text: str) -> dict[str, str]:
    """``a=1, b="x"`` of a digest header, quotes removed, names in lower case."""
    pairs = (part.partition("=") for part in split_list(text))
    return {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}


def digest_response(
    challenge: Challenge, method: str, uri: str, user: str, password: str, *, cnonce: str, count: int
) -> str:
    """The hexadecimal ``response`` of RFC 7616 section 3.4.1 (without qop: RFC 2069's form, section 3.4.1 there)."""

    def digest(text: str) -> str:
        return _HASHES[challenge.algorithm](text.encode()).hexdigest()

    secret, action = digest(f"{user}:{challenge.realm}:{password}"), digest(f"{method}:{uri}")
    if not challenge.qop:
        return digest(f"{secret}:{challenge.nonce}:{action}")
    return digest(f"{secret}:{challenge.nonce}:{count:08x}:{cnonce}:auth:{action}")


def find_challenge(response: Response) -> tuple[str, Challenge] | None:
    """The first challenge of a 401 or 407 that we can answer, and the name of the header to answer it in."""
    if response.status == 401:
        asked, told = "www-authenticate", "Authorization"
    elif response.status == 407:
        asked, told = "proxy-authenticate", "Proxy-Authorization"
    else:
        return None
    for text in response.headers.all(asked):
        if text[:7].lower() == "digest ":
            challenge = Challenge.parse(text)
            if challenge.usable:
                return told, challenge
    return None

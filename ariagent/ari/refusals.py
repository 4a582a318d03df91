"""CORE: what an HTTP status of Asterisk's REST interface means for an administrator, and what to do about it."""

from ariagent.config import AsteriskSettings

RELOAD = "then run `asterisk -rx 'module reload res_ari.so'`"
DENIALS = (401, 403)
"""Statuses that stay until Asterisk's configuration or ariagent's settings change."""


def denial(status: int, settings: AsteriskSettings, *, writes: bool, server: str = "") -> tuple[str, str]:
    """Cause and remedy of one of ``DENIALS``; ``writes``: the request was to change something; ``server``: who says so,
    if known."""
    cause, remedy = _denial(status, settings, writes=writes)
    if server and not server.startswith("Asterisk"):
        remedy += f". {server} is in between: look at its access rules, too"
    return cause, remedy


def _denial(status: int, settings: AsteriskSettings, *, writes: bool) -> tuple[str, str]:
    url, user = settings.url, settings.user
    if status == 401:
        cause = f"{url} refused user {user} or its password (HTTP 401)"
        return cause, f"Compare asterisk.user and asterisk.password with ari.conf, {RELOAD}"
    if writes:
        cause = f"the ARI user {user} is read-only: {url} refuses to change anything (HTTP 403)"
        return cause, f"Set read_only = no under [{user}] in ari.conf, {RELOAD}"
    cause = f"{url} denies access to user {user} (HTTP 403)"
    return cause, f"Look for permit, deny and acl in ari.conf and in http.conf, {RELOAD}"


def no_ari(what: str, server: str, settings: AsteriskSettings) -> tuple[str, str]:
    """Cause and remedy where the URL leads to no ARI. ``what`` came instead; ``server``: who says so, if known."""
    if server.startswith("Asterisk"):
        cause = f"{settings.url} is Asterisk's HTTP server, but there is no ARI at it ({what})"
        return cause, (
            "Set asterisk.url without /ari, with the prefix of http.conf if there is one. If it is right, ari.conf did "
            "not load: set enabled = yes there, keep one section [general] only, and read Asterisk's log"
        )
    return (
        f"{settings.url} answers, but is no ARI ({what} from {server or 'an unknown program'})",
        "Set asterisk.url to Asterisk's HTTP server (bindaddr and bindport in http.conf), without /ari, or to the path "
        "at which a proxy passes it on",
    )

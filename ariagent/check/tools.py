"""Checks of the site's tools: whether their hosts are allowed and reachable. No request is sent to them."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from ariagent.check import reach
from ariagent.check.report import Result, Say, failed, ok, warning
from ariagent.config import HttpRequestSettings, Settings
from ariagent.configfile import toolcheck
from ariagent.errors import ConfigurationError
from ariagent.tls import Peer, client_context
from ariagent.tools import plugins
from ariagent.values.addresses import address_allowed, host_allowed

LIMIT_S = 8.0
"""Time limit of a DNS query or a connection; a tool's own limit if that is shorter."""


async def check_tools(settings: Settings, say: Say) -> None:
    """Report whether each tool, lookup and MCP server can be reached from here."""
    for name, request in _requests(settings):
        say(await _reachable(name, request, settings))
    for result in _plugins(settings):
        say(result)
    for label, server in settings.mcp_servers.items():
        if any(label in agent.mcp for agent in settings.agents.values()):
            say(judge_mcp(label, server.url))
        else:
            say(
                warning(f"mcp {label}", "no agent uses it", f"Name it in an agent's mcp, or remove mcp_servers.{label}")
            )


def _requests(settings: Settings) -> Iterator[tuple[str, HttpRequestSettings]]:
    used = {name for agent in settings.agents.values() for name in agent.tools}
    for name, tool in settings.tools.items():
        yield (f"tool {name}" if name in used else f"unused tool {name}"), tool
    for name, agent in settings.agents.items():
        if agent.lookup is not None:
            yield f"lookup of {name}", agent.lookup


async def _reachable(name: str, request: HttpRequestSettings, settings: Settings) -> Result:
    parts = urlsplit(request.url)
    host, tls = parts.hostname or "", parts.scheme == "https"
    if not host_allowed(host, settings.outbound.allowed_hosts):
        return failed(
            name, f"{host} is not allowed: ariagent would refuse the request", f"Add {host} to outbound.allowed_hosts"
        )
    limit_s = min(LIMIT_S, max(request.timeout_s, 1.0))
    try:
        addresses = await reach.resolve(host, limit_s)
        allowed = [address for address in addresses if address_allowed(str(address), settings.outbound.private)]
        if not allowed:
            listed = ", ".join(map(str, addresses))
            remedy = "If the address is right, add its network to outbound.private"
            return failed(name, f"{host} is at a private address ({listed}): ariagent would refuse the request", remedy)
        secured = reach.Secured(host, client_context(None, ""), _server(host)) if tls else None
        connected = await reach.connect_any(allowed, parts.port or (443 if tls else 80), secured, limit_s)
    except reach.UnreachableError as error:
        # Calls work without it: the model learns that the tool failed.
        if error.remedy:
            return warning(name, str(error), error.remedy)
        return warning(name, f"{host}: {error}", "Check the tool's url, DNS and firewall")
    if name.startswith("unused"):
        return warning(name, "no agent uses it", "Name it in an agent's tools, or remove it")
    found = f"{host}: {connected} (no request was made)"
    if values := ", ".join(dict.fromkeys(toolcheck.needed(request))):
        found += f"; filled in from the call: {values}"
    if not tls and not allowed[0].is_private:
        return warning(
            name, f"{found}; not encrypted: callers' words and the tool's secrets can be read on the way", "Use https"
        )
    return ok(name, found, connect_ms=round(connected.connect_ms, 1))


def _server(host: str) -> Peer:
    """The server of a tool, as errors name it."""
    return Peer(
        host,
        use_plain="Correct the tool's url: http://, or the server's TLS port",
        trust="Add its CA to this machine's CAs",
        rename="Write the name that the certificate has in the tool's url",
        renew=f"the certificate of {host}",
    )


def _plugins(settings: Settings) -> Iterator[Result]:
    elsewhere = [name for name in settings.tools_of_agents if name not in settings.tools]
    points = plugins.installed(elsewhere)
    for name in elsewhere:
        if name not in points:
            remedy = f"Add it to tools, or install a package with this entry point in the group {plugins.GROUP}"
            yield failed(f"tool {name}", "there is no tool of this name", remedy)
            continue
        try:
            plugins.load(points[name])
        except ConfigurationError as error:
            yield failed(f"tool {name}", str(error), error.remedy)
        else:
            yield ok(f"tool {name}", f"Python entry point {points[name].value} loads")


def judge_mcp(label: str, url: str) -> Result:
    """The result for an MCP server. The model's provider connects to it, not ariagent. No I/O."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    name = f"mcp {label}"
    if parts.scheme != "https":
        return warning(name, f"{url} is not encrypted", "Use https: the model's provider connects over the internet")
    if host == "localhost" or (_is_private(host)):
        return warning(name, f"the model's provider cannot reach {host}", "Give the server a public address")
    return ok(name, f"{host} (the model's provider connects to it; not tested from here)")


def _is_private(host: str) -> bool:
    try:
        return not address_allowed(host, ()) if host.replace(".", "").isdigit() or ":" in host else False
    except ValueError:
        return False

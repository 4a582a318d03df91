"""Checks of the dialplan: whether ariagent's is loaded, its version, and whether its numbers and seats exist."""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote

from ariagent import __version__
from ariagent.call.variables import HUMAN_QUEUE
from ariagent.check.ari import Probe
from ariagent.check.report import INSTALL, Result, Say, failed, ok, skipped, warning
from ariagent.check.site import Site
from ariagent.errors import AriError
from ariagent.pool.owner import APP, NO_SEATS_REMEDY

NAME = "dialplan"
CONTEXT = "ariagent-internal"
"""The context that has every number of the AI."""
SEATS = "seats (01@ariagent-seat)"

_NO_EXTENSION = ("INVALID", "UNKNOWN")
_STATES = "the modules res_ari_device_states and res_stasis_device_state"


@dataclass(frozen=True, slots=True)
class Dialplan:
    """The global variables of the loaded dialplan. Empty: the variable is not set."""

    version: str
    app: str
    """The Stasis application that callers are sent to."""
    numbers: tuple[str, ...]
    """The numbers that reach the AI."""
    ai_queue: str
    human_queue: str
    last_resort: str
    """``CONTEXT,EXTENSION,PRIORITY``"""
    supervised: bool = False
    """Supervisors' phones are allowed, by a list or a PIN."""
    keyed: bool = True
    """The requests of supervisors' phones have the service's key."""
    transfer_data: str = ""
    """Headers of a ``REFER`` that count on every channel."""

    def leads_to(self, app: str) -> bool:
        """Whether the shipped numbers and seats lead to this application, as far as is known."""
        return self.app in ("", app)

    @classmethod
    async def read(cls, read: Callable[[str], Awaitable[str]]) -> Self:
        """``read`` returns the value of a global variable, or ""."""
        return cls(
            version=await read("ARIAGENT_DIALPLAN"),
            app=await read(APP),
            numbers=tuple((await read("ARIAGENT_NUMBERS")).split()),
            ai_queue=await read("ARIAGENT_AI_QUEUE"),
            human_queue=await read(HUMAN_QUEUE),
            last_resort=await read("ARIAGENT_LAST_RESORT"),
            supervised=bool(await read("ARIAGENT_SUPERVISORS") or await read("ARIAGENT_SUPERVISOR_PIN")),
            keyed=await read("ARIAGENT_SUPERVISOR_KEYED") == "yes",
            transfer_data=await read("GET_TRANSFERRER_DATA"),
        )


async def check_dialplan(site: Site, say: Say) -> None:
    """Whether the AI's numbers and seats exist. The device state of a Local channel shows it; nothing is dialled."""

    async def read(name: str) -> str:
        answer = await site.probe.ask("GET", "asterisk/variable", variable=name)
        value = answer.body.get("value") if isinstance(answer.body, dict) else None
        return value if isinstance(value, str) else ""

    try:
        dialplan = await Dialplan.read(read)
        # 01@ariagent-seat itself exists only while the AI takes calls.
        ways = {"01@ariagent-seat-call": SEATS} | {f"{number}@{CONTEXT}": "" for number in dialplan.numbers}
        there = [name or place for place, name in ways.items() if await _exists(place, site.probe)]
        second = await _second(dialplan, site)
    except AriError as error:
        say(failed(NAME, str(error), error.remedy))
        return
    except LookupError:
        say(skipped(NAME, _STATES))
        return
    for result in judge_dialplan(dialplan, there, [name or place for place, name in ways.items()]):
        say(result)
    for result in judge_safety(dialplan):
        say(result)
    if there and second is not None:
        say(second)


async def _second(dialplan: Dialplan, site: Site) -> Result | None:
    """The result for a service with another application than the dialplan's; None for the dialplan's own. Raises
    AriError, and LookupError as ``_exists``.
    """
    app = site.settings.asterisk.app
    if dialplan.leads_to(app):
        return None
    own_seats = await _exists(f"01@ariagent-{app}-seat-NOT_INUSE", site.probe)
    other = await site.probe.ask("GET", f"applications/{quote(dialplan.app, safe='')}")
    return judge_app(dialplan.app, app, own_seats=own_seats, served=other.status == 200)


async def check_extensions(site: Site, say: Say) -> None:
    """Whether the extensions exist that callers may be transferred to."""
    name = "destinations"
    for destination, place in site.settings.destinations.items():
        if place.extension is None:
            continue
        try:
            exists = await _exists(f"{place.extension}@{place.context}", site.probe)
        except AriError as error:
            say(failed(name, str(error), error.remedy))
            return
        except LookupError:
            say(skipped(name, _STATES))
            return
        say(judge_extension(destination, place.extension, place.context, exists=exists))


async def _exists(place: str, probe: Probe) -> bool:
    """Whether an extension exists. Raises AriError, and LookupError if Asterisk does not report it."""
    answer = await probe.ask("GET", f"deviceStates/{quote(f'Local/{place}', safe='')}")
    state = answer.body.get("state") if isinstance(answer.body, dict) else None
    if answer.status != 200 or not isinstance(state, str):
        raise LookupError(place)
    return state not in _NO_EXTENSION


def judge_dialplan(dialplan: Dialplan, there: Collection[str], wanted: Collection[str]) -> list[Result]:
    """``wanted``: extensions for incoming calls; ``there``: those of them that exist. No I/O."""
    if not there:
        found = f"no call can come in: Asterisk's dialplan has no {', '.join(wanted)}"
        return [failed(NAME, found, INSTALL)]
    about = judge_version(dialplan.version)
    results = [ok(NAME, f"{about.found}; it has {', '.join(there)}") if not about.remedy else about]
    if missing := [place for place in wanted if place not in there]:
        results.append(warning(NAME, f"missing: {', '.join(missing)}", f"{INSTALL}, unless that is intended"))
    return results


def judge_safety(dialplan: Dialplan) -> list[Result]:
    """Whether the service can tell its own dialplan's events and human agents' transfers from others'. No I/O."""
    results = []
    if dialplan.supervised and not dialplan.keyed:
        found = (
            "supervisors' phones get no answer: the requests of this dialplan have no key, so the service ignores them"
        )
        results.append(warning(NAME, found, INSTALL))
    if dialplan.transfer_data:
        found = (
            "GET_TRANSFERRER_DATA is a global variable: a caller who sends a REFER speaks to the AI as a human agent"
        )
        remedy = "Remove it from [globals]; docs/transfers-to-ai.md#let-the-reason-through says where to set it"
        results.append(warning(NAME, found, remedy))
    return results


def judge_version(version: str) -> Result:
    """Compares the dialplan's version with this package's. No I/O."""
    if version == __version__:
        return ok(NAME, f"version {version}, as the package")
    found = f"it has version {version}" if version else "its version is unknown"
    remedy = "Run `ariagent install`, which shows the changes, then `ariagent install --apply`"
    return warning(NAME, f"{found}; the package has {__version__}", remedy)


def judge_app(dialplan: str, settings: str, *, own_seats: bool, served: bool) -> Result:
    """The dialplan calls another application than ``asterisk.app``. ``own_seats``: there is a context of seats for
    ``asterisk.app``; ``served``: a service runs as the dialplan's. No I/O.
    """
    if own_seats:
        return ok(NAME, f"it has the seats ariagent-{settings}-seat beside those of the application {dialplan}")
    found = f"it sends callers to the application {dialplan}, but asterisk.app is {settings}"
    if served:
        found += f", and another service serves {dialplan}: only extensions that name {settings} reach this one"
        return warning(NAME, found, NO_SEATS_REMEDY)
    remedy = f"Set asterisk.app to {dialplan}, or run `ariagent install --app {settings} --apply`"
    return failed(NAME, f"{found}: no call reaches the service", remedy)


def judge_extension(name: str, extension: str, context: str, *, exists: bool) -> Result:
    """The result for a destination that is an extension. No I/O."""
    if exists:
        return ok("destinations", f"{name}: {extension}@{context} exists")
    found = f"{name}: there is no extension {extension} in the context {context}"
    return failed(
        "destinations", found, f"Set destinations.{name}.context to the context that has it, or correct extension"
    )

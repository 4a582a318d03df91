"""The order of the layers: cores do no I/O, peers know neither the call nor each other."""

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

import ariagent
from tests.parsing import parsed

ROOT = Path(ariagent.__file__).parent

CORE = (
    "ariagent.agents.briefing",
    "ariagent.agents.choose",
    "ariagent.values.languages",
    "ariagent.values.placeholders",
    "ariagent.audio.clips",
    "ariagent.audio.format",
    "ariagent.audio.g711",
    "ariagent.audio.pacer",
    "ariagent.audio.peaks",
    "ariagent.audio.playout",
    "ariagent.audio.rates",
    "ariagent.service.lag",
    "ariagent.audio.resample",
    "ariagent.audio.waiting_tone",
    "ariagent.audio.tones",
    "ariagent.audio.uplink",
    "ariagent.service.health",
    "ariagent.hosts",
    "ariagent.hours",
    "ariagent.complaints",
    "ariagent.cached",
    "ariagent.lograte",
    "ariagent.localtime",
    "ariagent.redaction",
    "ariagent.release",
    "ariagent.secret",
    "ariagent.configfile.yamlmistakes",
    "ariagent.reminder",
    "ariagent.audiosocket.frames",
    "ariagent.audiosocket.intake",
    "ariagent.audiosocket.unidentified",
    "ariagent.ami.events",
    "ariagent.ami.protocol",
    "ariagent.ami.runs",
    "ariagent.ari.events",
    "ariagent.ari.refusals",
    "ariagent.realtime.out_of_band",
    "ariagent.realtime.bills",
    "ariagent.realtime.budget",
    "ariagent.realtime.decoding",
    "ariagent.realtime.events",
    "ariagent.realtime.formats",
    "ariagent.realtime.frames",
    "ariagent.realtime.gate",
    "ariagent.realtime.lifetimes",
    "ariagent.realtime.mcp",
    "ariagent.realtime.profile",
    "ariagent.realtime.recovery",
    "ariagent.realtime.responses",
    "ariagent.realtime.session",
    "ariagent.realtime.upgrade",
    "ariagent.realtime.words",
    "ariagent.call.admission",
    "ariagent.call.commands",
    "ariagent.call.far_end",
    "ariagent.call.events",
    "ariagent.call.machine",
    "ariagent.call.presentation",
    "ariagent.phrases.file",
    "ariagent.dialogue.builtin_tools",
    "ariagent.dialogue.caller_turn",
    "ariagent.dialogue.conversation",
    "ariagent.dialogue.destinations",
    "ariagent.dialogue.dialogue",
    "ariagent.dialogue.digits",
    "ariagent.dialogue.effects",
    "ariagent.dialogue.events",
    "ariagent.dialogue.handoff",
    "ariagent.dialogue.held_answer",
    "ariagent.dialogue.history",
    "ariagent.dialogue.hold_request",
    "ariagent.dialogue.interruption",
    "ariagent.dialogue.introduction",
    "ariagent.dialogue.keypad",
    "ariagent.dialogue.memory",
    "ariagent.dialogue.notes",
    "ariagent.dialogue.opening",
    "ariagent.dialogue.policy",
    "ariagent.dialogue.provider_tools",
    "ariagent.call.takeover",
    "ariagent.dialogue.role",
    "ariagent.dialogue.silence",
    "ariagent.dialogue.spoken_time",
    "ariagent.dialogue.tool_calls",
    "ariagent.dialogue.tool_rounds",
    "ariagent.dialogue.turns",
    "ariagent.check.discretion",
    "ariagent.check.report",
    "ariagent.check.settings",
    "ariagent.check.versions",
    "ariagent.control.auth",
    "ariagent.control.phonekey",
    "ariagent.control.openapi",
    "ariagent.control.routes",
    "ariagent.control.schemas",
    "ariagent.pool.queues",
    "ariagent.pool.seats",
    "ariagent.records.cost",
    "ariagent.records.entries",
    "ariagent.records.model",
    "ariagent.records.page",
    "ariagent.records.reconstruction",
    "ariagent.records.strips",
    "ariagent.records.style",
    "ariagent.records.timeline",
    "ariagent.records.views",
    "ariagent.rescue.stranded",
    "ariagent.values.addresses",
    "ariagent.tools.answer",
    "ariagent.values.arguments",
    "ariagent.values.binding",
    "ariagent.tools.mcp",
    "ariagent.values.outcome",
    "ariagent.tools.request",
    "ariagent.values.schema",
    "ariagent.values.urls",
    "ariagent.tools.turns",
    "ariagent.caller.answerer",
    "ariagent.caller.expectations",
    "ariagent.caller.words",
    "ariagent.rehearsal.judge",
    "ariagent.text",
    "ariagent.turns.features",
    "ariagent.turns.waiting",
    "ariagent.sandbox.accepted",
    "ariagent.sandbox.beta",
    "ariagent.sandbox.catalogue",
    "ariagent.sandbox.items",
    "ariagent.sandbox.known",
    "ariagent.sandbox.languages",
    "ariagent.sandbox.line",
    "ariagent.sandbox.mcp",
    "ariagent.sandbox.notes",
    "ariagent.sandbox.responses",
    "ariagent.sandbox.responding",
    "ariagent.sandbox.schema",
    "ariagent.sandbox.session",
    "ariagent.sandbox.settings",
    "ariagent.sandbox.turns",
    "ariagent.sandbox.usage",
    "ariagent.sandbox.vad",
)
"""Modules without I/O and clock."""

OUTSIDE = {
    "asyncio",
    "concurrent",
    "datetime",
    "http",
    "multiprocessing",
    "queue",
    "random",
    "sched",
    "secrets",
    "select",
    "selectors",
    "signal",
    "socket",
    "ssl",
    "subprocess",
    "threading",
    "time",
    "aioari",
    "aiohttp",
    "prometheus_client",
    "uvloop",
    "websockets",
}
"""Modules that reach out of the process, wait, or tell the time."""

CALENDARS = ("ariagent.hours", "ariagent.localtime")
"""May reckon with dates; what time it is they must be told."""

FILES = {"fileinput", "glob", "io", "os", "pathlib", "shutil", "tempfile"}
"""Files and the environment: not for a core's own code; the settings' types, which it may use, read theirs."""

PEERS = ("audiosocket", "ari", "ami", "realtime")


@functools.cache
def modules() -> tuple[str, ...]:
    paths = [path.relative_to(ROOT.parent).with_suffix("").parts for path in sorted(ROOT.rglob("*.py"))]
    return tuple(".".join(parts[:-1] if parts[-1] == "__init__" else parts) for parts in paths)


@functools.cache
def source(module: str) -> ast.Module:
    path = ROOT.parent.joinpath(*module.split("."))
    return parsed((path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text())


@functools.cache
def imports(module: str) -> frozenset[str]:
    """Full names of what ``module`` imports, wherever in it, and of what it imports from there if that is a module."""
    known = set(modules())
    found: set[str] = set()
    for node in ast.walk(source(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            assert node.module is not None
            found.add(node.module)
            found |= {full for alias in node.names if (full := f"{node.module}.{alias.name}") in known}
    return frozenset(found)


@functools.cache
def closure(module: str) -> frozenset[str]:
    """``module`` and everything of ours that it leads to."""
    seen: set[str] = set()
    todo = [module]
    while todo:
        here = todo.pop()
        if here not in seen:
            seen.add(here)
            todo += [name for name in imports(here) if name.startswith("ariagent.")]
    return frozenset(seen)


def outside(module: str) -> set[str]:
    """By which names ``module`` reaches out of the process or tells the time; through other modules too."""
    tops = {(user, name.split(".")[0]) for user in closure(module) for name in imports(user)}
    allowed = {(each, "datetime") for each in CALENDARS}
    found = {f"{top} in {user}" for user, top in tops if top in OUTSIDE and (user, top) not in allowed}
    found |= {top for user, top in tops if user == module and top in FILES}
    called = {
        node.func.id
        for node in ast.walk(source(module))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    return found | (called & {"open", "input", "__import__"})


def test_cores_use_nothing_that_does_io_or_tells_time() -> None:
    assert {module: found for module in CORE if (found := outside(module))} == {}


def test_what_reaches_out_is_found() -> None:
    assert {"asyncio in ariagent.ari.client", "ssl in ariagent.tls"} <= outside("ariagent.ari.client")
    assert {"os", "pathlib"} <= outside("ariagent.privatefile")


def test_the_calendar_is_told_what_time_it_is() -> None:
    for calendar in CALENDARS:
        asked = {node.attr for node in ast.walk(source(calendar)) if isinstance(node, ast.Attribute)}
        assert asked & {"now", "today", "utcnow"} == set()
        assert "fromtimestamp" in asked


def test_the_call_path_without_settings_loads_no_event_loop() -> None:
    """In a fresh interpreter, third parties included (pydantic, behind the settings, loads asyncio itself)."""
    aside = (".sandbox.", ".control.", ".configfile.")
    settings_free = [
        name for name in CORE if "ariagent.config" not in closure(name) and not any(part in name for part in aside)
    ]
    assert "ariagent.call.machine" in settings_free
    assert "ariagent.audio.playout" in settings_free
    program = f"import sys, {', '.join(settings_free)}; print(' '.join(sys.modules))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert set(run.stdout.split()) & {"asyncio", "socket", "ssl", "selectors", "aiohttp", "websockets"} == set()


def package(module: str) -> str:
    """The package of ``module`` below ``ariagent``. A module that lies there itself counts as a package."""
    return ".".join(module.split(".")[:2])


def in_cycles(uses: dict[str, set[str]]) -> dict[str, set[str]]:
    """Packages in a cycle, or between two packages of a cycle."""

    def pruned(graph: dict[str, set[str]]) -> dict[str, set[str]]:
        while ends := {name for name, used in graph.items() if not used & graph.keys()}:
            graph = {name: used for name, used in graph.items() if name not in ends}
        return graph

    # First goes what leads to no cycle, then what no cycle leads to.
    leading = pruned(uses)
    users = {name: {user for user, used in leading.items() if name in used} for name in leading}
    cyclic = pruned(users).keys()
    return {name: leading[name] & cyclic for name in cyclic}


def test_cycles_are_found() -> None:
    uses = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": {"e"}, "e": set()}
    assert in_cycles(uses) == {"b": {"c"}, "c": {"b"}}


def test_packages_have_no_cycles() -> None:
    """Imports inside functions count, and those that serve types only."""
    known = set(modules()) - {"ariagent"}
    uses: dict[str, set[str]] = {package(module): set() for module in known}
    for module in known:
        uses[package(module)] |= {package(name) for name in imports(module) if name in known} - {package(module)}
    assert {"ariagent.call", "ariagent.realtime", "ariagent.metrics"} <= uses["ariagent.service"]
    assert in_cycles(uses) == {}


@pytest.mark.parametrize("peer", PEERS)
def test_a_peer_knows_neither_the_call_nor_another_peer(peer: str) -> None:
    others = ("call", "dialogue", "service", "cli", "metrics", "pool", "records", "control", "sandbox", *PEERS)
    foreign = tuple(f"ariagent.{other}" for other in others if other != peer)
    used = {
        (module, name)
        for module in modules()
        if module.startswith(f"ariagent.{peer}.")
        for name in imports(module)
        if name.startswith(foreign)
    }
    assert used == set()


EXTRAS = ("ariagent.rehearsal", "ariagent.sandbox")
"""Each comes to work with the extra of its name."""
CALLER = ("ariagent.caller", "ariagent.synthesis")
"""The synthetic caller, which every installation has."""
COMMANDS = "ariagent.cli."
"""The command line: nobody needs it."""
BESIDE = ("lab", "tests")
"""Folders that only a checkout has, beside the package."""


def beside(module: str) -> set[str]:
    """Names of what lies beside the package and ``module`` imports, or starts as a program."""
    found = {name for name in imports(module) if name.split(".")[0] in BESIDE}
    texts = [node.value for node in ast.walk(source(module)) if isinstance(node, ast.Constant)]
    return found | {text for text in texts if isinstance(text, str) and re.match(r"(ariagent\.)?lab\.\w+$", text)}


def test_the_package_needs_nothing_that_lies_beside_it() -> None:
    assert {module: found for module in modules() if (found := beside(module))} == {}


def loads_with(module: str) -> set[str]:
    """The modules loaded with ``module``: its imports outside functions, but those that serve types only."""
    found: set[str] = set()
    todo: list[ast.AST] = [source(module)]
    while todo:
        node = todo.pop()
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                continue
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                todo += node.orelse
                continue
            case ast.Import(names=names):
                found |= {alias.name for alias in names}
            case ast.ImportFrom(module=str(origin), names=names):
                found |= {origin, *(f"{origin}.{alias.name}" for alias in names)}
        todo += ast.iter_child_nodes(node)
    return found


def users(names: tuple[str, ...], found: Callable[[str], Iterable[str]]) -> dict[str, set[str]]:
    """Modules in which names that begin so are found, and these names; but the modules that are called so."""
    others = [module for module in modules() if not module.startswith(names)]
    return {module: used for module in others if (used := {name for name in found(module) if name.startswith(names)})}


def test_only_a_command_needs_an_extra_and_only_while_it_runs() -> None:
    importing = users(EXTRAS, imports)
    assert importing
    assert [module for module in importing if not module.startswith(COMMANDS)] == []
    assert users(EXTRAS, loads_with) == {}


def test_imports_inside_functions_are_not_loaded_with_a_module() -> None:
    assert "ariagent.rehearsal.rehearse" in imports("ariagent.cli.rehearsal") - loads_with("ariagent.cli.rehearsal")
    assert "ariagent.configfile" in loads_with("ariagent.cli.rehearsal")
    assert "ariagent.sandbox.session" in loads_with("ariagent.sandbox.record")


def test_only_the_command_line_knows_the_synthetic_caller() -> None:
    importing = users(CALLER, imports)
    assert importing
    assert [module for module in importing if not module.startswith((COMMANDS, *EXTRAS))] == []


def beyond(package: str, known: tuple[str, ...]) -> dict[str, set[str]]:
    """Modules of ``package`` that import more of ours than what they may know."""
    inside = [module for module in modules() if module.startswith(f"{package}.")]
    assert inside
    ours = {module: {name for name in imports(module) if name.startswith("ariagent.")} for module in inside}
    return {module: found for module in inside if (found := {n for n in ours[module] if not n.startswith(known)})}


def test_what_speaks_knows_nobody() -> None:
    assert beyond("ariagent.synthesis", ("ariagent.synthesis", "ariagent.errors")) == {}


def test_only_the_realtime_peer_knows_the_wires_event_names() -> None:
    wire = ("input_audio_buffer.", "response.output_audio", "conversation.item.", "session.update")
    found = {
        module
        for module in modules()
        for node in ast.walk(source(module))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(wire)
    }
    assert found
    assert {user.split(".")[1] for user in found} <= {"realtime", "sandbox"}


def test_audio_is_a_foundation() -> None:
    assert beyond("ariagent.audio", ("ariagent.audio.", "ariagent.errors", "ariagent.release")) == {}


def test_the_end_of_turn_judge_knows_no_call() -> None:
    known = ("ariagent.turns", "ariagent.audio.", "ariagent.errors", "ariagent.extras")
    assert beyond("ariagent.turns", known) == {}

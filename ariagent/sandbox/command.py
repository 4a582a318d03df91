"""``ariagent sandbox``: run the local Realtime server until it is told to stop."""

import asyncio
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ariagent import logs
from ariagent.errors import AriagentError, ConfigurationError
from ariagent.loop import run_async
from ariagent.sandbox.faults import FAULTS, Faults
from ariagent.sandbox.known import readable
from ariagent.sandbox.options import DEFAULT_SCENARIO, DETECTORS, SandboxOptions
from ariagent.sandbox.server import SandboxServer
from ariagent.sandbox.settings import MODELS

STAND_IN = (
    "The sandbox is a stand-in: it follows a scenario, "
    "and its recogniser (pocketsphinx) knows that scenario's phrases only."
)

_FAULT_HELP = "Faults, as NAME[:VALUE][@RESPONSE], separated by commas. " + " ".join(
    f"[bold]{name}[/bold]: {text}." for name, text in FAULTS.items()
)


def sandbox(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one and prints it.")] = 0,
    scenario: Annotated[
        Path, typer.Option(help="Scenario: the model's answers (YAML).", show_default="a bicycle repair shop")
    ] = DEFAULT_SCENARIO,
    think_ms: Annotated[
        float,
        typer.Option(min=0, help="Milliseconds from the end of the caller's turn to the first audio of the answer."),
    ] = 250,
    network_ms: Annotated[float, typer.Option(min=0, help="Network delay of every message, one way, in ms.")] = 0,
    generation_speed: Annotated[
        float, typer.Option(min=0, help="How many times faster than real time the sandbox sends audio; 0: all at once.")
    ] = 6.0,
    detector: Annotated[
        str,
        typer.Option(
            help="Turn detection: [bold]silero[/bold], [bold]energy[/bold] (plain loudness), [bold]reflex[/bold] "
            "(answers the first sound with a tone, for measurements) or [bold]none[/bold]."
        ),
    ] = "silero",
    recogniser: Annotated[bool, typer.Option(help="Recognise what the caller says.")] = True,
    transcription_ms: Annotated[
        float, typer.Option(min=0, help="Milliseconds from recognition to the transcript.")
    ] = 150,
    voice: Annotated[
        str,
        typer.Option(
            help="A flite voice (rms, slt, awb, kal, kal16), or tone. Empty: it depends on the session's voice."
        ),
    ] = "rms",
    session_seconds: Annotated[float, typer.Option(min=1, help="Seconds after which a session expires.")] = 3600,
    ping_seconds: Annotated[float, typer.Option(min=0, help="Seconds between two pings; 0: no pings.")] = 20,
    api_key: Annotated[
        list[str] | None,
        typer.Option(help="A key to accept; may be repeated. Default: every key that does not begin with bad."),
    ] = None,
    model: Annotated[list[str] | None, typer.Option(help="A model to offer; may be repeated.")] = None,
    fault: Annotated[str, typer.Option(help=_FAULT_HELP)] = "",
    clamp_truncation: Annotated[
        bool,
        typer.Option(
            help="If a truncation is past the end of the audio: refuse it, and truncate at the end a moment later."
        ),
    ] = True,
    late_deltas: Annotated[
        int, typer.Option(min=0, help="Number of audio deltas that still follow an interruption.")
    ] = 0,
    reflex_ms: Annotated[float, typer.Option(min=1, help="Length of the reflex detector's tone, in ms.")] = 400,
    reflex_hz: Annotated[float, typer.Option(min=50, help="Frequency of the reflex detector's tone, in Hz.")] = 1000,
    idle_timeout_min_ms: Annotated[
        int, typer.Option(min=1, help="The smallest idle_timeout_ms that the sandbox accepts.")
    ] = 5000,
    paraphrase: Annotated[
        int, typer.Option(min=0, help="How many times to answer `Say exactly: ...` with other words than requested.")
    ] = 0,
    billed: Annotated[
        bool,
        typer.Option("--billed", help="Report usage as a real server does. Without this option calls cost nothing."),
    ] = False,
    print_conversations: Annotated[
        bool,
        typer.Option(
            "--print-conversations",
            help="For each response, print the conversation that a model would know at that moment.",
        ),
    ] = False,
    fetch: Annotated[
        bool, typer.Option("--fetch", help="Fetch flite (and espeak-ng for Spanish) if they are missing; needs apt.")
    ] = False,
    cache_dir: Annotated[
        Path | None, typer.Option(help="Folder that keeps synthesised speech for the next run.")
    ] = None,
    prewarm: Annotated[bool, typer.Option(help="Synthesise the scenario's speech at the start.")] = True,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
) -> None:
    """Run a local Realtime (GA) server to develop and test against.

    It speaks the protocol of the OpenAI Realtime API (ws, not wss), and takes any number of sessions. It contains no
    language model: it follows a scenario, and its recogniser knows only the scenario's phrases.

    docs/sandbox.md explains scenarios, docs/sandbox-faults.md all faults.

    GET /sandbox/conversations shows the conversation behind each of the latest responses (JSON).

    To set options for one connection, add them to its URL: [bold]?fault=NAME[/bold],
    [bold]?sandbox_think_ms=50[/bold].
    """
    logs.configure(log_level)
    try:
        if detector not in DETECTORS:
            raise ConfigurationError(f"no such detector: {detector}", remedy=f"Known: {', '.join(DETECTORS)}")
        options = SandboxOptions(
            host=host,
            port=port,
            scenario=scenario,
            think_ms=think_ms,
            network_ms=network_ms,
            generation_speed=generation_speed,
            detector=DETECTORS[DETECTORS.index(detector)],
            recogniser=recogniser,
            transcription_ms=transcription_ms,
            voice=voice,
            session_seconds=session_seconds,
            ping_seconds=ping_seconds,
            api_keys=tuple(api_key or ()),
            models=tuple(model or MODELS),
            faults=Faults.parse(fault),
            clamp_truncation=clamp_truncation,
            late_deltas=late_deltas,
            reflex_ms=reflex_ms,
            reflex_hz=reflex_hz,
            idle_timeout_min_ms=idle_timeout_min_ms,
            paraphrase=paraphrase,
            billed=billed,
            fetch=fetch,
            cache_dir=cache_dir,
            prewarm=prewarm,
        )
        run_async(_run(options, print_conversations=print_conversations))
    except ConfigurationError as error:
        typer.echo(error.line, err=True)
        raise typer.Exit(2) from None
    except AriagentError as error:
        typer.echo(error.line, err=True)
        raise typer.Exit(1) from None


def _print(conversation: dict[str, Any]) -> None:
    typer.echo(readable(conversation))
    sys.stdout.flush()


async def _run(options: SandboxOptions, *, print_conversations: bool = False) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    made_from = _print if print_conversations else None
    async with SandboxServer(options, keep_sessions=20, made_from=made_from) as server:
        typer.echo(STAND_IN, err=True)
        typer.echo(f"sandbox listening on {server.url}")
        sys.stdout.flush()
        await stop.wait()

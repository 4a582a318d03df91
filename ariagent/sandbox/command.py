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
        float, typer.Option(min=0, help="From the end of the caller's turn to the first audio, in ms.")
    ] = 250,
    network_ms: Annotated[float, typer.Option(min=0, help="Network delay of every message, one way, in ms.")] = 0,
    generation_speed: Annotated[
        float, typer.Option(min=0, help="How many times faster than real time audio is made; 0: all at once.")
    ] = 6.0,
    detector: Annotated[
        str,
        typer.Option(
            help="Turn detection: [bold]silero[/bold], [bold]energy[/bold] (plain loudness), [bold]reflex[/bold] "
            "(answers the first sound with a tone, for benches) or [bold]none[/bold]."
        ),
    ] = "silero",
    recogniser: Annotated[bool, typer.Option(help="Recognise what the caller says.")] = True,
    transcription_ms: Annotated[float, typer.Option(min=0, help="From recognition to the transcript, in ms.")] = 150,
    voice: Annotated[
        str, typer.Option(help="flite voice (rms, slt, awb, kal, kal16), tone, or '' to map the API's voices.")
    ] = "rms",
    session_seconds: Annotated[float, typer.Option(min=1, help="Longest life of a session.")] = 3600,
    ping_seconds: Annotated[float, typer.Option(min=0, help="Between two pings; 0: none.")] = 20,
    api_key: Annotated[
        list[str] | None, typer.Option(help="A key to accept (repeatable); without any, all but those like bad...")
    ] = None,
    model: Annotated[list[str] | None, typer.Option(help="A model to offer (repeatable).")] = None,
    fault: Annotated[str, typer.Option(help=_FAULT_HELP)] = "",
    clamp_truncation: Annotated[
        bool, typer.Option(help="Do a refused truncate past the end as far as possible, a moment later.")
    ] = True,
    late_deltas: Annotated[int, typer.Option(min=0, help="Deltas that still follow an interruption.")] = 0,
    reflex_ms: Annotated[float, typer.Option(min=1, help="Length of the reflex detector's tone, in ms.")] = 400,
    reflex_hz: Annotated[float, typer.Option(min=50, help="Frequency of the reflex detector's tone, in Hz.")] = 1000,
    idle_timeout_min_ms: Annotated[
        int, typer.Option(min=1, help="The smallest idle_timeout_ms that is accepted.")
    ] = 5000,
    paraphrase: Annotated[
        int, typer.Option(min=0, help="How often to say other words than the requested ones (Say exactly: ...).")
    ] = 0,
    billed: Annotated[
        bool, typer.Option("--billed", help="Report usage as a real server does; without it calls cost nothing.")
    ] = False,
    print_conversations: Annotated[
        bool,
        typer.Option(
            "--print-conversations",
            help="Print the conversation that each response is made from: what the model knows at that moment.",
        ),
    ] = False,
    fetch: Annotated[
        bool, typer.Option("--fetch", help="Fetch flite (and espeak-ng for Spanish) if they are missing; needs apt.")
    ] = False,
    cache_dir: Annotated[Path | None, typer.Option(help="Keep synthesised speech here between runs.")] = None,
    prewarm: Annotated[bool, typer.Option(help="Make the scenario's speech while starting.")] = True,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
) -> None:
    """Run a local Realtime (GA) server to develop and test against.

    It speaks the protocol of the OpenAI Realtime API over ws, holds any number of sessions, and follows a scenario.
    It is a stand-in: there is no language model, and its recogniser knows the scenario's phrases only.

    How a scenario is written: docs/sandbox.md. All faults: docs/sandbox-faults.md.

    GET /sandbox/conversations shows the conversation behind each of the latest responses (JSON).

    A connection may ask for its own behaviour with [bold]?fault=NAME[/bold] or [bold]?sandbox_think_ms=50[/bold].
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

"""``ariagent run`` and ``rescue``: the service, and what helps the callers of one that died."""

import gc
import logging
import traceback
from pathlib import Path
from typing import Annotated

import typer

from ariagent import config, configfile, logs
from ariagent.cli.options import ConfigOption, JsonOption, fail
from ariagent.errors import AriagentError
from ariagent.loop import end_process_if_blocked, run_async
from ariagent.redaction import Redaction, secrets_of

log = logging.getLogger(__name__)


def run(
    configuration: ConfigOption = None,
    kept: Annotated[
        bool,
        typer.Option(
            "--keeper/--no-keeper",
            help="Start the service again within a moment after a crash. --no-keeper: one process, for a debugger.",
        ),
    ] = True,
) -> None:
    """Serve calls until a signal ends the service.

    If Asterisk does not answer or refuses the login, the service waits; the log and `/healthz` show the reason. When it
    starts, the service runs the quick checks of `ariagent check` and logs each fault.

    Ctrl-C (SIGINT) ends it at once: the dialplan sends the callers to the human queue. SIGTERM drains: new calls are
    sent to the human queue, and running calls may continue for `drain_timeout_s`. Then the remaining callers go to the
    human queue, or the next process continues their calls (`drain_to`).

    The command starts the service as a second process. If that process crashes or is killed, the command starts it
    again at once, and its calls continue. If the service crashes five times in a minute, the command ends.

    The environment overrides every setting: `ARIAGENT_SECTION__KEY`, for instance `ARIAGENT_REALTIME__API_KEY`.

    Exit code 0: ended by a signal; 1: a port or a folder cannot be used, or the service crashed; 2: wrong usage, the
    settings do not load, or another program took over the Stasis application.
    """
    if not kept:
        return _serve_to_the_end(configuration)
    # Imported before the fork, so that a start after a crash has nothing left to import.
    from ariagent.service import keeper, service  # noqa: F401
    from ariagent.service.restarts import CRASHED, End

    found = keeper.keep()
    if isinstance(found, End):
        if found.cause:
            typer.echo(f"ariagent: {found.cause}", err=True)
        raise typer.Exit(found.code)
    try:
        _serve_to_the_end(configuration, after=found)
    except (typer.Exit, typer.Abort):
        raise
    except Exception:  # noqa: BLE001  # the keeper has to tell it from exit code 1
        traceback.print_exc()
        end_process_if_blocked(CRASHED)
        raise typer.Exit(CRASHED) from None


def _serve_to_the_end(configuration: Path | None, after: str = "") -> None:
    """Serve in this process, which then ends even if a site's tool has blocked a thread: callers wait for the next."""
    try:
        _serve(configuration, after)
    except typer.Exit as ended:
        end_process_if_blocked(ended.exit_code)
        raise
    end_process_if_blocked(0)


def _serve(configuration: Path | None, after: str = "") -> None:
    """Serve in this process. ``after``: the cause of the crash before, or ""."""
    from ariagent.service.service import Service

    known: list[str] = []
    doubts: list[str] = []

    def read() -> config.Settings:
        doubts.clear()
        return configfile.load(configuration, serving=True, warn=doubts.append)

    def adopt(settings: config.Settings) -> None:
        # The secrets of earlier settings are still secrets: running calls use them.
        known.extend(secrets_of(settings))
        logs.configure(settings.log.level, settings.log.format, Redaction(known))
        for doubt in doubts:
            log.warning("settings.doubtful", extra={"fields": {"cause": doubt}})

    try:
        settings = read()
        adopt(settings)
        if after:
            log.error("service.crashed", extra={"fields": {"cause": after}})

        async def serve() -> None:
            await Service(settings, read, adopt, source=str(configfile.chosen(configuration))).run()

        # All objects of now live as long as the process. Unless they are frozen, each full garbage collection
        # looks through them and stops every call's audio for 15 ms or more.
        gc.collect()
        gc.freeze()
        run_async(serve())
    except* AriagentError as group:
        fail(_first(group))


def _first(group: BaseExceptionGroup[AriagentError]) -> AriagentError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, AriagentError)
    return error


def rescue(
    configuration: ConfigOption = None,
    after: Annotated[
        float | None,
        typer.Option(metavar="S", min=0, help="Seconds that the service may not answer. Default: rescue.after_s."),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Watch the service until Ctrl-C. Logs, prints nothing.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Send the callers of a dead service to the human queue.

    If the service does not answer for `rescue.after_s`, its callers hear silence. The command finds them through AMI
    and transfers each to the human queue of the call, or to `human_queue`. If the service answers, nothing is changed,
    unless the service has been waiting for Asterisk since its start.

    The command asks the service on its Unix socket in `state_directory`: run it as the service's user or as root. If it
    cannot see the socket, it asks `/healthz` at `http.port`, and watches for 30 s if the answer is not clear.

    With --watch it keeps watching: run it as a separate service beside `ariagent run`.

    Exit code 0: done, or nothing to do; 1: a caller could not be moved, or Asterisk did not answer; 2: wrong usage, or
    the settings do not load.
    """
    from ariagent.rescue.command import rescue as run_rescue

    try:
        code = run_rescue(configuration, after_s=after, watch=watch, as_json=as_json)
    except AriagentError as error:
        fail(error)
    raise typer.Exit(code)

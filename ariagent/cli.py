"""The command line: reads arguments, calls the part that does the work, turns errors into one line and an exit code.

0 success, 1 failed (Asterisk refusing a password included), 2 wrong usage, or settings that do not load.
"""

import gc
import logging
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ariagent import __version__, cliinit, cliinstall, clisteer, config, logs
from ariagent.cliparts import ConfigOption, JsonOption, StateOption, fail
from ariagent.errors import AriagentError
from ariagent.loop import run_async
from ariagent.redaction import Redaction, secrets_of
from ariagent.rehearsal import CONTEXT
from ariagent.rehearsal.call_command import FetchOption, call

log = logging.getLogger(__name__)

app = typer.Typer(
    name="ariagent",
    help="An AI voice agent beside Asterisk: it answers calls and transfers callers to human agents.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def main_options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """An AI voice agent beside Asterisk: it answers calls and transfers callers to human agents."""


@app.command()
def run(configuration: ConfigOption = None) -> None:
    """Serve calls until a signal ends the service.

    If Asterisk does not answer or refuses the login, the service waits; the log and `/healthz` show the reason. When it
    starts, the service runs the quick checks of `ariagent check` and logs what is wrong.

    Ctrl-C (SIGINT) ends it at once: the dialplan sends the callers to the human queue. SIGTERM drains: new calls are
    sent to the human queue, and running calls may continue for `drain_timeout_s`. Then the remaining callers go to the
    human queue, or the next process continues their calls (`drain_to`).

    The environment overrides every setting: `ARIAGENT_SECTION__KEY`, for instance `ARIAGENT_REALTIME__API_KEY`.

    Exit code 0: ended by a signal; 1: a port or a folder cannot be used, or another program took over the Stasis
    application; 2: wrong usage, or the settings do not load.
    """
    from ariagent.service import Service

    known: list[str] = []
    doubts: list[str] = []

    def read() -> config.Settings:
        doubts.clear()
        return config.load(configuration, serving=True, warn=doubts.append)

    def adopt(settings: config.Settings) -> None:
        # The secrets of earlier settings are still secrets: running calls use them.
        known.extend(secrets_of(settings))
        logs.configure(settings.log.level, settings.log.format, Redaction(known))
        for doubt in doubts:
            log.warning("settings.doubtful", extra={"fields": {"cause": doubt}})

    try:
        settings = read()
        adopt(settings)

        async def serve() -> None:
            await Service(settings, read, adopt, source=str(config.chosen(configuration))).run()

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


app.command()(call)
app.command()(cliinstall.install)
app.command()(cliinstall.uninstall)
app.command()(cliinstall.files)
app.command()(cliinit.init)
for _command in (clisteer.transfer, clisteer.whisper, clisteer.pause, clisteer.resume, clisteer.drain):
    app.command()(_command)


@app.command(
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def sandbox(context: typer.Context) -> None:
    """Run a local Realtime server to develop and test against."""
    # Imported only here, and with its own options: the service does not need it.
    from ariagent.sandbox.__main__ import app as sandbox_app

    sandbox_app(context.args, prog_name="ariagent sandbox")


@app.command()
def rehearse(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder with rehearsals (*.yaml), or one file.")],
    configuration: ConfigOption = None,
    exten: Annotated[
        str, typer.Option(metavar="EXTEN", help="Extension to dial, unless the rehearsal names one.")
    ] = "7001",
    context: Annotated[
        str, typer.Option(metavar="NAME", help="Dialplan context of EXTEN, unless the rehearsal names one.")
    ] = CONTEXT,
    jobs: Annotated[int, typer.Option("-j", "--jobs", min=1, max=64, help="Calls at once.")] = 4,
    wanted: Annotated[
        str,
        typer.Option(
            "--filter",
            metavar="TEXT",
            help="Only rehearsals whose file name or title contains TEXT, or matches it (*).",
        ),
    ] = "",
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the results as JUnit XML.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document at the end.")] = False,
    record: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep each call there: call.wav (caller, agent), call.json.")
    ] = None,
    timeout: Annotated[float, typer.Option(metavar="S", min=1, max=3600, help="Longest duration of a call.")] = 180.0,
    patience: Annotated[
        float, typer.Option(metavar="FACTOR", min=0.1, max=100, help="Multiplies every time limit, for a busy machine.")
    ] = 1.0,
    fetch: FetchOption = False,
) -> None:
    """Test an agent with synthetic callers.

    Each *.yaml in DIR is one caller: what the caller says (steps), and what must happen (expect):

        title: A caller who asks twice
        steps:
          - wait_answer
          - say: When are you open on Saturday?
          - wait_answer
          - hangup
        expect:
          said: [ten to two, {any: [goodbye, anything else], after: 2}]
          never_said: [/as an? (AI|language) model/]
          tools: [{name: lookup_hours, arguments: {day: saturday}}]
          ended_by: caller
          answer_within_ms: 2000

    The calls go through the real Asterisk to the running service and its model, and cost as much as other calls. The
    agent's words and actions come from the service's records (state_directory) if this user may read them. Otherwise a
    speech recogniser, if one is installed, guesses the words. A speech synthesiser (flite) speaks the callers'
    sentences. ariagent/templates has agents with rehearsals to start from.

    Exit code 0: all as expected; 1: not all as expected, or Asterisk did not answer or refused; 2: wrong usage, or the
    settings or rehearsals do not load.
    """
    from ariagent.rehearsal.rehearse import Plan
    from ariagent.rehearsal.rehearse_command import run_rehearsals
    from ariagent.synthesis.programs import fetched, installed

    try:
        find = fetched if fetch else installed
        plan = Plan(exten, context, jobs=jobs, timeout_s=timeout, record_dir=record, find=find)
        code = run_rehearsals(
            directory, configuration, plan, wanted=wanted, junit_path=junit, as_json=as_json, patience=patience
        )
    except AriagentError as error:
        fail(error)
    raise typer.Exit(code)


@app.command()
def schema() -> None:
    """Print the JSON Schema of the settings file, for editors.

    Save it, and put `# yaml-language-server: $schema=FILE` at the top of the settings.
    """
    from ariagent.configdoc import schema_text

    typer.echo(schema_text(), nl=False)


@app.command()
def check(
    configuration: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print only one JSON object, at the end.")] = False,
    talk: Annotated[
        bool, typer.Option("--talk", help="Also have one spoken turn with the model. It costs a little.")
    ] = False,
    probe: Annotated[
        bool,
        typer.Option(
            "--probe", help="Also find out how the model's server differs from OpenAI's. It costs about two cents."
        ),
    ] = False,
    bundle: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Also write diagnostic data for a maintainer to FILE (.tar.gz), without secrets."
        ),
    ] = None,
    with_words: Annotated[
        bool, typer.Option("--with-words", help="With --bundle: include spoken words and telephone numbers.")
    ] = False,
    calls: Annotated[
        int, typer.Option(min=0, max=1000, metavar="N", help="With --bundle: include records of the newest N calls.")
    ] = 10,
    log: Annotated[
        Path | None, typer.Option(metavar="FILE", help="With --bundle: the service's log, if it is a file.")
    ] = None,
    installation: StateOption = None,
) -> None:
    """Check the installation: settings, Asterisk, audio, model, tools.

    Prints a line for each check as soon as its result is known, and what to do: *ok*, *warning* (calls work, something
    else does not), *failed* (calls do not work, or cannot be transferred as the settings say) or *skipped* (it needs
    something that failed).

    You can run it beside the service. It changes nothing. It makes one or two AudioSocket channels in Asterisk; they
    last less than a second and have no call detail record. It opens and closes a session with the model for each agent.
    It calls nobody and sends no request to the tools.

    --probe is for a server that is neither OpenAI's nor Azure's. It opens two sessions at once, has the model say some
    words, and says which realtime.dialect fits the server. Do not run it on a server that is full of calls.

    --bundle FILE writes the results, versions, settings, Asterisk's state, metrics, health, the end of the log and the
    newest calls' records to one file. Nothing is sent anywhere. Secrets are removed, and without --with-words also
    spoken words and telephone numbers. Look at the file before you pass it on.

    Exit code 0: nothing failed; 1: something failed; 2: wrong usage, or the settings do not load.
    """
    from ariagent.check.bundle import Wanted
    from ariagent.check.command import check as run_check

    wanted = None if bundle is None else Wanted(bundle, with_words, calls, log)
    try:
        code = run_check(
            configuration, as_json=as_json, talk=talk, probe=probe, bundle=wanted, installation=installation
        )
    except AriagentError as error:
        fail(error)
    raise typer.Exit(code)


@app.command()
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

    The command asks the service on its Unix socket in `state_directory`: run it as the service's user or as root. Where
    it cannot see the socket, it asks `/healthz` at `http.port`, and looks for 30 s where an answer leaves doubt.

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


class SumBy(StrEnum):
    DAY = "day"
    AGENT = "agent"


@app.command()
def calls(
    call_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="Id of a call, or the beginning or end of it.")
    ] = None,
    configuration: ConfigOption = None,
    past: Annotated[int, typer.Option(min=0, metavar="N", help="How many past calls (or messages) to list.")] = 10,
    every: Annotated[bool, typer.Option("--all", help="List all past calls.")] = False,
    agent: Annotated[str | None, typer.Option(metavar="NAME", help="Only calls of this agent.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Only calls that began then or later: 2026-11-22, 90m, 12h, 7d.")
    ] = None,
    messages: Annotated[
        bool, typer.Option("--messages", help="List callers' messages and callback requests for human agents.")
    ] = False,
    cost: Annotated[bool, typer.Option("--cost", help="Show tokens and cost of calls.")] = False,
    by: Annotated[SumBy, typer.Option(help="How --cost is summed.")] = SumBy.DAY,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the call as an HTML page with both sides' waveforms.")
    ] = None,
    delete: Annotated[
        str | None, typer.Option(metavar="ID", help="Delete all records of a call (give its whole id).")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Show running calls until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print data.")] = False,
) -> None:
    """List running and past calls, or print one call as a timeline.

    Running calls come from the service's API if this user may use it: on the service's machine as its user or as root,
    elsewhere with `ARIAGENT_API_URL` and `ARIAGENT_API_TOKEN`. Otherwise they come from the service's records.

    A timeline shows every turn with its response time, interruptions with the words that were heard, tools, errors,
    gaps in the audio, and cost. It comes from the service's records (`state_directory`), also if the service is down.
    """
    from ariagent.control import command as steer
    from ariagent.records import command

    try:
        if delete is not None:
            command.delete(configuration, delete)
            return
        if watch:
            steer.watch(configuration, agent)
        most = None if every else past
        wanted = command.Wanted(most, agent, since, by.value if cost else None, html, as_json, messages)
        alone = call_id is None and not cost and not messages
        running = steer.running(configuration) if alone else None
        if running is not None and configuration is None and not config.chosen().exists():
            steer.show(running, agent, as_json=as_json)  # a service on another machine, which has the records
        else:
            command.show(configuration, call_id, wanted, running)
    except AriagentError as error:
        fail(error)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> None:
    """Entry point of the ``ariagent`` command."""
    try:
        app(prog_name="ariagent")
    except KeyboardInterrupt:
        sys.exit(130)

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
    help="An AI voice agent as one more member of an Asterisk contact center.",
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
    """An AI voice agent as one more member of an Asterisk contact center."""


@app.command()
def run(configuration: ConfigOption = None) -> None:
    """Serve calls until told to end.

    An Asterisk that is not there yet, or does not let the service in, is waited for: the log and `/healthz` say why. At
    its start the service does the quick ones of the checks of `ariagent check`, and logs what is wrong.

    Ctrl-C (SIGINT) ends at once: running calls go back to the dialplan, to people. SIGTERM drains: new
    calls are refused as busy, running ones may end by themselves (`drain_timeout_s`); who is left goes to people, or on
    with the next process (`drain_to`).

    Every setting can be overridden in the environment: `ARIAGENT_SECTION__KEY`, for instance
    `ARIAGENT_REALTIME__API_KEY`.

    Exit code 0: ended by a signal; 1: a port or a folder cannot be had, or another program took the application's name;
    2: wrong usage, or settings that do not load.
    """
    from ariagent.service import Service

    known: list[str] = []
    doubts: list[str] = []

    def read() -> config.Settings:
        doubts.clear()
        return config.load(configuration, serving=True, warn=doubts.append)

    def adopt(settings: config.Settings) -> None:
        # The secrets of settings before these are secrets still: calls that go on were given them.
        known.extend(secrets_of(settings))
        logs.configure(settings.log.level, settings.log.format, Redaction(known))
        for doubt in doubts:
            log.warning("settings.doubtful", extra={"fields": {"cause": doubt}})

    try:
        settings = read()
        adopt(settings)

        async def serve() -> None:
            await Service(settings, read, adopt, source=str(config.chosen(configuration))).run()

        # What is loaded by now lives as long as the process. Left to the garbage collector, each of its full
        # rounds would look through it all and stop every call's audio for 15 ms or more.
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
    # Imported only here, and with its own options: the service does without it, and so does an installation.
    from ariagent.sandbox.__main__ import app as sandbox_app

    sandbox_app(context.args, prog_name="ariagent sandbox")


@app.command()
def rehearse(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder with rehearsals (*.yaml), or one of them.")],
    configuration: ConfigOption = None,
    exten: Annotated[
        str, typer.Option(metavar="EXTEN", help="Extension to dial. A file's own extension goes first.")
    ] = "7001",
    context: Annotated[
        str, typer.Option(metavar="NAME", help="Dialplan context of EXTEN. A file's own context goes first.")
    ] = CONTEXT,
    jobs: Annotated[int, typer.Option("-j", "--jobs", min=1, max=64, help="Calls at once.")] = 4,
    wanted: Annotated[
        str, typer.Option("--filter", metavar="TEXT", help="Only those whose file name or title holds (or is like) it.")
    ] = "",
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the outcome as JUnit XML.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output at the end.")] = False,
    record: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep each call there: call.wav (caller, agent), call.json.")
    ] = None,
    timeout: Annotated[float, typer.Option(metavar="S", min=1, max=3600, help="Longest duration of a call.")] = 180.0,
    patience: Annotated[
        float, typer.Option(metavar="FACTOR", min=0.1, max=100, help="Multiplies every time limit, for a busy machine.")
    ] = 1.0,
    fetch: FetchOption = False,
) -> None:
    """Let synthetic callers call an agent, and judge how it treated them.

    Each *.yaml in DIR is one caller: what it says (steps), and how the call has to go (expect):

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

    The calls go through the real Asterisk to the running service and whichever model it uses; that costs what calls
    cost. What the agent said and did is taken from the service's records (state_directory) if this user may read
    them. Otherwise a recogniser, if there is one, guesses the words. The callers' sentences need a program that speaks
    them (flite). ariagent/templates has agents with suites to start from.

    Exit code 0: all as expected; 1: not all, or Asterisk could not be reached or refused; 2: wrong usage, or settings
    or rehearsals that do not load.
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
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object at the end, and nothing else.")
    ] = False,
    talk: Annotated[
        bool, typer.Option("--talk", help="Also hold one spoken turn with the model, which costs a little.")
    ] = False,
    bundle: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also gather what a maintainer needs into FILE (.tar.gz), without secrets."),
    ] = None,
    with_words: Annotated[
        bool, typer.Option("--with-words", help="With --bundle: keep what was said, and telephone numbers.")
    ] = False,
    calls: Annotated[
        int, typer.Option(min=0, max=1000, metavar="N", help="With --bundle: records of the newest N calls.")
    ] = 10,
    log: Annotated[
        Path | None, typer.Option(metavar="FILE", help="With --bundle: the service's log, where it is a file.")
    ] = None,
    installation: StateOption = None,
) -> None:
    """Check the installation: settings, Asterisk, audio, model, tools.

    Prints a line for each thing as soon as it is known: *ok*, *warning* (calls work, something else does not),
    *failed* (calls do not work, or cannot be put through as the settings say) or *skipped* (needs something that
    failed), and what to do about it. Exits with 0 when nothing failed, 1 when something did, 2 when the settings do not
    load.

    It may run beside the service and changes nothing. It makes one or two AudioSocket channels in Asterisk, which last
    for less than a second and have no call detail record. Nobody is called, no request is made to the tools, and every
    agent's session with the model is opened and closed.

    With --bundle FILE the result, versions, settings, Asterisk's account of itself, metrics, health, the end of the log
    and the newest calls' records are put into one file. Nothing is sent. Secrets are taken out; without --with-words
    what was said and telephone numbers are, too. Look at it before you give it away.
    """
    from ariagent.check.bundle import Wanted
    from ariagent.check.command import check as run_check

    wanted = None if bundle is None else Wanted(bundle, with_words, calls, log)
    try:
        code = run_check(configuration, as_json=as_json, talk=talk, bundle=wanted, installation=installation)
    except AriagentError as error:
        fail(error)
    raise typer.Exit(code)


@app.command()
def rescue(
    configuration: ConfigOption = None,
    after: Annotated[
        float | None, typer.Option(metavar="S", min=0, help="Seconds of silence. Default: rescue.after_s.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Look all the time, until Ctrl-C; logs instead.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Send the callers of a service that is gone to people.

    Asks the service at `http.port`; when it says nothing for `rescue.after_s`, its callers, who hear nothing, are found
    by the manager interface (`ami`) and transferred to their queue's people, or to `rescue.queue`. A service that
    answers is left alone, and so are its calls, unless it has been waiting for Asterisk since its start.

    With --watch it goes on looking: run it as a service of its own beside `ariagent run`.

    Exit code 0: done, or nothing to do; 1: somebody could not be moved, or Asterisk could not be asked; 2: wrong usage,
    or settings that do not load.
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
        str | None, typer.Argument(metavar="[ID]", help="A call: its id, or a beginning or end of it.")
    ] = None,
    configuration: ConfigOption = None,
    past: Annotated[int, typer.Option(min=0, metavar="N", help="How many past calls (or messages) to list.")] = 10,
    every: Annotated[bool, typer.Option("--all", help="List all past calls.")] = False,
    agent: Annotated[str | None, typer.Option(metavar="NAME", help="Only calls of this agent.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Only calls that began then or later: 2026-11-22, 90m, 12h, 7d.")
    ] = None,
    messages: Annotated[
        bool, typer.Option("--messages", help="What callers left for people: messages, and callbacks they asked for.")
    ] = False,
    cost: Annotated[bool, typer.Option("--cost", help="What calls used and cost.")] = False,
    by: Annotated[SumBy, typer.Option(help="How --cost is summed.")] = SumBy.DAY,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the call as a page, with both sides' waveforms.")
    ] = None,
    delete: Annotated[
        str | None, typer.Option(metavar="ID", help="Erase all that is kept of a call (its whole id).")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Show running calls until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print data.")] = False,
) -> None:
    """List running and past calls, or print one as a timeline.

    Running calls are as the service tells them where it may be asked (on its machine, as its user or as root, or with
    `ARIAGENT_API_URL` and `ARIAGENT_API_TOKEN`), else as its records do.

    A timeline shows every turn with how long its answer took and why, interruptions with what was heard, tools,
    errors, gaps in the audio, and cost. It is read from the service's records (`state_directory`): also while the
    service runs, and when it is down.
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
            steer.show(running, agent, as_json=as_json)  # of another machine: its records are there
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

"""Composition root: builds the parts, runs them, and stops them in order.

SIGTERM drains: new calls are refused as busy. Running calls may continue for ``drain_timeout_s``; then they go to the
human queue, or stay in Asterisk for the next process (``drain_to``). SIGINT (Ctrl-C) stops at once: running calls go to
the human queue. A second signal of either kind also stops at once. SIGHUP reloads the settings for new calls.

systemd may send SIGTERM to the service and to its keeper, which forwards it. That is one SIGTERM. The service can tell,
because the keeper forwards it as another signal.
"""

import asyncio
import logging
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial

from ariagent import __version__, ownsocket
from ariagent.ami.client import AmiClient
from ariagent.ari.client import AriClient
from ariagent.ari.listener import Backoff, Router, connect, listen
from ariagent.audio.format import AudioFormat
from ariagent.audio.rates import choose_format
from ariagent.audiosocket.server import AudioSocketServer
from ariagent.breaker import Breaker
from ariagent.call.admission import Admission, Minutes
from ariagent.call.announcement import Announcements
from ariagent.call.calls import Calls
from ariagent.call.context import Context
from ariagent.call.recorded_calls import if_readable, interrupted_calls, transferred_call
from ariagent.call.takeover import InterruptedCall
from ariagent.check.checks import Need
from ariagent.check.site import Manager, Site, opened
from ariagent.check.trial import Trial
from ariagent.config import Settings
from ariagent.config.tree import DrainTo
from ariagent.configfile.change import changed
from ariagent.control.phone import SupervisorPhones
from ariagent.control.server import ControlServer
from ariagent.control.supervision import Supervision
from ariagent.errors import AriError, ConfigurationError, InternalError
from ariagent.hosts import HostNames, is_loopback, joined
from ariagent.localtime import day as local_day
from ariagent.localtime import midnight
from ariagent.metrics import Metrics
from ariagent.phrases.store import PhraseStore
from ariagent.pool.availability import Availability
from ariagent.pool.device_state import SeatDeviceState
from ariagent.pool.pool import Pool
from ariagent.pool.seats import PAUSED, Reason, SeatState
from ariagent.realtime.client import trust
from ariagent.realtime.events import Usage
from ariagent.realtime.health import ModelHealth
from ariagent.records.journal import Journal
from ariagent.records.spending import Spending
from ariagent.records.store import Today, calls_today, spent_today
from ariagent.redaction import Redaction, secrets_of
from ariagent.service.draining import Draining, Plan
from ariagent.service.health import Health, state_of
from ariagent.service.keeper import FORWARDED_SIGTERM
from ariagent.service.lag import LOOK_S, Lag
from ariagent.service.resources import having
from ariagent.service.selfcheck import SelfCheck
from ariagent.service.shutdownwatch import ShutdownWatch
from ariagent.service.status import pages
from ariagent.service.trials import AudioTrial, ModelTrial
from ariagent.service.turnjudge import TurnJudge
from ariagent.tools.toolbox import Toolbox
from ariagent.webserver import WebServer

log = logging.getLogger(__name__)

READY_LIMIT_S = 10.0
"""How long ``service.ready`` waits for parts that calls do not need."""


class Service:
    """One running ariagent. ``run`` returns after a signal or ``stop``. Then nothing is left running."""

    def __init__(
        self,
        settings: Settings,
        read: Callable[[], Settings] | None = None,
        adopt: Callable[[Settings], None] = lambda settings: None,
        *,
        source: str = "the settings",
    ) -> None:
        """``read`` reads the settings again, for SIGHUP; it may raise ConfigurationError. ``adopt`` is called with new
        settings before anything uses them. ``source`` is their file."""
        self.settings = settings
        self._source = source
        self._read = read
        self._adopt = adopt
        self._reloading: asyncio.Task[None] | None = None
        self._old_toolboxes: list[Toolbox] = []
        """Toolboxes of calls that began before a change of the settings."""
        self.metrics = Metrics()
        self.ari = AriClient(settings.asterisk)
        media = settings.audiosocket
        self.media = AudioSocketServer(
            handshake_timeout_s=media.handshake_timeout_s,
            max_connections=media.max_connections,
            max_unidentified=media.max_unidentified,
            allowed=media.allowed,
        )
        self.metrics.watch_media(self.media.refused, self.media.ended)
        self.metrics.watch_minutes(self._minutes)
        self.metrics.tasks.set_function(lambda: len(asyncio.all_tasks()))
        self.metrics.know_agents(settings.agents)
        self.turn_judge = TurnJudge()
        self.metrics.watch_turn_judge(lambda: self.turn_judge.counts)
        self.lag = Lag(settings.watchdog.lag_ms / 1000)
        self.toolbox = Toolbox(settings, on_call=self.metrics.tool_called)
        self.calls = Calls(self._calls_context)
        self.router = Router(self.calls.channel_entered)
        self.ami = AmiClient(settings.ami) if settings.ami is not None else None
        self.pool = Pool(self.ami, settings.asterisk.app) if self.ami is not None else None
        self.device_state = SeatDeviceState(self.ari, settings.asterisk.app)
        self.availability = Availability(
            self.pool,
            self.device_state,
            listening=lambda: self.ari.listening,
            calls=lambda: len(self.calls),
            over_cap=self._over_cap,
            most=settings.max_calls,
            off_hours=lambda: not self.settings.seats_wanted(time.time()),
            overloaded=lambda: self.lag.overloaded,
        )
        supervision = self.supervision = Supervision(
            self.calls,
            self.pool,
            settings.destinations,
            drain=self.drain,
        )
        self.control = ControlServer(settings.control, settings.state_directory, supervision)
        if self.pool is not None:
            self.pool.looks_for = lambda: self.settings.human_queues
        self.phones: SupervisorPhones | None = None
        if self.ami is not None:
            self.ami.subscribe(self.calls.transferred)
            self.phones = SupervisorPhones(supervision, self.ami, settings.asterisk.app)
        self.asterisk_backoff = Backoff()
        """Why Asterisk cannot be used, if it cannot."""
        self.model = ModelHealth(settings.realtime, self._excludes(Reason.MODEL))
        self.model_trial = ModelTrial(
            lambda: self.settings,
            lambda model, usage: self._calls_context().spending.used("(trials)", model, usage),
            self.model,
        )
        self.audio = Breaker(self._excludes(Reason.AUDIO))
        self.metrics.watch_audio(lambda: self.audio.usable)
        self.checks = SelfCheck()
        self.started = asyncio.Event()
        """Set once calls can come in."""
        self.ready = asyncio.Event()
        """Set once all other parts were tried, too."""
        shown = partial(pages, self.metrics.render, lambda: self.health, lambda: self.settings)
        names = HostNames(settings.http.host, settings.http.allowed_hosts)
        self.http = WebServer(shown(everything=self.control.knows, hosts=names))
        self.own = WebServer(shown(everything=lambda request: True))
        """The pages of ``http.port``, on the Unix socket in ``state_directory``."""
        self.journal: Journal | None = None
        self.phrases: PhraseStore | None = None
        self._context: Context | None = None
        self._interrupted_calls: list[InterruptedCall] | None = None
        """Calls of an earlier process, until they are searched in Asterisk."""
        self._background: list[asyncio.Task[None]] = []
        self._site: Site | None = None
        self._shutdowns = ShutdownWatch(lambda: self.settings, self.metrics)
        self._draining = Draining()
        self._stop = asyncio.Event()
        self._sigterms: Counter[signal.Signals] = Counter()
        """How often SIGTERM came, by the way on which it came."""
        ami = self.ami
        if (pool := self.pool) is not None:
            self.metrics.watch_seats(partial(self._count_seats, pool))
        self.metrics.watch_service(
            accepting=lambda: self.health.takes_calls,
            ari=lambda: self.ari.listening,
            model=lambda: self.model.usable,
            ami=None if ami is None else lambda: ami.connected,
        )

    @property
    def http_port(self) -> int:
        """The port of ``/metrics`` and ``/healthz``, once the service runs."""
        return self.http.port

    # -- life -------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve until a signal or ``stop``.

        Raises ConfigurationError or ResourceError if the service cannot start, ConfigurationError if another one
        replaced it.
        """
        self._listen_for_signals()
        try:
            if await self._have_resources():
                await self._serve()
        finally:
            if self.phones is not None:
                await self.phones.close()
            await self.media.close()
            await self.ari.close()
            for toolbox in (*self._old_toolboxes, self.toolbox):
                await toolbox.close()
            await self.control.close()
            await self.own.close()
            await self.http.close()
            await asyncio.to_thread(self.turn_judge.close)
            if self.journal is not None:
                await asyncio.to_thread(self.journal.close)
        log.info("service.stopped")
        if self.router.replaced.is_set():
            app = self.settings.asterisk.app
            remedy = "Run one service for each application name, or give this one another asterisk.app"
            # No AriError: systemd would start this one again, which would take the calls from the other one.
            raise ConfigurationError(f"another program took over the Stasis application {app}", remedy=remedy)

    async def _serve(self) -> None:
        """Serve, once ports and folders are available, until a signal or ``stop``."""
        async with opened(self.settings, self._source, serving=False) as site, asyncio.TaskGroup() as tasks:
            background = [
                tasks.create_task(self._serve_asterisk(tasks, site), name="asterisk"),
                tasks.create_task(self._watch_replacement(), name="replacement"),
                tasks.create_task(self._watch_lag(), name="lag"),
                tasks.create_task(self.checks.run(site), name="checks"),
                tasks.create_task(self._tell_ready(), name="ready"),
                tasks.create_task(self._shutdowns.run(), name="model shutdowns"),
            ]
            self._background, self._site = background, site
            self.checks.wanted(Need.SETTINGS)
            await self._told_to_end()
            await self._end_calls()
            if self._reloading is not None:
                background.append(self._reloading)
            for task in background:
                task.cancel()

    async def _serve_asterisk(self, tasks: asyncio.TaskGroup, site: Site) -> None:
        """Wait for Asterisk, without a time limit, and take its calls."""
        version = await connect(self.ari, self.asterisk_backoff)
        await self._look_for_another()
        self._interrupted_calls = await asyncio.to_thread(interrupted_calls, self.settings)
        self._context, audio_trial = await self._make_context(version, site)
        if (ami := self.ami) is not None and self.pool is not None:
            site.given_manager = Manager(ami, self.pool.queues)
            # The pool subscribed before: the checks run once it has tried to list the queues, and again once it has.
            ami.subscribe(on_connected=self._manager_connected, on_failed=partial(self.checks.wanted, Need.MANAGER))
            self._background.append(tasks.create_task(ami.run(), name="ami"))
        self._background += [
            tasks.create_task(self.model.run(self.model_trial), name="model"),
            tasks.create_task(self.audio.run(audio_trial), name="audio"),
            tasks.create_task(self._prepare_speech(), name="phrases"),
            tasks.create_task(self._keep_pool(), name="pool"),
        ]
        await listen(self.ari, self.router, self._stream_opened, self.asterisk_backoff)

    async def _manager_connected(self) -> None:
        self.checks.wanted(Need.MANAGER)

    def drain(self, to: DrainTo | None = None, after_s: float | None = None) -> Plan:
        """Refuse new calls, and end when the running calls have ended; returns the plan for the remaining calls."""
        return self._draining.begin(Plan(self.settings.drain_to, self.settings.drain_timeout_s), to, after_s)

    def stop(self) -> None:
        """End now; running calls go back to the dialplan."""
        self._stop.set()

    async def _have_resources(self) -> bool:
        """Open ports and folders, so that ``/healthz`` answers and Asterisk can connect. False if the service was told
        to end before. Raises ResourceError if they are not available.
        """
        taking = asyncio.ensure_future(self._take_resources())
        told = asyncio.ensure_future(self._told_to_end())
        try:
            await asyncio.wait((taking, told), return_when=asyncio.FIRST_COMPLETED)
            if taking.done():
                taking.result()
            return taking.done()
        finally:
            for task in (taking, told):
                task.cancel()
            await asyncio.wait((taking, told))

    async def _take_resources(self) -> None:
        settings = self.settings
        for endpoint in settings.realtime.endpoints:
            if endpoint.url.startswith("wss:"):
                await asyncio.to_thread(trust, endpoint)  # read the CA file now, not during the first call
        await having(self._open_journal)
        # The media server listens before ARI connects: Asterisk connects to it inside the first request.
        await having(lambda: self.media.start(settings.audiosocket.host, settings.audiosocket.port))
        http = settings.http
        await having(lambda: self.http.start(http.host, http.port, what="metrics", key="http.port"))
        await having(self.control.start)
        await self._listen_for_own_user()
        for key, host in (("http.host", http.host), ("control.host", settings.control.host)):
            if not is_loopback(host):
                log.warning("service.open_to_others", extra={"fields": {"setting": key, "host": host}})
        fields = {
            "version": __version__,
            "audiosocket": joined(settings.audiosocket.host, self.media.port),
            "http_port": self.http.port,
            "control_port": self.control.port,
            "model": settings.realtime.model,
            "pid": os.getpid(),
        }
        log.info("service.starting", extra={"fields": fields})

    async def _listen_for_own_user(self) -> None:
        """Calls do not need this socket. Without it `ariagent rescue` relies on `http.port`."""
        directory = self.settings.state_directory
        try:
            await self.own.start_on(await asyncio.to_thread(ownsocket.listener, directory))
        except OSError as error:
            fields = {"file": str(directory / ownsocket.FILE), "cause": error.strerror or str(error)}
            log.warning("service.own_socket_failed", extra={"fields": fields})

    async def _open_journal(self) -> None:
        settings = self.settings
        journal = self.journal = await asyncio.to_thread(
            Journal.open,
            settings.state_directory,
            settings.records,
            lambda _: self.metrics.records_failures.inc(),
            Redaction(secrets_of(settings)),
        )
        if self.settings is not settings:  # reloaded meanwhile
            journal.configure(self.settings.records, Redaction(secrets_of(self.settings)))
        self.metrics.watch_records(lambda: journal.dropped)

    async def _make_context(self, version: str, site: Site) -> tuple[Context, AudioTrial]:
        """The context of calls on this Asterisk, and the trial of its audio."""
        settings, pool, journal = self.settings, self.pool, self.journal
        assert journal is not None
        spending = await asyncio.to_thread(self._spending)
        fmt = self._format(version)
        address = settings.audiosocket.advertise or joined(settings.audiosocket.host, self.media.port)
        phrases = self.phrases = PhraseStore(
            settings.state_directory, settings.realtime, fmt, used=partial(self._prompts_used, spending)
        )
        announcements = Announcements.of(settings, fmt)
        await announcements.clear()
        trial = Trial(site.probe, settings.asterisk.app, fmt, self.router)
        audio_trial = AudioTrial(self.ari, trial, self.media, address, announcements, lambda: self.settings)
        announcements.prove, announcements.on_failed = (
            audio_trial.announcement_plays,
            self.metrics.announcement_failures.inc,
        )
        if self.ami is not None:
            self.ami.subscribe(announcements.hear)
        log.info(
            "asterisk.found",
            extra={"fields": {"asterisk": version, "audio": f"slin/{fmt.rate_hz}", "audiosocket": address}},
        )
        admission = await asyncio.to_thread(self._admission)
        judge = await self.turn_judge.of(settings)
        # A reload may have changed the settings meanwhile. There is no wait from here on.
        settings = self.settings
        admission.configure(settings)
        spending.configure(settings.cost, settings.zone)
        context = Context(
            settings=settings,
            ari=self.ari,
            router=self.router,
            media=self.media,
            media_address=address,
            format=fmt,
            metrics=self.metrics,
            phrases=phrases,
            announcements=announcements,
            model_health=self.model,
            toolbox=self.toolbox,
            journal=journal,
            spending=spending,
            admission=admission,
            overloaded=lambda: self.lag.overloaded,
            audio_health=self.audio,
            ami=self.ami,
            turn_judge=judge,
            transferred_call=lambda call_id: transferred_call(self.settings, call_id),
            queue_view=pool.view if pool is not None else lambda name: None,
            has_queue=pool.has_queue if pool is not None else lambda name: None,
        )
        return context, audio_trial

    def _format(self, version: str) -> AudioFormat:
        """The audio format between Asterisk and ariagent. The checks report a format that this Asterisk cannot use."""
        settings = self.settings
        try:
            return choose_format(version, settings.audiosocket.format, settings.realtime.encoding)
        except ConfigurationError:
            return choose_format(version, "auto", settings.realtime.encoding)

    def _excludes(self, reason: Reason) -> Callable[[str], None]:
        """A breaker's callback: while it has a fault, the AI takes no calls for this reason."""
        return lambda fault: self.availability.set_reason(reason, bool(fault))

    async def _look_for_another(self) -> None:
        """Log if the application exists already: the last program that opens its event stream takes over its calls."""
        with suppress(AriError):
            if (left := await self.ari.registered()) is not None:
                channels, bridges = left
                remedy = "If another service runs with this asterisk.app, it ends now. Give each service its own"
                fields = {"app": self.settings.asterisk.app, "channels": channels, "bridges": bridges, "remedy": remedy}
                log.warning("service.took_over", extra={"fields": fields})

    def _spending(self) -> Spending:
        spent = 0.0
        if self.settings.records.enabled:
            with if_readable():
                _, spent = spent_today(self.settings.state_directory, time.time(), self.settings.zone)
        return Spending(self.settings.cost, spent, self.metrics.used, self.settings.zone)

    def _admission(self) -> Admission:
        now, zone = time.time(), self.settings.zone
        today = Today(local_day(now, zone), midnight(now, zone))
        if self.settings.records.enabled:
            with if_readable():
                today = calls_today(self.settings.state_directory, now, zone)
        counted = {"talked_unknown_s": today.talked_unknown_s, "day_began": today.began}
        return Admission(self.settings, today.day, today.talked_s, today.callers, **counted)

    def _over_cap(self) -> bool:
        """Whether a daily cap of cost or minutes is reached."""
        context, now = self._calls_context(), time.time()
        day = local_day(now, self.settings.zone)
        for event, cap in context.admission.news(now, day):
            fields = {"name": f"caps.{cap.name}", "minutes": round(cap.used_s / 60, 1)}
            log.warning(event, extra={"fields": fields})
        return context.spending.over_cap or context.admission.over_minutes(now, day)

    def _minutes(self) -> tuple[Minutes, ...]:
        """The daily caps of conversation, once calls can come in."""
        if self._context is None:
            return ()
        now = time.time()
        return self._context.admission.minutes(now, local_day(now, self.settings.zone))

    def _prompts_used(self, spending: Spending, model: str, usage: Usage) -> None:
        """Count the cost of rendered phrases, which belongs to no call."""
        spending.used("(phrases)", usage.billed_as(model), usage)

    async def _prepare_speech(self) -> None:
        """Render the fixed phrases of the agents, also those of later settings, once the model was tried."""
        await self.model.tried.wait()
        assert self.phrases is not None
        self.phrases.want(self.settings.agents, self.settings.tools)
        await self.phrases.run()

    async def _stream_opened(self) -> None:
        if self._interrupted_calls is not None:
            await self.calls.take_over(self._interrupted_calls)
            self._interrupted_calls = None
        await self.calls.catch_up()
        self.checks.wanted(Need.ASTERISK)
        if not self.started.is_set():
            self.started.set()
            log.info("service.accepting_calls", extra={"fields": {"calls": len(self.calls)}})

    async def _tell_ready(self) -> None:
        """Log ``service.ready`` once all parts were tried."""
        await self.started.wait()
        assert self.phrases is not None
        parts: dict[str, tuple[asyncio.Event, Callable[[], str]]] = {
            "model": (self.model.tried, lambda: "failed" if self.model.open else "ok"),
            "audio": (self.audio.tried, lambda: "failed" if self.audio.open else "ok"),
            "openings": (self.phrases.settled, lambda: "ok"),
            "checks": (self.checks.settled, lambda: "failed" if self.checks.failed else "ok"),
        }
        if self.pool is not None:
            parts["manager"] = self.pool.settled, lambda: "ok"
        waits = [asyncio.ensure_future(event.wait()) for event, _ in parts.values()]
        try:
            await asyncio.wait(waits, timeout=READY_LIMIT_S)
        finally:
            for wait in waits:
                wait.cancel()
        fields = {name: found() if event.is_set() else "late" for name, (event, found) in parts.items()}
        log.info("service.ready", extra={"fields": fields})
        self.ready.set()

    def _listen_for_signals(self) -> None:
        loop = asyncio.get_running_loop()
        with suppress(NotImplementedError, RuntimeError, ValueError):  # not in the main thread
            for number in (signal.SIGTERM, FORWARDED_SIGTERM, signal.SIGINT, signal.SIGHUP):
                loop.add_signal_handler(number, self._signalled, number)
            # It was blocked until now, see ariagent.start and the keeper.
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})

    async def _told_to_end(self) -> None:
        waits = [asyncio.ensure_future(event.wait()) for event in (self._draining.asked, self._stop)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def _signalled(self, number: signal.Signals) -> None:
        if number in (signal.SIGTERM, FORWARDED_SIGTERM):
            before = max(self._sigterms.values(), default=0)
            self._sigterms[number] += 1
            if self._sigterms[number] <= before:
                return
            number = signal.SIGTERM
        elif number is signal.SIGINT and self._stop.is_set():
            return
        log.info("service.signalled", extra={"fields": {"signal": number.name, "calls": len(self.calls)}})
        if number is signal.SIGHUP:
            self.reload()
            return
        if self._draining.asked.is_set() or number is signal.SIGINT:
            self.stop()
        else:
            self.drain()

    def reload(self) -> None:
        """Reload the settings, for new calls."""
        if self._reloading is not None:
            self._reloading.cancel()
        self._reloading = asyncio.create_task(self._reload(), name="reload")

    async def _reload(self) -> None:
        if self._read is None:
            return
        try:
            settings = await asyncio.to_thread(self._read)
            taken, fixed = changed(self.settings, settings)
            if fixed:
                remedy = "Restart the service (`ariagent drain`), or undo the change"
                raise ConfigurationError(f"a change of {', '.join(fixed)} needs a restart", remedy=remedy)
            toolbox = Toolbox(settings, on_call=self.metrics.tool_called)
            judge = await self.turn_judge.of(settings)
        except ConfigurationError as error:
            log.error("settings.refused", extra={"fields": {"cause": error.line}})
            return
        # From here on nothing can fail: a reload is complete or has no effect.
        self._adopt(settings)
        if self.journal is not None:
            self.journal.configure(settings.records, Redaction(secrets_of(settings)))
        self._old_toolboxes.append(self.toolbox)
        self.settings, self.toolbox, self.supervision.destinations = settings, toolbox, settings.destinations
        if self._context is not None:
            self._context.admission.configure(settings)
            self._context.spending.configure(settings.cost, settings.zone)
            self._context = replace(self._context, settings=settings, toolbox=toolbox, turn_judge=judge)
        log.info("settings.reloaded", extra={"fields": {"changed": ",".join(taken) or "-", "calls": len(self.calls)}})
        self.metrics.know_agents(settings.agents)
        self._shutdowns.look_again()
        if self._site is not None:
            self._site.settings = settings
            for need in (Need.SETTINGS, Need.ASTERISK, Need.MANAGER):
                self.checks.wanted(need)
        self.model.doubt()
        if self.phrases is not None:
            self.phrases.want(settings.agents, settings.tools)

    async def _end_calls(self) -> None:
        self.calls.refuse_new()
        # If another program took over the application, it serves the seats now.
        seats = None if self.router.replaced.is_set() else self.availability
        if seats is not None:
            # Without a wait for calls, the service ends before a pause of their seats would have an effect.
            at_once = self._stop.is_set() or self._draining.plan.after_s <= 0
            seats.hold(Reason.DOWN if at_once else Reason.DRAINING)
        if not self._stop.is_set():
            plan = self._draining.plan
            fields = {"calls": len(self.calls), "to": plan.to, "after_s": round(plan.after_s, 1)}
            log.info("service.draining", extra={"fields": fields})
            await self._draining.over(self.calls.drained(), self._stop.wait())
        if self._draining.plan.to == "next" and not self._stop.is_set():
            # The seats first: as soon as the calls are left, their callers hear silence.
            if seats is not None:
                await seats.leave()
            log.info("service.calls_left", extra={"fields": {"calls": len(self.calls)}})
            await self.calls.leave()
            return
        await self.calls.stop()
        if seats is not None:
            await seats.leave()

    async def _keep_pool(self) -> None:
        """Run availability and pool, once calls can come in."""
        await self.started.wait()
        # Wait for the audio trial: seats that open and close again a moment later would cost callers time.
        await self.audio.tried.wait()
        self.availability.look()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.availability.run(), name="availability")
            if self.pool is not None:
                tasks.create_task(self.pool.run(), name="pool")

    async def _watch_lag(self) -> None:
        """Measure the event loop delay; log the begin and the end of an overload."""
        clock = asyncio.get_running_loop().time
        while True:
            due = clock() + LOOK_S
            await asyncio.sleep(LOOK_S)
            now = clock()
            self.metrics.loop_lag.observe(lag_s := max(0.0, now - due))
            if self.lag.late(lag_s, now):
                fields = {"p95_ms": round(1000 * self.lag.p95_s, 1), "calls": len(self.calls)}
                log.warning(
                    "service.overloaded" if self.lag.overloaded else "service.overload_ended", extra={"fields": fields}
                )

    async def _watch_replacement(self) -> None:
        """Stop if another program takes over the application and its calls: two would fight for them."""
        await self.router.replaced.wait()
        log.error("service.replaced", extra={"fields": {"app": self.settings.asterisk.app}})
        self.stop()

    def _calls_context(self) -> Context:
        if self._context is None:
            raise InternalError("a call came in before the service had started")
        return self._context

    @property
    def health(self) -> Health:
        """The present state."""
        return Health(
            application=self.settings.asterisk.app,
            version=__version__,
            started=self.started.is_set(),
            listening=self.ari.listening and self.started.is_set(),
            waiting_for=self.asterisk_backoff.cause,
            audio_failed=self.audio.open,
            audio=state_of(self.audio.fault),
            model=state_of(self.model.fault),
            refused_agents=tuple(name for name in self.model.refused if name in self.settings.agents),
            manager="not configured" if self.ami is None else self.ami.state,
            seats=self._seats_now(),
            calls=len(self.calls),
            draining=self._draining.asked.is_set() or self._stop.is_set(),
            control_port=self.control.port,
            failed_checks=self.checks.failed,
        )

    def _count_seats(self, pool: Pool) -> dict[tuple[str, str], int]:
        return pool.seats.counts(self.availability.first)

    def _seats_now(self) -> dict[str, object]:
        first = self.availability.first
        now: dict[str, object] = {"open": self.device_state.open, "reason": first.value if first is not None else None}
        if self.pool is not None and self.pool.seats.known:
            count: Counter[str] = Counter()
            for (state, _), seats in (counts := self._count_seats(self.pool)).items():
                count[state] += seats
            if first is None and count[PAUSED] and not count[SeatState.IDLE]:
                reasons = {why for (state, why), seats in counts.items() if state == PAUSED and seats}
                now["reason"] = ", ".join(sorted(reasons))
            now |= {**count, "invalid": self.pool.seats.invalid}
        return now

"""Composition root: builds the parts, runs them, and takes them down in order.

SIGTERM drains: new calls are refused as busy, running ones go on for ``drain_timeout_s``, then go to people, or stay in
Asterisk for the next process (``drain_to``).
SIGINT (Ctrl-C) stops at once: running calls go to people. A second signal of either kind does not wait. SIGHUP has the
settings read anew, for calls that begin from then on.
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

from aiohttp import web

from ariagent import __version__
from ariagent.ari.client import AriClient
from ariagent.ari.listener import Router, listen
from ariagent.audio.rates import choose_format
from ariagent.audiosocket.server import AudioSocketServer
from ariagent.call.admission import Admission
from ariagent.call.archive import handed_on, unended
from ariagent.call.briefs import Briefs
from ariagent.call.context import Context
from ariagent.call.prompts import Prompts
from ariagent.call.registry import Registry
from ariagent.call.resume import BrokenOff
from ariagent.config import Settings
from ariagent.config.change import changed
from ariagent.config.tree import DrainTo
from ariagent.control.desk import Desk
from ariagent.control.phone import SupervisorPhones
from ariagent.control.server import ControlServer
from ariagent.draining import Draining, Plan
from ariagent.errors import AriError, ConfigurationError, InternalError, told
from ariagent.hosts import joined
from ariagent.lag import LOOK_S, Lag
from ariagent.metrics import Metrics
from ariagent.pool.availability import Availability
from ariagent.pool.door import Door
from ariagent.pool.pool import Pool
from ariagent.pool.seats import Reason
from ariagent.realtime.endpoints import Endpoints
from ariagent.realtime.events import Usage
from ariagent.realtime.profile import SessionProfile
from ariagent.realtime.trial import failure_of
from ariagent.records.journal import Journal
from ariagent.records.spending import Spending
from ariagent.records.store import calls_today, local_day, spent_today
from ariagent.tools.toolbox import Toolbox
from ariagent.webserver import WebServer

log = logging.getLogger(__name__)

MODEL_LOOK_S = 1.0
FIRST_TRIAL_S, LONGEST_TRIAL_S = 5.0, 60.0
"""Pauses between trials of a model that could not be used."""


class Service:
    """One running ariagent. ``run`` returns after a signal or ``stop``; nothing is left then."""

    def __init__(self, settings: Settings, read: Callable[[], Settings] | None = None) -> None:
        """``read`` reads the settings anew, for SIGHUP; it may raise ConfigurationError."""
        self.settings = settings
        self._read = read
        self._reloading: asyncio.Task[None] | None = None
        self._old_toolboxes: list[Toolbox] = []
        """Of calls that began before the settings were changed."""
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
        self.metrics.tasks.set_function(lambda: len(asyncio.all_tasks()))
        self.lag = Lag(settings.watchdog.lag_ms / 1000)
        self.toolbox = Toolbox(settings, on_call=self.metrics.tool_called)
        self.calls = Registry(self._calls_context)
        self.router = Router(self.calls.channel_entered)
        self.pool = Pool(settings.ami) if settings.ami is not None else None
        self.door = Door(self.ari, settings.asterisk.app)
        self.availability = Availability(
            self.pool,
            self.door,
            listening=lambda: self.ari.listening,
            calls=lambda: len(self.calls),
            over_cap=self._over_cap,
            most=settings.max_calls,
            off_hours=lambda: not self.settings.seats_wanted(time.time()),
            overloaded=lambda: self.lag.overloaded,
        )
        if (pool := self.pool) is not None:
            self.metrics.watch_seats(lambda: pool.seats.counts(self.availability.first))
        desk = self.desk = Desk(
            self.calls,
            self.pool,
            settings.destinations,
            drain=self.drain,
        )
        self.control = ControlServer(settings.control, settings.state_directory, desk)
        if self.pool is not None:
            self.pool.listeners.append(self.calls.transferred)
            self.pool.looks_for = lambda: (each.queue for each in self.settings.destinations.values() if each.queue)
        self.phones = SupervisorPhones(desk, self.pool) if self.pool is not None else None
        self.started = asyncio.Event()
        self.http = WebServer(self._web())
        self.journal: Journal | None = None
        self.prompts: Prompts | None = None
        self._context: Context | None = None
        self._broken_off: list[BrokenOff] | None = None
        """Calls of a process before this one, until they are looked for in Asterisk."""
        self._model_fault = "not tried yet"
        self._model_tried = asyncio.Event()
        self._draining = Draining()
        self._stop = asyncio.Event()

    @property
    def http_port(self) -> int:
        """Where ``/metrics`` and ``/healthz`` are, once it runs."""
        return self.http.port

    # -- life -------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve until told to end. Raises ConfigurationError or AriError when it cannot begin or was replaced."""
        try:
            await self._start()
            async with asyncio.TaskGroup() as tasks:
                background = [
                    tasks.create_task(listen(self.ari, self.router, self._stream_opened), name="ari"),
                    tasks.create_task(self._prepare_speech(), name="prompts"),
                    tasks.create_task(self._watch_replacement(), name="replacement"),
                    tasks.create_task(self._watch_model(), name="model"),
                    tasks.create_task(self._keep_pool(), name="pool"),
                    tasks.create_task(self._watch_lag(), name="lag"),
                ]
                await self._until_told()
                await self._end_calls()
                if self._reloading is not None:
                    background.append(self._reloading)
                for task in background:
                    task.cancel()
        finally:
            if self.phones is not None:
                await self.phones.close()
            await self.media.close()
            await self.ari.close()
            for toolbox in (*self._old_toolboxes, self.toolbox):
                await toolbox.close()
            await self.control.close()
            await self.http.close()
            if self.journal is not None:
                await asyncio.to_thread(self.journal.close)
        log.info("service.stopped")
        if self.router.replaced.is_set():
            app = self.settings.asterisk.app
            remedy = "Run one service for each application name, or give this one another asterisk.app"
            raise AriError(f"another program took the Stasis application {app} over", remedy=remedy)

    def drain(self, to: DrainTo | None = None, after_s: float | None = None) -> Plan:
        """Refuse new calls and end when the running ones have ended; returns what becomes of those that do not."""
        return self._draining.begin(Plan(self.settings.drain_to, self.settings.drain_timeout_s), to, after_s)

    def stop(self) -> None:
        """End now; running calls go back to the dialplan."""
        self._stop.set()

    async def _start(self) -> None:
        settings = self.settings
        journal = self.journal = await asyncio.to_thread(
            Journal.open, settings.state_directory, settings.records, lambda _: self.metrics.records_failures.inc()
        )
        self.metrics.watch_records(lambda: journal.dropped)
        self._broken_off = await asyncio.to_thread(unended, settings)
        spending = await asyncio.to_thread(self._spending)
        # The media server listens before ARI connects: Asterisk connects to it inside the first request.
        await self.media.start(settings.audiosocket.host, settings.audiosocket.port)
        await self.http.start(settings.http.host, settings.http.port, what="metrics", key="http.port")
        await self.control.start()
        version = await self.ari.connect()
        await self._look_for_another()
        fmt = choose_format(version, settings.audiosocket.format, settings.realtime.encoding)
        address = settings.audiosocket.advertise or joined(settings.audiosocket.host, self.media.port)
        prompts = self.prompts = Prompts(
            settings.state_directory, settings.realtime, fmt, used=lambda usage: self._prompts_used(spending, usage)
        )
        briefs = Briefs(settings.briefs.directory or settings.state_directory / "briefs", fmt)
        await asyncio.to_thread(briefs.clear)
        pool = self.pool
        self._context = Context(
            settings=settings,
            ari=self.ari,
            router=self.router,
            media=self.media,
            media_address=address,
            format=fmt,
            metrics=self.metrics,
            prompts=prompts,
            briefs=briefs,
            endpoints=Endpoints(settings.realtime),
            toolbox=self.toolbox,
            journal=journal,
            spending=spending,
            admission=await asyncio.to_thread(self._admission),
            overloaded=lambda: self.lag.overloaded,
            ami=pool.client if pool is not None else None,
            handed_on=lambda call_id: handed_on(settings, call_id),
            queue_view=pool.view if pool is not None else lambda name: None,
            has_queue=pool.has_queue if pool is not None else lambda name: None,
        )
        fields = {
            "version": __version__,
            "asterisk": version,
            "audio": f"slin/{fmt.rate_hz}",
            "audiosocket": address,
            "http_port": self.http.port,
            "control_port": self.control.port,
            "model": settings.realtime.model,
            "pid": os.getpid(),
        }
        log.info("service.starting", extra={"fields": fields})

    async def _look_for_another(self) -> None:
        """Whoever opens an application's event stream last has it, and its calls: say so before we do."""
        with suppress(AriError):
            if (left := await self.ari.registered()) is not None:
                channels, bridges = left
                fields = {"app": self.settings.asterisk.app, "channels": channels, "bridges": bridges}
                log.warning("service.takes_over", extra={"fields": fields})

    def _spending(self) -> Spending:
        spent = 0.0
        if self.settings.records.enabled:
            _, spent = spent_today(self.settings.state_directory, time.time())
        return Spending(self.settings.cost, spent, self.metrics.used)

    def _admission(self) -> Admission:
        now = time.time()
        if not self.settings.records.enabled:
            return Admission(self.settings, local_day(now))
        day, talked_s, recent = calls_today(self.settings.state_directory, now)
        return Admission(self.settings, day, talked_s, recent)

    def _over_cap(self) -> bool:
        """Whether today's calls have cost or lasted as much as they may."""
        context, now = self._calls_context(), time.time()
        return context.spending.over_cap or context.admission.over_minutes(now, local_day(now))

    def _prompts_used(self, spending: Spending, usage: Usage) -> None:
        """Rendering phrases costs too; no call is to blame."""
        spending.used("(phrases)", self.settings.realtime.model, usage)

    async def _prepare_speech(self) -> None:
        """Find out whether the model can be used, and have the agents' fixed phrases rendered."""
        await self._try_model()
        assert self.prompts is not None
        await self.prompts.warm(self.settings.agents, self.settings.tools)

    async def _stream_opened(self) -> None:
        if self._broken_off is not None:
            await self.calls.take_over(self._broken_off)
            self._broken_off = None
        await self.calls.catch_up()
        if not self.started.is_set():
            self.started.set()
            log.info("service.ready")

    async def _until_told(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            with suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(number, self._signalled, number)
        waits = [asyncio.ensure_future(event.wait()) for event in (self._draining.asked, self._stop)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def _signalled(self, number: signal.Signals) -> None:
        log.info("service.signalled", extra={"fields": {"signal": number.name, "calls": len(self.calls)}})
        if number is signal.SIGHUP:
            self.reload()
            return
        if self._draining.asked.is_set() or number is signal.SIGINT:
            self.stop()
        else:
            self.drain()

    def reload(self) -> None:
        """Read the settings anew, for calls that begin from then on."""
        if self._reloading is not None:
            self._reloading.cancel()
        self._reloading = asyncio.create_task(self._reload(), name="reload")

    async def _reload(self) -> None:
        if self._read is None or self._context is None or self.prompts is None:
            return
        try:
            settings = await asyncio.to_thread(self._read)
            taken, fixed = changed(self.settings, settings)
            if fixed:
                remedy = "Restart the service (ariagent drain), or undo that"
                raise ConfigurationError(f"a change of {', '.join(fixed)} needs a restart", remedy=remedy)
            toolbox = Toolbox(settings, on_call=self.metrics.tool_called)
        except ConfigurationError as error:
            log.error("settings.refused", extra={"fields": {"cause": error.line}})
            return
        # Nothing can fail from here on: all of it or nothing.
        self._old_toolboxes.append(self.toolbox)
        self.settings, self.toolbox, self.desk.destinations = settings, toolbox, settings.destinations
        self._context.admission.configure(settings)
        self._context.spending.configure(settings.cost)
        self._context = replace(self._context, settings=settings, toolbox=toolbox)
        log.info("settings.reloaded", extra={"fields": {"changed": ",".join(taken) or "-", "calls": len(self.calls)}})
        await self.prompts.warm(settings.agents, settings.tools)

    async def _end_calls(self) -> None:
        self.calls.refuse_new()
        # What took our application over serves our seats now.
        seats = None if self.router.replaced.is_set() else self.availability
        if seats is not None:
            # An end that does not wait for calls is over before a pause of their seats would help anybody.
            at_once = self._stop.is_set() or self._draining.plan.after_s <= 0
            seats.hold(Reason.DOWN if at_once else Reason.DRAINING)
        if not self._stop.is_set():
            plan = self._draining.plan
            fields = {"calls": len(self.calls), "to": plan.to, "after_s": round(plan.after_s, 1)}
            log.info("service.draining", extra={"fields": fields})
            await self._draining.over(self.calls.drained(), self._stop.wait())
        if self._draining.plan.to == "next" and not self._stop.is_set():
            # The seats first: from when the calls are left on every moment is silence for their callers.
            if seats is not None:
                await seats.leave()
            log.info("service.leaves", extra={"fields": {"calls": len(self.calls)}})
            await self.calls.leave()
            return
        await self.calls.stop()
        if seats is not None:
            await seats.leave()

    async def _keep_pool(self) -> None:
        """Seats and queues, from the moment that calls can come in."""
        await self.started.wait()
        self.availability.look()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.availability.run(), name="availability")
            if self.pool is not None:
                tasks.create_task(self.pool.run(), name="pool")

    async def _watch_lag(self) -> None:
        """Measure how late this process is; too late for more calls is told."""
        clock = asyncio.get_running_loop().time
        while True:
            due = clock() + LOOK_S
            await asyncio.sleep(LOOK_S)
            now = clock()
            self.metrics.loop_lag.observe(lag_s := max(0.0, now - due))
            if self.lag.late(lag_s, now):
                fields = {"p95_ms": round(1000 * self.lag.p95_s, 1), "calls": len(self.calls)}
                log.warning(
                    "service.overloaded" if self.lag.overloaded else "service.relieved", extra={"fields": fields}
                )

    async def _watch_replacement(self) -> None:
        """Another program with our application's name has our calls now; two would fight for them."""
        await self.router.replaced.wait()
        log.error("service.replaced", extra={"fields": {"app": self.settings.asterisk.app}})
        self.stop()

    def _calls_context(self) -> Context:
        if self._context is None:
            raise InternalError("a call came before the service was started")
        return self._context

    # -- the model, tried once so that a wrong key is known before the first caller ----------------

    async def _try_model(self, *, speaks: bool = False) -> None:
        """One endpoint of it is enough. ``speaks``: a session is not enough, it has to be heard."""
        agent = next(iter(self.settings.agents.values()))
        self._model_fault = ""
        for realtime in self.settings.realtime.endpoints:
            failure, said = await failure_of(realtime, agent, speaks=speaks)
            if said is not None:
                model = SessionProfile.of(agent, realtime).model
                self._calls_context().spending.used("(trials)", model, said.usage)
            if failure is None:
                self._model_fault = ""
                log.info("model.usable", extra={"fields": {"model": SessionProfile.of(agent, realtime).model}})
                break
            cause = told(failure.cause, failure.remedy)
            self._model_fault = self._model_fault or cause
            log.error("model.unusable", extra={"fields": {"fault": failure.fault.value, "cause": cause}})
        self._model_tried.set()
        self.availability.set_reason(Reason.MODEL, bool(self._model_fault))

    async def _watch_model(self) -> None:
        """Try a model that could not be used again and again, and one that a call could not reach at once."""
        await self._model_tried.wait()
        pause, failed, silent = FIRST_TRIAL_S, self.metrics.without_model, self.metrics.model_silent
        while True:
            if self._model_fault:
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_TRIAL_S)
            else:
                pause = FIRST_TRIAL_S
                await asyncio.sleep(MODEL_LOOK_S)
                if self.metrics.without_model == failed:
                    continue
            failed = self.metrics.without_model
            # One that was silent has to be heard again; that a session can be had was true all the time.
            silent_now = self.metrics.model_silent
            await self._try_model(speaks=silent_now != silent)
            if not self._model_fault:
                silent = silent_now

    # -- /metrics and /healthz ---------------------------------------------------------------------

    def _web(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/metrics", self._answer_metrics)
        app.router.add_get("/healthz", self._answer_health)
        return app

    async def _answer_metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=self.metrics.render(), headers={"Content-Type": "text/plain; version=0.0.4"})

    async def _answer_health(self, request: web.Request) -> web.Response:
        listening = self.ari.listening and self.started.is_set()
        draining = self._draining.asked.is_set() or self._stop.is_set()
        takes_calls = listening and not draining
        health = {
            "status": "ok" if takes_calls else "draining" if draining else "unavailable",
            "asterisk": "connected" if listening else "not connected",
            "manager": "not configured" if self.pool is None else self.pool.state,
            "seats": self._seats_now(),
            "model": self._model_fault or "ok",
            "calls": len(self.calls),
            "draining": draining,
            "version": __version__,
        }
        return web.json_response(health, status=200 if takes_calls else 503)

    def _seats_now(self) -> dict[str, object]:
        """For ``/healthz``: whether callers are sent to seats, else why not, and how many seats are in which state."""
        first = self.availability.first
        now: dict[str, object] = {"open": self.door.open, "reason": first.value if first is not None else None}
        if self.pool is not None and self.pool.seats.known:
            count: Counter[str] = Counter()
            for (state, _), seats in self.pool.seats.counts(first).items():
                count[state] += seats
            now |= {**count, "invalid": self.pool.seats.invalid}
        return now

# SPDX-License-Identifier: AGPL-3.0-only
"""`create_app(settings)`: the one place where the parts meet."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import cast

from litestar import Litestar, Router
from litestar.datastructures import State

from queuedeck import folder, keyring
from queuedeck.api import routes as api
from queuedeck.clock import MINUTE_US, now_us
from queuedeck.db.engine import ControlDb
from queuedeck.domain.accounts.links import LIFETIME_US, first_setup_link
from queuedeck.domain.accounts.passwords import Passwords
from queuedeck.domain.agents.registry import AgentRegistry
from queuedeck.domain.audit.queries import check_key
from queuedeck.domain.commands.again import renew_leases
from queuedeck.domain.commands.delivery import apply_results
from queuedeck.domain.commands.desk import Results
from queuedeck.domain.labels.rulebook import Rulebook
from queuedeck.domain.queues.observers import Observers
from queuedeck.domain.queues.watch import Watches
from queuedeck.domain.tasks.ingest import Ingest
from queuedeck.entrance.application import Application
from queuedeck.entrance.errors import exception_handlers
from queuedeck.entrance.guards import check_routes_declare
from queuedeck.entrance.providers import DEPENDENCIES
from queuedeck.entrance.services import Services
from queuedeck.gateway.dispatch import Dispatch
from queuedeck.gateway.endpoint import agent_link
from queuedeck.gateway.hub import Gateway
from queuedeck.gateway.link import Timing
from queuedeck.history.sqlite.store import SqliteHistory
from queuedeck.history.store import History
from queuedeck.live import Live
from queuedeck.loops import prune_commands, prune_counts, retention, sum_counts
from queuedeck.loops.expire_commands import INTERVAL_S, expire_commands
from queuedeck.loops.observe_queues import (
    KEEP_EVERY_S,
    OBSERVE_EVERY_S,
    ObserveQueues,
    keep_depths,
    restore_depths,
)
from queuedeck.loops.pauses import PAUSE_EVERY_S, KeepPauses
from queuedeck.loops.reconcile import ANSWERS_EVERY_S, Reconcile
from queuedeck.loops.run_operations import INTERVAL_S as OPERATIONS_EVERY_S
from queuedeck.loops.run_operations import RunOperations
from queuedeck.loops.runner import Runner
from queuedeck.loops.search_index import INDEX_EVERY_S, index_words
from queuedeck.settings import Settings
from queuedeck.shared import Shared
from queuedeck.web import routes as web

MAX_BODY_BYTES = 1 << 20
REVOKED_EVERY_S = 2.0
DISPATCH_AGAIN_S = 1.0
"""Dispatch goes on for as long as the server; should it fail, it begins again after this."""


def create_app(settings: Settings) -> Application:
    """The whole server as an ASGI application. Nothing is opened before its lifespan begins."""
    folder.prepare(settings.data)
    dispatch = Dispatch()
    services = _services(settings, dispatch)
    gateway = Gateway(services, Timing())
    app = Application(
        settings,
        route_handlers=[
            agent_link,
            *api.ROUTES,
            Router("/", route_handlers=web.ROUTES, include_in_schema=False),
        ],
        dependencies=DEPENDENCIES,
        exception_handlers=exception_handlers(web.error_page),
        lifespan=[partial(_running, services=services, gateway=gateway, dispatch=dispatch)],
        openapi_config=api.openapi_config(),
        logging_config=None,
        request_max_body_size=MAX_BODY_BYTES,
        state=State({"services": services, "gateway": gateway}),
    )
    check_routes_declare(app)
    return app


async def first_steps(app: Litestar) -> list[str]:
    """What to tell whoever started the server: how to make the first account, if there is none."""
    services = cast("Services", app.state["services"])
    token = await first_setup_link(services.control, services.keyring, services.clock)
    if not token:
        return []
    url = f"{services.settings.url}/setup/{token}"
    return [f"Open {url} to create the first account (valid {LIFETIME_US // MINUTE_US} minutes)"]


async def stop_streams(app: Litestar) -> None:
    """End what would never end by itself: event streams and agents' links."""
    cast("Services", app.state["services"]).live.stop()
    await cast("Gateway", app.state["gateway"]).stop()


def _services(settings: Settings, dispatch: Dispatch) -> Services:
    keys = keyring.load_or_create(settings.data / folder.KEY_NAME, settings.secret)
    control, live = ControlDb(settings.control), Live()
    history = _history(settings)
    registry, watches = AgentRegistry(now_us), Watches(now_us)
    rulebook = Rulebook(control)
    results = Results(control=control, keyring=keys, live=live, clock=now_us)
    return Services(
        settings=settings,
        keyring=keys,
        control=control,
        history=history,
        live=live,
        shared=Shared(live),
        registry=registry,
        watches=watches,
        observers=Observers(registry, watches, now_us),
        ingest=Ingest(history, live, partial(apply_results, results), labels_of=rulebook.of),
        rulebook=rulebook,
        commands_changed=dispatch.wake,
        passwords=Passwords(),
        clock=now_us,
    )


def _history(settings: Settings) -> History:
    if settings.database_url:
        # Its driver is not imported where there are files.
        from queuedeck.history.postgres.store import PostgresHistory

        return PostgresHistory(settings.database_url, now_us)
    return SqliteHistory(settings.history_db, now_us)


@asynccontextmanager
async def _running(
    app: Litestar, *, services: Services, gateway: Gateway, dispatch: Dispatch
) -> AsyncGenerator[None]:
    """Opens in this order, closes in the other. Who runs this holds the data folder's lock."""
    async with AsyncExitStack() as stack:
        await services.control.open()
        stack.push_async_callback(services.control.close)
        await check_key(services.control, services.keyring)
        await services.rulebook.load()
        await services.history.open()
        stack.push_async_callback(services.history.close)
        await restore_depths(services)
        stack.push_async_callback(keep_depths, services)
        services.ingest.start()
        stack.push_async_callback(services.ingest.stop)
        await renew_leases(services)
        runner = Runner()
        stack.push_async_callback(runner.stop)
        runner.start("expire commands", INTERVAL_S, partial(expire_commands, services))
        runner.start("operations", OPERATIONS_EVERY_S, RunOperations(services).round)
        runner.start("index of words", INDEX_EVERY_S, partial(index_words, services))
        runner.start(
            "prune counts",
            prune_counts.INTERVAL_S,
            partial(prune_counts.prune_counts, services),
        )
        runner.start(
            "prune commands",
            prune_commands.INTERVAL_S,
            partial(prune_commands.prune_commands, services),
        )
        runner.start("sum counts", sum_counts.INTERVAL_S, partial(sum_counts.sum_counts, services))
        runner.start("retention", retention.INTERVAL_S, partial(retention.retain, services))
        runner.start("depths", KEEP_EVERY_S, partial(keep_depths, services))
        runner.start("queues", OBSERVE_EVERY_S, ObserveQueues(services).round)
        runner.start("pauses", PAUSE_EVERY_S, KeepPauses(services).round)
        if services.settings.reconcile_every_s:
            runner.start("reconcile", ANSWERS_EVERY_S, Reconcile(services).round)
        runner.start("revoked keys", REVOKED_EVERY_S, gateway.end_revoked)
        runner.start("dispatch", DISPATCH_AGAIN_S, partial(dispatch.run, services))
        stack.push_async_callback(stop_streams, app)
        yield

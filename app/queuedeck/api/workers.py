# SPDX-License-Identifier: AGPL-3.0-only
"""Workers for programs: who they are, what they run, and what can be asked of one."""

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from queuedeck.api.control import ControlAnswer, ControlCommand, control_command
from queuedeck.api.views import TaskSummary, errors, summary_of
from queuedeck.domain.accounts.actor import Actor
from queuedeck.domain.accounts.permissions import Permission
from queuedeck.domain.projects.access import Access
from queuedeck.domain.workers.commands import refusal_of, request_control
from queuedeck.domain.workers.overview import CONTROL, Worker, workers_of
from queuedeck.entrance.guards import requires
from queuedeck.entrance.services import Services
from queuedeck_agent import wire

WORKER_PATH = "/workers/{agent:str}/{source:str}"


class WorkerAnswer(msgspec.Struct, frozen=True, kw_only=True):
    agent_id: str
    source: str
    engine: str
    version: str
    name: str
    host: str
    pid: int
    pool: str
    slots: int
    queues: list[str]
    connected: bool
    started_us: int
    seen_us: int
    backlog_bytes: int
    """In its spool, not acknowledged."""
    agent_version: str
    release: str
    """Of the application's code; empty where it is not known."""
    rss_bytes: int
    """Resident memory of the process; 0: not known."""
    children: int
    """Processes that it has started, as those of a pool; -1: not known."""
    children_rss_bytes: int
    """Of these together; pages that they share count for each."""
    clock_skew_us: int
    """How far its clock is ahead of the server's, network time included."""
    running: list[TaskSummary]
    """Those that were seen last."""
    cannot: dict[str, str]
    """Verb -> why it is not possible now. What is not named here can be asked."""
    commands: list[ControlCommand]
    """What was asked of it, newest first."""


class WorkerList(msgspec.Struct, frozen=True):
    workers: list[WorkerAnswer]


class PoolInput(msgspec.Struct, frozen=True):
    amount: int
    """Slots to add, or to take away when negative."""


class RateInput(msgspec.Struct, frozen=True):
    task_name: str
    rate: str = ""
    """In the engine's own terms, `10/m`; empty takes the limit away."""


@get(
    "/workers",
    guards=[requires(Permission.READ_AGENTS)],
    summary="List workers, what they run and what can be asked of them",
    responses=errors(),
)
async def list_workers(
    services: NamedDependency[Services], access: NamedDependency[Access]
) -> WorkerList:
    s = services
    found = await workers_of(s.control, s.history, s.registry, access.project.id)
    return WorkerList([_answer(one) for one in found])


@post(
    WORKER_PATH + "/pool-changes",
    guards=[requires(Permission.CONTROL_WORKERS)],
    status_code=202,
    summary="Add slots to a worker, or take some away",
    responses=errors(409, 422, 503),
)
async def change_pool(
    services: NamedDependency[Services],
    access: NamedDependency[Access],
    actor: NamedDependency[Actor],
    agent: FromPath[str],
    source: FromPath[str],
    data: JSONBody[PoolInput],
) -> ControlAnswer:
    command = await request_control(
        services, access.project, agent, source, "pool", actor, amount=data.amount
    )
    return ControlAnswer(control_command(command))


@post(
    WORKER_PATH + "/rate-limits",
    guards=[requires(Permission.CONTROL_WORKERS)],
    status_code=202,
    summary="Limit how often tasks of a name start on a worker",
    responses=errors(409, 422, 503),
)
async def limit_rate(
    services: NamedDependency[Services],
    access: NamedDependency[Access],
    actor: NamedDependency[Actor],
    agent: FromPath[str],
    source: FromPath[str],
    data: JSONBody[RateInput],
) -> ControlAnswer:
    command = await request_control(
        services, access.project, agent, source, "rate", actor,
        task_name=data.task_name, rate=data.rate,
    )  # fmt: skip
    return ControlAnswer(control_command(command))


@post(
    WORKER_PATH + "/drains",
    guards=[requires(Permission.CONTROL_WORKERS)],
    status_code=202,
    summary="Let a worker take no further task; running ones end",
    responses=errors(409, 503),
)
async def drain_worker(
    services: NamedDependency[Services],
    access: NamedDependency[Access],
    actor: NamedDependency[Actor],
    agent: FromPath[str],
    source: FromPath[str],
) -> ControlAnswer:
    command = await request_control(services, access.project, agent, source, "drain", actor)
    return ControlAnswer(control_command(command))


@post(
    WORKER_PATH + "/undrains",
    guards=[requires(Permission.CONTROL_WORKERS)],
    status_code=202,
    summary="Let a worker take tasks again",
    responses=errors(409, 503),
)
async def undrain_worker(
    services: NamedDependency[Services],
    access: NamedDependency[Access],
    actor: NamedDependency[Actor],
    agent: FromPath[str],
    source: FromPath[str],
) -> ControlAnswer:
    command = await request_control(services, access.project, agent, source, "undrain", actor)
    return ControlAnswer(control_command(command))


@post(
    WORKER_PATH + "/restarts",
    guards=[requires(Permission.CONTROL_WORKERS)],
    status_code=202,
    summary="Restart a worker when its running tasks have ended",
    responses=errors(409, 503),
)
async def restart_worker(
    services: NamedDependency[Services],
    access: NamedDependency[Access],
    actor: NamedDependency[Actor],
    agent: FromPath[str],
    source: FromPath[str],
) -> ControlAnswer:
    command = await request_control(services, access.project, agent, source, "restart", actor)
    return ControlAnswer(control_command(command))


def _answer(worker: Worker) -> WorkerAnswer:
    agent, engine = worker.agent, worker.engine
    beat = agent.heartbeat or wire.Heartbeat(0)
    refusals = {verb: refusal_of(agent, worker.ref, verb) for verb in CONTROL}
    return WorkerAnswer(
        agent_id=agent.agent_id,
        source=engine.source,
        engine=engine.engine,
        version=engine.version,
        name=worker.ref.name,
        host=agent.hello.host,
        pid=agent.hello.pid,
        pool=engine.pool,
        slots=engine.slots,
        queues=list(engine.queues),
        connected=agent.connected,
        started_us=agent.hello.started_us,
        seen_us=agent.seen_us,
        backlog_bytes=beat.backlog_bytes,
        agent_version=agent.hello.version,
        release=agent.hello.release,
        rss_bytes=beat.rss_bytes,
        children=beat.children,
        children_rss_bytes=beat.children_rss_bytes,
        clock_skew_us=agent.clock_skew_us,
        running=[summary_of(row) for row in worker.running],
        cannot={verb: why.message for verb, why in refusals.items() if why},
        commands=[control_command(one) for one in worker.commands],
    )


HANDLERS = [list_workers, change_pool, limit_rate, drain_worker, undrain_worker, restart_worker]

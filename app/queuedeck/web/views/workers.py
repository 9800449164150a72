# SPDX-License-Identifier: AGPL-3.0-only
"""Workers: what they are, what they run, and what can be asked of them."""

from collections import Counter

import msgspec

from queuedeck.domain.accounts.permissions import Permission
from queuedeck.domain.agents.registry import MEMORY_STEP_US, MEMORY_STEPS, AgentSeen
from queuedeck.domain.projects.access import Access
from queuedeck.domain.tasks.filters import to_text
from queuedeck.domain.workers.commands import refusal_of
from queuedeck.domain.workers.overview import CONTROL, Worker
from queuedeck.history.filters import TaskFilter
from queuedeck.history.tasks import TaskRow, TaskState
from queuedeck.web import urls
from queuedeck.web.format import Moment, Span, count, growing, moment_ago, plural, size
from queuedeck.web.views.agents import SILENT_AFTER_US, clock_skew
from queuedeck.web.views.commands import CommandView, command_view, person
from queuedeck.web.views.sparks import spark_of_known
from queuedeck.web.views.words import Empty, EngineTag, Link, Name, engine_tag, task_name
from queuedeck.web.views.worker_groups import GroupBy, grouped, releases

TASKS_SHOWN = 4
COMMANDS_SHOWN = 3
NOUNS = {
    "pool": "pool-changes",
    "rate": "rate-limits",
    "drain": "drains",
    "undrain": "undrains",
    "restart": "restarts",
}
"""Verb -> the noun of its address."""


class Control(msgspec.Struct, frozen=True):
    """One thing that can be asked, and why it cannot."""

    url: str
    why_not: str
    hint: str
    """What it means here, in the adapter's own words where it is not the engine's own way."""


class RunningTask(msgspec.Struct, frozen=True, kw_only=True):
    name: Name
    url: str
    since: Span


class WorkerView(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    tag: EngineTag
    name: str
    host: str
    process: str
    state: str
    word: str
    note: str
    """Who drained it."""
    software: str
    pool: str
    slots: str
    queues: tuple[Link, ...]
    tasks: tuple[str, ...]
    """Names of the tasks that it knows, for limits."""
    up: Moment
    heard: Moment
    backlog: str
    memory: str
    """Of the process and its children; empty where the host does not say."""
    memory_note: str
    spark: str
    spark_label: str
    clock: str
    """How far its clock is off, when it is."""
    running: tuple[RunningTask, ...]
    running_more: str
    tasks_url: str
    controls: dict[str, Control]
    why_not: str
    """One reason for all, where it is the same."""
    commands: tuple[CommandView, ...]
    findings: tuple[str, ...]
    """Settings that can hurt, each with what to do."""
    findings_title: str


class GroupView(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    title: str
    """Empty: the only one."""
    note: str
    workers: tuple[WorkerView, ...]


class Tab(msgspec.Struct, frozen=True):
    label: str
    url: str
    current: bool


class WorkersView(msgspec.Struct, frozen=True, kw_only=True):
    total: str
    versions: tuple[str, ...]
    """Which releases of the code and of the agent run side by side, where they differ."""
    tabs: tuple[Tab, ...]
    groups: tuple[GroupView, ...]
    empty: Empty | None


_TABS = {GroupBy.NOTHING: "One list", GroupBy.HOST: "By host", GroupBy.RELEASE: "By release"}


def workers_view(
    workers: list[Worker], access: Access, now_us: int, by: GroupBy = GroupBy.NOTHING
) -> WorkersView:
    live = [one for one in workers if one.agent.connected]
    slots = sum(max(0, one.engine.slots) for one in live)
    total = f"{plural(len(live), 'worker')} connected, {plural(slots, 'slot')}"
    away = len(workers) - len(live)
    total += f", {count(away)} seen within a day" if away else ""
    return WorkersView(
        total=total if workers else "",
        versions=tuple(filter(None, (_releases(live), _versions(live)))),
        tabs=tuple(
            Tab(label, urls.workers(access.project.slug, kind.value), kind is by)
            for kind, label in _TABS.items()
        ),
        groups=tuple(
            GroupView(
                id=f"workers-{place}",
                title=group.title,
                note=group.note,
                workers=tuple(worker_view(one, access, now_us) for one in group.workers),
            )
            for place, group in enumerate(grouped(workers, by))
        ),
        empty=None if workers else _empty(access),
    )


def worker_view(worker: Worker, access: Access, now_us: int) -> WorkerView:
    agent, engine, project = worker.agent, worker.engine, access.project.slug
    state, word, note = _state(worker, now_us)
    question = TaskFilter(workers=(worker.ref.name,), states=(TaskState.RUNNING,))
    controls = _controls(worker, access)
    reasons = {one.why_not for one in controls.values()}
    more = len(worker.running) - TASKS_SHOWN
    return WorkerView(
        id=f"worker-{agent.agent_id[:12]}-{engine.source}",
        tag=engine_tag(engine.engine),
        name=worker.ref.name,
        host=agent.hello.host,
        process=f"pid {agent.hello.pid}",
        state=state,
        word=word,
        note=note,
        software=_software(worker),
        pool=engine.pool,
        slots=_slots(worker),
        queues=tuple(
            Link(name, urls.queue(project, engine.engine, engine.source, name))
            for name in engine.queues
        ),
        tasks=engine.tasks,
        up=moment_ago(agent.hello.started_us or agent.connected_us, now_us),
        heard=moment_ago(agent.seen_us, now_us),
        backlog=_backlog(worker),
        memory=size(agent.rss_bytes) if agent.rss_bytes else "",
        memory_note=_memory_note(agent),
        spark=spark_of_known(_memory(agent, now_us)),
        spark_label="Memory in the last hour",
        clock=f"clock {skew} ours" if (skew := clock_skew(agent)) else "",
        running=tuple(_task(one, project, now_us) for one in worker.running[:TASKS_SHOWN]),
        running_more=f"{count(more)} more" if more > 0 else "",
        tasks_url=urls.tasks(project, to_text(question)),
        controls=controls,
        why_not=reasons.pop() if len(reasons) == 1 else "",
        commands=tuple(
            command_view(one, project, now_us) for one in worker.commands[:COMMANDS_SHOWN]
        ),
        findings=engine.findings,
        findings_title=f"{plural(len(engine.findings), 'setting')} to look at",
    )


def _state(worker: Worker, now_us: int) -> tuple[str, str, str]:
    agent = worker.agent
    if not agent.connected:
        return "cancelled", "Not connected", ""
    if now_us - agent.seen_us > SILENT_AFTER_US:
        return "retrying", "Silent", ""
    drained = worker.drained
    if drained is not None:
        word = "Drained" if not worker.running else "Draining"
        left = f", {plural(len(worker.running), 'task')} still running" if worker.running else ""
        return "retrying", word, f"by {person(drained.requested_by)}{left}"
    return "succeeded", "Connected", ""


def _slots(worker: Worker) -> str:
    if worker.engine.slots <= 0:
        return f"{count(len(worker.running))} running" if worker.running else ""
    return f"{count(len(worker.running))} of {count(worker.engine.slots)} busy"


def _backlog(worker: Worker) -> str:
    beat = worker.agent.heartbeat
    left = beat.backlog_bytes if beat else 0
    where = ", in memory only" if worker.agent.hello.spool == "memory" else ""
    return (f"{size(left)} to send" if left else "all sent") + where


def _software(worker: Worker) -> str:
    hello, engine = worker.agent.hello, worker.engine
    parts = [f"release {hello.release}"] if hello.release else []
    parts += [f"{engine_tag(engine.engine).title} {engine.version}", f"agent {hello.version}"]
    return ", ".join(parts)


def _memory_note(agent: AgentSeen) -> str:
    """`310.2 MiB in 4 children`: pages that processes share count for each of them."""
    beat = agent.heartbeat
    if beat is None or not beat.rss_bytes or beat.children <= 0:
        return ""
    return f"{size(beat.children_rss_bytes)} in {plural(beat.children, 'child', 'children')}"


def _memory(agent: AgentSeen, now_us: int) -> list[int | None]:
    """The last hour, a value for each step."""
    known = dict(agent.memory)
    newest = now_us - now_us % MEMORY_STEP_US
    steps = range(MEMORY_STEPS - 1, -1, -1)
    return [known.get(newest - step * MEMORY_STEP_US) for step in steps]


def _task(row: TaskRow, project: str, now_us: int) -> RunningTask:
    return RunningTask(
        name=task_name(row.name),
        url=urls.task(project, row.engine, row.task_id, key=row.key),
        since=growing(row.started_us or row.seen_us, now_us),
    )


def _controls(worker: Worker, access: Access) -> dict[str, Control]:
    base = urls.worker(access.project.slug, worker.ref.agent_id, worker.ref.source)
    return {
        verb: Control(f"{base}/{NOUNS[verb]}", _why_not(worker, access, verb), _hint(worker, verb))
        for verb in CONTROL
    }


def _why_not(worker: Worker, access: Access, verb: str) -> str:
    if not access.allows(Permission.CONTROL_WORKERS):
        return f"Your role here is {access.role.value}; this needs an operator."
    refusal = refusal_of(worker.agent, worker.ref, verb)
    return refusal.message if refusal else ""


def _hint(worker: Worker, verb: str) -> str:
    able = (one for one in worker.engine.capabilities if one.verb == verb and one.how == "emulated")
    return next((one.reason for one in able), "")


def _releases(live: list[Worker]) -> str:
    found = releases(live)
    return f"release {found}" if found else ""


def _versions(live: list[Worker]) -> str:
    """`agent 0.1.0 (3), 0.2.0 (5)` while a roll-out is under way; nothing when all are the same."""
    found = Counter(one.agent.hello.version for one in live)
    if len(found) < 2:
        return ""
    return "agent " + ", ".join(
        f"{version} ({number})" for version, number in sorted(found.items())
    )


def _empty(access: Access) -> Empty:
    text = "A worker is shown as soon as it runs with the agent attached."
    links = (Link("Connect a worker", urls.connect(access.project.slug)),)
    can = access.allows(Permission.CONNECT_AGENTS)
    return Empty("workers", "No worker has been connected within a day", text, links if can else ())

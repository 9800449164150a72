# SPDX-License-Identifier: AGPL-3.0-only
"""Queues as the page shows them: words and paths for what is known, and why the rest is not."""

import msgspec

from queuedeck.clock import MINUTE_US, SECOND_US
from queuedeck.domain.queues.overview import QueueLine, QueueState
from queuedeck.domain.queues.pauses import PauseSeen
from queuedeck.domain.tasks.filters import to_text
from queuedeck.history.filters import TaskFilter
from queuedeck.history.tasks import TaskState
from queuedeck.web import urls
from queuedeck.web.format import Moment, Span, count, duration, growing, moment_ago, plural
from queuedeck.web.views.pauses import pause_banner
from queuedeck.web.views.sparks import spark_of_known
from queuedeck.web.views.words import Empty, EngineTag, Link, engine_tag

SPARK_WIDTH = 60


class Status(msgspec.Struct, frozen=True):
    style: str
    """That of a task's state, which has an icon and a colour."""
    icon: str
    word: str
    note: str = ""
    since: Moment | None = None


class QueueRow(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    tag: EngineTag
    name: str
    url: str
    tasks_url: str
    """Its tasks."""
    source: str
    """Where there is more than one."""
    status: Status
    depth: str
    depth_url: str
    """Its waiting tasks."""
    beside: tuple[Link, ...]
    """What is not waiting: scheduled, taken, dead."""
    spark: str
    spark_label: str
    oldest: Span
    oldest_note: str
    wait: str
    coming: str
    leaving: str
    workers: str
    slots: str
    drain: str
    drain_style: str
    faded: bool


class QueuesView(msgspec.Struct, frozen=True, kw_only=True):
    total: str
    rows: tuple[QueueRow, ...]
    empty: Empty | None
    foot: str


def queues_view(
    lines: list[QueueLine],
    project: str,
    now_us: int,
    can_connect: bool,
    held: list[PauseSeen] | None = None,
) -> QueuesView:
    pauses = {(one.source, one.queue): one for one in held or ()}
    waiting = sum(line.waiting or 0 for line in lines if line.state is QueueState.COUNTED)
    counted = sum(line.state is QueueState.COUNTED for line in lines)
    total = f"{count(waiting)} waiting in {plural(counted, 'queue')}"
    if counted < len(lines):
        total += f", {count(len(lines) - counted)} not counted now"
    several = len({line.source for line in lines}) > 1
    return QueuesView(
        total=total if lines else "",
        rows=tuple(
            queue_row(line, project, now_us, several, pauses.get((line.source, line.name)))
            for line in lines
        ),
        empty=None if lines else _empty(project, can_connect),
        foot="Counted in the brokers every 5 s. In, out and wait p95: the last 5 minutes.",
    )


def queue_row(
    line: QueueLine, project: str, now_us: int, several: bool, pause: PauseSeen | None = None
) -> QueueRow:
    question = TaskFilter(queues=(line.name,), sources=(line.source,) if several else ())
    waiting = msgspec.structs.replace(question, states=(TaskState.QUEUED,))
    drain, style = _drain(line)
    return QueueRow(
        id=f"q-{line.source}-{line.name.encode().hex()}",
        tag=engine_tag(line.engine),
        name=line.name,
        url=urls.queue(project, line.engine or "unknown", line.source, line.name),
        tasks_url=urls.tasks(project, to_text(question)),
        source=(line.source_name or line.source) if several else "",
        status=_paused(pause, project, now_us) if pause else _status(line, now_us),
        depth="–" if line.waiting is None else count(line.waiting),
        depth_url=urls.tasks(project, to_text(waiting)),
        beside=_beside(line, question, project),
        spark=spark_of_known(line.minutes),
        spark_label=_spark_label(line.minutes),
        oldest=growing(line.oldest_us, now_us) if line.oldest_us and line.waiting else Span(),
        oldest_note="not known" if line.waiting and not line.oldest_us else "",
        wait=duration(line.wait_p95_us),
        coming=_rate(line.in_per_minute),
        leaving=_rate(line.out_per_minute),
        workers=_workers(line),
        slots=plural(line.slots, "slot") if line.slots else "",
        drain=drain,
        drain_style=style,
        faded=line.state is not QueueState.COUNTED,
    )


def _paused(held: PauseSeen, project: str, now_us: int) -> Status:
    """The page of the queue says more; here is who, why, and how far it has come."""
    banner = pause_banner(held, project, now_us)
    done, of = held.confirmed, len(held.workers)
    word = "Paused" if done == of and done else f"Pausing {done} of {of}"
    if done < of and not held.is_waiting:
        word = f"Paused on {done} of {of}" if done else "Not paused"
    return Status("retrying", "pause", word, f"{banner.who}: {held.reason}", banner.since)


def _status(line: QueueLine, now_us: int) -> Status:
    if line.state is not QueueState.COUNTED:
        since = line.counted_us or line.why_since_us
        word = "Not counted" if line.counted_us is None else "Counted"
        moment = moment_ago(since, now_us) if since else None
        return Status("cancelled", "info", word, line.why, moment)
    if line.workers or (line.consumers or 0) > 0 or line.out_per_minute:
        return Status("succeeded", "succeeded", "Active")
    if line.waiting:
        return Status("failed", "unplugged", "No workers", "none with the agent takes from it")
    return Status("cancelled", "unplugged", "No workers", "none with the agent")


def _beside(line: QueueLine, question: TaskFilter, project: str) -> tuple[Link, ...]:
    states = {
        "scheduled": TaskState.SCHEDULED,
        "taken": TaskState.RUNNING,
        "dead": TaskState.FAILED,
    }
    numbers = {"scheduled": line.scheduled, "taken": line.taken, "dead": line.dead}
    found: list[Link] = []
    for word, number in numbers.items():
        narrowed = msgspec.structs.replace(question, states=(states[word],))
        if number:
            found.append(Link(f"{count(number)} {word}", urls.tasks(project, to_text(narrowed))))
    return tuple(found)


def _workers(line: QueueLine) -> str:
    if line.workers:
        return count(line.workers)
    if line.consumers is not None and line.consumers > 0:
        return f"{count(line.consumers)}, without agent"
    return "0"


def _drain(line: QueueLine) -> tuple[str, str]:
    """(text, style); nothing where nothing can be said."""
    if line.drain_s is not None:
        return _roughly(line.drain_s), ""
    if line.grows_per_minute is not None:
        return f"grows {_rate(line.grows_per_minute)}/min", "breach"
    return "", ""


def _roughly(seconds: int) -> str:
    """An estimate: without false precision."""
    us = seconds * SECOND_US
    if us < MINUTE_US:
        return f"{max(5, -(-seconds // 5) * 5)} s"
    return f"{-(-seconds // 60)} min" if us < 90 * MINUTE_US else f"{-(-seconds // 3_600)} h"


def _rate(number: float) -> str:
    return count(round(number)) if number >= 10 or not number else f"{number:.1f}"


def _spark_label(minutes: list[int | None]) -> str:
    known = [one for one in minutes if one is not None]
    if not known:
        return "Not counted in the last hour"
    return f"{count(min(known))} to {count(max(known))} waiting in the last hour"


def _empty(project: str, can_connect: bool) -> Empty:
    text = (
        "A queue is shown as soon as a worker with the agent consumes it or a task is published "
        "to it. The agent counts what waits, by your application's own settings."
    )
    links = (Link("Connect a worker", urls.connect(project)),) if can_connect else ()
    return Empty("queues", "No queue is known yet", text, links)

# SPDX-License-Identifier: AGPL-3.0-only
"""Pauses in words: who, since when, why, until when, and how far they have come."""

import msgspec

from queuedeck.domain.projects.access import Access
from queuedeck.domain.queues.pauses import PauseSeen
from queuedeck.domain.queues.told import PausedWorker, Word
from queuedeck.history.tasks import TaskDetail
from queuedeck.web import urls
from queuedeck.web.format import Moment, moment_ago, moment_minute, plural
from queuedeck.web.views.commands import person
from queuedeck.web.views.task import Remark
from queuedeck.web.views.taskline import WAITING

_STYLES = {
    Word.CONFIRMED: ("succeeded", "Confirmed"),
    Word.WAITING: ("queued", "Waiting"),
    Word.REFUSED: ("failed", "Refused"),
    Word.UNABLE: ("cancelled", "Not able"),
    Word.UNKNOWN: ("lost", "Unknown"),
}
_USUAL = {
    Word.CONFIRMED: "",
    Word.WAITING: "It has not said yet that it stopped taking.",
}


class PausedLine(msgspec.Struct, frozen=True, kw_only=True):
    """One worker of a paused queue."""

    id: str
    name: str
    host: str
    style: str
    word: str
    why: str


class PauseBanner(msgspec.Struct, frozen=True, kw_only=True):
    """A pause as every page shows it, and with its workers as the queue's page does."""

    id: str
    queue: str
    url: str
    words: str
    """`paused`, or how far it has come: never `paused` while no worker has said so."""
    is_paused: bool
    who: str
    since: Moment
    reason: str
    until: Moment | None
    lines: tuple[PausedLine, ...] = ()


def banners(held: list[PauseSeen], access: Access, now_us: int) -> tuple[PauseBanner, ...]:
    return tuple(pause_banner(one, access.project.slug, now_us) for one in held)


def pause_banner(held: PauseSeen, project: str, now_us: int) -> PauseBanner:
    return PauseBanner(
        id=f"pause-{held.id}",
        queue=held.queue,
        url=urls.queue(project, held.engine, held.source, held.queue),
        words=pause_words(held),
        is_paused=bool(held.confirmed),
        who=person(held.requested_by),
        since=moment_ago(held.since_us, now_us),
        reason=held.reason.rstrip(".") or held.reason,
        until=moment_minute(held.until_us) if held.until_us else None,
        lines=tuple(_line(one) for one in held.workers),
    )


def pause_words(held: PauseSeen) -> str:
    """How far it has come, as a part of a sentence that goes on with `by`."""
    done, of = held.confirmed, len(held.workers)
    workers = plural(of, "worker")
    if not of:
        return "waits for a worker, to be paused"
    if done == of:
        return "is paused"
    if held.is_waiting:
        return f"is pausing, {done} of {workers} confirmed, asked"
    if done:
        return f"is paused on {done} of {workers}"
    return f"is not paused: none of {workers} could; asked"


def paused(detail: TaskDetail, held: list[PauseSeen], project: str) -> tuple[Remark, ...]:
    """What the page of a task says that waits in a paused queue."""
    row = detail.row
    found = [one for one in held if (one.source, one.queue) == (row.source, row.queue)]
    if row.state not in WAITING or not found:
        return ()
    one = pause_banner(found[0], project, 0)
    text = f"It waits in {one.queue}, which {one.words} by {one.who}: {one.reason}."
    return (Remark(text, one.url, "Open the queue"),)


def _line(one: PausedWorker) -> PausedLine:
    style, word = _STYLES[one.word]
    return PausedLine(
        id=f"paused-{one.agent_id[:12]}",
        name=one.worker,
        host=one.host,
        style=style,
        word=word,
        why=one.why or _USUAL.get(one.word, ""),
    )

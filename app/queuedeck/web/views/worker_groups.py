# SPDX-License-Identifier: AGPL-3.0-only
"""Workers in groups: by host, by release; and which releases run side by side. Pure."""

from collections import Counter
from enum import StrEnum

import msgspec

from queuedeck.domain.workers.overview import Worker
from queuedeck.web.format import count, plural, size

NO_RELEASE = "release not known"


class GroupBy(StrEnum):
    """As it stands in the address."""

    NOTHING = ""
    HOST = "host"
    RELEASE = "release"


class Group(msgspec.Struct, frozen=True):
    title: str
    """Empty: there is one group, which needs no name."""
    note: str
    workers: list[Worker]


def grouped(workers: list[Worker], by: GroupBy) -> list[Group]:
    """Groups with a connected worker first: hosts by name, releases by age. Within a group workers
    keep their order.
    """
    if by is GroupBy.NOTHING:
        return [Group("", "", workers)] if workers else []
    found: dict[str, list[Worker]] = {}
    for one in workers:
        title = one.agent.hello.host if by is GroupBy.HOST else one.agent.hello.release
        found.setdefault(title, []).append(one)
    titles = by_age(workers) if by is GroupBy.RELEASE else sorted(found)
    titles.sort(key=lambda title: not _is_live(found[title]))
    return [Group(title or NO_RELEASE, _note(found[title]), found[title]) for title in titles]


def releases(workers: list[Worker]) -> str:
    """`v1.8 (3) → v1.9 (5)` while connected workers run different code; else nothing."""
    live = [one for one in workers if one.agent.connected]
    numbers = Counter(one.agent.hello.release for one in live)
    if len(numbers) < 2:
        return ""
    return " → ".join(f"{name or 'not known'} ({count(numbers[name])})" for name in by_age(live))


def by_age(workers: list[Worker]) -> list[str]:
    """Releases, the one whose first worker started first in front: the newest is last."""
    begun: dict[str, int] = {}
    for one in workers:
        release, at_us = one.agent.hello.release, one.agent.hello.started_us
        begun[release] = min(at_us, begun.get(release, at_us))
    return sorted(begun, key=lambda release: (begun[release], release))


def _note(workers: list[Worker]) -> str:
    """`3 workers connected, 12 slots, 1.2 GiB`. Memory counts once for each process."""
    live = [one for one in workers if one.agent.connected]
    slots = sum(max(0, one.engine.slots) for one in live)
    taken = sum({one.ref.agent_id: one.agent.rss_bytes for one in live}.values())
    parts = [f"{plural(len(live), 'worker')} connected"]
    parts += [plural(slots, "slot")] if slots else []
    parts += [size(taken)] if taken else []
    return ", ".join(parts)


def _is_live(workers: list[Worker]) -> bool:
    return any(one.agent.connected for one in workers)

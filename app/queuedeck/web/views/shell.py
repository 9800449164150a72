# SPDX-License-Identifier: AGPL-3.0-only
"""The frame around every page: places, project, user, what the stream is listened to for."""

import msgspec

from queuedeck.history.totals import Totals
from queuedeck.web import urls
from queuedeck.web.format import ago, count, plural
from queuedeck.web.views.pauses import PauseBanner


class Place(msgspec.Struct, frozen=True):
    label: str
    icon: str
    url: str
    current: bool
    beside: bool
    """Not about tasks themselves: below the line in the rail, under More on a phone."""


class ProjectChoice(msgspec.Struct, frozen=True):
    slug: str
    name: str
    current: bool


class UserView(msgspec.Struct, frozen=True):
    name: str
    initials: str
    role: str


class Pulse(msgspec.Struct, frozen=True):
    """The foot of the rail."""

    connected: bool
    agents: str
    last_event: str
    lost: str


class Shell(msgspec.Struct, frozen=True, kw_only=True):
    """Everything outside of `<main>`, and how `<main>` keeps itself fresh."""

    title: str
    project: str
    project_name: str
    projects: tuple[ProjectChoice, ...]
    places: tuple[Place, ...]
    user: UserView
    pulse: Pulse
    csrf_token: str
    theme: str = ""
    folded: bool = False
    """Whether this browser keeps the facets out of sight."""
    topics: tuple[str, ...] = ()
    mode: str = "morph"
    """`rows` for the task list, `morph` for pages replaced as a whole, `final`, or `still`."""
    warnings: tuple[str, ...] = ()
    pauses: tuple[PauseBanner, ...] = ()


_BESIDE = frozenset({"Agents", "Connect", "Audit", "Storage", "Labels"})


def places(project: str, current: str, allowed: set[str]) -> tuple[Place, ...]:
    """The pages of this project that exist and that the user may open."""
    known = (
        ("Tasks", "tasks", urls.tasks(project)),
        ("Operations", "running", f"/p/{project}/operations"),
        ("Errors", "errors", urls.failures(project)),
        ("Queues", "queues", urls.queues(project)),
        ("Workers", "workers", urls.workers(project)),
        ("Trends", "trends", urls.trends(project)),
        ("Agents", "agents", urls.agents(project)),
        ("Connect", "plus", urls.connect(project)),
        ("Audit", "audit", urls.audit(project)),
        ("Storage", "storage", urls.storage(project)),
        ("Labels", "label", urls.labels(project)),
    )
    return tuple(
        Place(label, icon, url, label == current, label in _BESIDE)
        for label, icon, url in known
        if label in allowed
    )


def pulse(connected: int, totals: Totals, now_us: int) -> Pulse:
    newest = totals.newest_us
    last = f"Last event {ago(min(newest, now_us), now_us)}" if newest else "No event yet"
    lost = f"{plural(totals.lost, 'event')} lost" if totals.lost else "No event lost"
    if totals.quarantined:
        lost += f", {count(totals.quarantined)} unreadable"
    agents = f"{plural(connected, 'agent')} connected" if connected else "No agent connected"
    return Pulse(connected > 0, agents, last, lost)


def initials(name: str) -> str:
    words = [word for word in name.replace("@", " ").replace(".", " ").split() if word]
    return "".join(word[0] for word in words[:2]).upper() or "?"

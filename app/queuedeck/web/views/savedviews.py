# SPDX-License-Identifier: AGPL-3.0-only
"""Saved views: the menu beside the task list, and the page that keeps them in order."""

from collections.abc import Sequence

import msgspec

from queuedeck.domain.savedviews.service import ViewSeen
from queuedeck.domain.savedviews.system import SYSTEM_VIEWS
from queuedeck.web import urls


class ViewLink(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    question: str
    url: str
    """Opens it and remembers that it was the last."""
    share_url: str = ""
    """The filter itself, for whoever it is sent to."""
    remove_url: str = ""
    """Empty where the reader may not."""
    made_by: str = ""


class ViewGroup(msgspec.Struct, frozen=True):
    title: str
    links: tuple[ViewLink, ...]
    none: str
    """Said in place of links."""


class ViewsMenu(msgspec.Struct, frozen=True):
    groups: tuple[ViewGroup, ...]
    """Those that have any."""
    last: ViewLink | None
    """The one that this browser opened last."""
    all_url: str


class SavedViewsView(msgspec.Struct, frozen=True, kw_only=True):
    groups: tuple[ViewGroup, ...]
    question: str
    """The filter to save; empty: none."""
    name: str
    is_team: bool
    may_share: bool
    error: str
    url: str
    tasks_url: str


def views_menu(seen: Sequence[ViewSeen], project: str, last: str) -> ViewsMenu:
    """`last` is the reference that the browser remembers; what it names may be gone."""
    groups = _groups(seen, project, may_share=False)
    opened = urls.saved_view(project, last)
    known = (link for group in groups for link in group.links if link.url == opened)
    return ViewsMenu(
        tuple(group for group in groups if group.links),
        next(known, None) if last else None,
        urls.saved_views(project),
    )


def saved_views_view(
    seen: Sequence[ViewSeen],
    project: str,
    *,
    question: str,
    may_share: bool,
    error: str = "",
    name: str = "",
    is_team: bool = False,
) -> SavedViewsView:
    return SavedViewsView(
        groups=_groups(seen, project, may_share=may_share),
        question=question,
        name=name,
        is_team=is_team,
        may_share=may_share,
        error=error,
        url=urls.saved_views(project),
        tasks_url=urls.tasks(project, question),
    )


def _groups(seen: Sequence[ViewSeen], project: str, *, may_share: bool) -> tuple[ViewGroup, ...]:
    own = tuple(_link(one, project, may_remove=True) for one in seen if not one.is_team)
    team = tuple(_link(one, project, may_remove=may_share) for one in seen if one.is_team)
    return (
        ViewGroup("Always there", _system(project), ""),
        ViewGroup("Yours", own, "None yet. Filter the task list, then press Save beside the box."),
        ViewGroup("The team's", team, "None yet."),
    )


def _system(project: str) -> tuple[ViewLink, ...]:
    return tuple(
        ViewLink(
            name=one.name,
            question=one.question,
            url=urls.saved_view(project, one.ref),
            share_url=urls.tasks(project, one.question),
        )
        for one in SYSTEM_VIEWS
    )


def _link(one: ViewSeen, project: str, *, may_remove: bool) -> ViewLink:
    return ViewLink(
        name=one.name,
        question=one.question,
        url=urls.saved_view(project, str(one.id)),
        share_url=urls.tasks(project, one.question),
        remove_url=f"{urls.saved_view(project, str(one.id))}/removals" if may_remove else "",
        made_by=one.made_by.partition(":")[2] if one.is_team else "",
    )

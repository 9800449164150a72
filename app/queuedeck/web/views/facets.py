# SPDX-License-Identifier: AGPL-3.0-only
"""Chips and facets of the task list: links that each change one term of the filter."""

from collections.abc import Sequence

import msgspec

from queuedeck.domain.tasks.filters import field_of, terms_of, to_text
from queuedeck.history.filters import TaskFilter
from queuedeck.history.surveys import FacetCounts, Facets
from queuedeck.history.tasks import TaskState
from queuedeck.web import urls
from queuedeck.web.format import count, plural
from queuedeck.web.views.words import STATE_WORDS, EngineTag, engine_tag

_TITLES = {
    "state": "State",
    "task": "Task",
    "label": "Label",
    "queue": "Queue",
    "engine": "Engine",
    "worker": "Worker",
    "error": "Error",
    "tag": "Tag",
}


class Chip(msgspec.Struct, frozen=True):
    key: str
    """Empty for free text."""
    value: str
    excludes: bool
    without_url: str


class FacetItem(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    """In the page: rows of facets are morphed by it."""
    value: str
    word: str
    hint: str = ""
    """The whole value, where `word` is only its end."""
    count: str = ""
    """Empty until it is counted."""
    on: bool
    url: str
    without_url: str = ""
    """Leaves it out; empty where that is no use."""
    state: str = ""
    engine: EngineTag | None = None


class FacetGroup(msgspec.Struct, frozen=True):
    key: str
    title: str
    items: tuple[FacetItem, ...]
    more: str
    """Says how many values are not shown."""


class FacetsView(msgspec.Struct, frozen=True):
    groups: tuple[FacetGroup, ...]
    note: str
    """What was counted, if not all."""
    load_url: str
    """Where the counts come from; empty when they are here."""
    fresh_url: str


def chips(question: TaskFilter, project: str) -> tuple[Chip, ...]:
    """One for each term. Free text has no key."""
    found: list[Chip] = []
    for rest, text in terms_of(question):
        url = urls.tasks(project, to_text(rest))
        key, colon, value = text.partition(":")
        if not colon or '"' in key:
            found.append(Chip("", text, text.startswith("-"), url))
        else:
            found.append(Chip(key, value, key.startswith("-"), url))
    return tuple(found)


def uncounted(question: TaskFilter, project: str) -> FacetsView:
    """The states, and what the question asks for: all that is known without counting."""
    text = to_text(question)
    groups = (_group(key, {}, question, project) for key in _TITLES)
    url = urls.facets(project, text)
    return FacetsView(tuple(group for group in groups if group.items), "", url, url)


def counted(question: TaskFilter, facets: Facets, project: str) -> FacetsView:
    groups = [_group(key, facets.by_key[key], question, project) for key in _TITLES]
    partial = [one.looked_at for one in facets.by_key.values() if not one.is_complete]
    note = f"Counted: the newest {plural(max(partial), 'match', 'matches')}" if partial else ""
    url = urls.facets(project, to_text(question))
    return FacetsView(tuple(group for group in groups if group.items), note, "", url)


def _group(
    key: str, counts: FacetCounts | dict[str, int], question: TaskFilter, project: str
) -> FacetGroup:
    found = counts.values if isinstance(counts, FacetCounts) else counts
    asked: tuple[str, ...] = getattr(question, field_of(key))
    values: list[str] = [state.value for state in TaskState] if key == "state" else list(found)
    values += [one for one in asked if "*" not in one and not _covers(key, one, values)]
    items = tuple(_item(key, value, found, question, project) for value in values)
    if key == "engine" and len(items) < 2 and not asked:
        items = ()  # There is no choice to offer.
    more = counts.others if isinstance(counts, FacetCounts) else 0
    return FacetGroup(key, _TITLES[key], items, f"and {plural(more, 'other')}" if more else "")


def _covers(key: str, asked: str, values: Sequence[str]) -> bool:
    """Whether what is asked for is one of the values: an error may be asked for by its end."""
    return asked in values or (
        key == "error" and any(value.endswith(f".{asked}") for value in values)
    )


def _item(
    key: str, value: str, found: dict[str, int], question: TaskFilter, project: str
) -> FacetItem:
    field = field_of(key)
    on = next((one for one in getattr(question, field) if _covers(key, one, [value])), "")
    shown = count(found.get(value, 0)) if found else ""
    word = value.rpartition(".")[2] if key in ("task", "error") else value
    return FacetItem(
        id=f"facet-{key}-{value}",
        value=value,
        word=STATE_WORDS[TaskState(value)] if key == "state" else word or value,
        hint=value if word != value else "",
        count=shown,
        on=bool(on),
        url=urls.tasks(project, to_text(_toggled(question, field, on or value))),
        without_url="" if on else urls.tasks(project, to_text(_without(question, field, value))),
        state=value if key == "state" else "",
        engine=engine_tag(value) if key == "engine" else None,
    )


def _toggled(question: TaskFilter, field: str, value: str) -> TaskFilter:
    """With the value, or without it when it is there. States keep their order."""
    asked: Sequence[str] = getattr(question, field)
    left = [one for one in asked if one != value]
    values = left if len(left) < len(asked) else [*asked, value]
    if field == "states":
        states = tuple(state for state in TaskState if state in values)
        return msgspec.structs.replace(question, states=states)
    return msgspec.structs.replace(question, **{field: tuple(values)})


def _without(question: TaskFilter, field: str, value: str) -> TaskFilter:
    left_out: tuple[str, ...] = getattr(question, f"not_{field}")
    kind = TaskState if field == "states" else str
    values = (*left_out, kind(value)) if value not in left_out else left_out
    return msgspec.structs.replace(question, **{f"not_{field}": values})

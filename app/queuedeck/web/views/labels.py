# SPDX-License-Identifier: AGPL-3.0-only
"""The page of the rules of labels and marks, the form of one, and what it would yield."""

import msgspec

from queuedeck.domain.labels.defaults import DEFAULT_INPUTS
from queuedeck.domain.labels.place import RuleInvalid
from queuedeck.domain.labels.preview import RulePreview
from queuedeck.domain.labels.queries import ProjectRules
from queuedeck.domain.labels.rules import MAX_RULES, ResultTest, RuleInput, RuleKind
from queuedeck.domain.tasks.filters import to_text
from queuedeck.errors import QueuedeckError
from queuedeck.history.filters import TaskFilter
from queuedeck.web import urls
from queuedeck.web.format import count, plural
from queuedeck.web.views.tasklist import QueryError

_TESTS = (
    (ResultTest.EQUALS, "has this value at a path"),
    (ResultTest.EXISTS, "has anything at a path"),
    (ResultTest.CONTAINS, "contains a text"),
)


class RuleLine(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    place: int
    """From 1."""
    pattern: str
    tasks_url: str
    says: str
    title: str
    url: str
    up: int | None
    """Where it goes when it is moved up; None: it is the first."""
    down: int | None


class ShippedLine(msgspec.Struct, frozen=True):
    pattern: str
    says: str


class LabelsView(msgspec.Struct, frozen=True, kw_only=True):
    labels: tuple[RuleLine, ...]
    marks: tuple[RuleLine, ...]
    shipped: tuple[ShippedLine, ...]
    shipped_on: bool
    may_change: bool
    full: str
    """Why no rule can be added, or empty."""
    new_label_url: str
    new_mark_url: str
    url: str


class Choice(msgspec.Struct, frozen=True):
    value: str
    label: str
    chosen: bool


class RuleForm(msgspec.Struct, frozen=True, kw_only=True):
    title: str
    kind: str
    url: str
    back_url: str
    preview_url: str
    delete_url: str
    """Empty for a new rule."""
    given: RuleInput
    tests: tuple[Choice, ...]
    wrong: str
    """The field with the mistake."""
    error: QueryError | None
    problem: str
    """What is wrong with no place in a field."""


class YieldLine(msgspec.Struct, frozen=True):
    text: str
    count: str
    width: int
    """Of a hundred: its share."""
    url: str


class PreviewView(msgspec.Struct, frozen=True, kw_only=True):
    sentence: str
    lines: tuple[YieldLine, ...] = ()
    more: str = ""
    is_mark: bool = False
    is_wrong: bool = False


def labels_view(found: ProjectRules, project: str, *, may_change: bool) -> LabelsView:
    is_full = len(found.rules) >= MAX_RULES
    return LabelsView(
        labels=_lines(found, RuleKind.LABEL, project),
        marks=_lines(found, RuleKind.MARK, project),
        shipped=tuple(ShippedLine(one.pattern, one.template) for one in DEFAULT_INPUTS),
        shipped_on=found.defaults,
        may_change=may_change,
        full=f"There are {MAX_RULES} rules, which is the most." if is_full else "",
        new_label_url=urls.labels(project, RuleKind.LABEL),
        new_mark_url=urls.labels(project, RuleKind.MARK),
        url=urls.labels(project),
    )


def form_view(
    given: RuleInput, project: str, rule: str, error: QueuedeckError | None = None
) -> RuleForm:
    is_new = rule in set(RuleKind)
    word = "label" if given.kind is RuleKind.LABEL else "mark"
    url = urls.labels(project, rule)
    place = error if isinstance(error, RuleInvalid) else None
    return RuleForm(
        title=f"New {word} rule" if is_new else f"Change a {word} rule",
        kind=given.kind.value,
        url=url,
        back_url=urls.labels(project),
        preview_url=urls.labels(project, "preview"),
        delete_url="" if is_new else f"{url}/deletions",
        given=given,
        tests=tuple(Choice(one.value, text, one is given.test) for one, text in _TESTS),
        wrong=place.field if place else "",
        error=_marked(place, getattr(given, place.field)) if place else None,
        problem=error.message if error and not place else "",
    )


def preview_view(found: RulePreview, rule: RuleInput, project: str) -> PreviewView:
    is_mark = rule.kind is RuleKind.MARK
    if not found.looked_at:
        what = "has succeeded" if is_mark else "is known"
        return PreviewView(sentence=f"No task of this name {what} yet, so there is nothing to try.")
    lines = tuple(
        YieldLine(
            one.text,
            count(one.count),
            one.count * 100 // found.looked_at,
            urls.task(project, one.engine, one.task_id, key=int(one.key)),
        )
        for one in found.yields
    )
    return PreviewView(
        sentence=_sentence(found, rule),
        lines=lines,
        more=f"and {plural(found.others, 'other')}" if found.others else "",
        is_mark=is_mark,
    )


def no_preview(error: RuleInvalid) -> PreviewView:
    """While a rule is being typed it is mostly not yet one."""
    expected = f" Expected {error.expected}." if error.expected else ""
    sentence = f"{error.field.capitalize()}: {error.problem}.{expected}"
    return PreviewView(sentence=sentence, is_wrong=True)


def _sentence(found: RulePreview, rule: RuleInput) -> str:
    what = "successes of these names" if rule.kind is RuleKind.MARK else "tasks of these names"
    if "*" not in rule.pattern:
        what = what.replace("these names", "this name")
    outcome = "would be marked" if rule.kind is RuleKind.MARK else "would have a label"
    said = f"Of the last {count(found.looked_at)} {what}, {count(found.yielded)} {outcome}."
    missing = found.looked_at - found.captured
    what = "result" if rule.kind is RuleKind.MARK else "arguments"
    return said + (f" Of {count(missing)} the {what} is not known." if missing else "")


def _lines(found: ProjectRules, kind: RuleKind, project: str) -> tuple[RuleLine, ...]:
    rules = [rule for rule in found.rules if rule.kind is kind]
    last = len(rules) - 1
    return tuple(
        RuleLine(
            id=rule.id,
            place=at + 1,
            pattern=rule.pattern,
            tasks_url=urls.tasks(project, to_text(TaskFilter(names=(rule.pattern,)))),
            says=rule.says,
            title=(rule.title or rule.says) if kind is RuleKind.MARK else "",
            url=urls.labels(project, str(rule.id)),
            up=at - 1 if at else None,
            down=at + 1 if at < last else None,
        )
        for at, rule in enumerate(rules)
    )


def _marked(error: RuleInvalid, text: str) -> QueryError:
    start, end = error.offset, error.offset + error.length
    return QueryError(
        error.problem, error.expected, text[:start], text[start:end] or " ", text[end:]
    )

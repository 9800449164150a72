# SPDX-License-Identifier: AGPL-3.0-only
"""Rules as people write them, checked and made ready to be asked. Pure.

A rule of labels gives tasks of some names a second name from their arguments; a rule of marks says
which results of tasks that succeeded are failures all the same. In the order of the project, the
first rule counts whose pattern fits the name and which yields something.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import TypeVar

import msgspec

from queuedeck.domain.labels import template
from queuedeck.domain.labels.place import RuleInvalid, check_length
from queuedeck.history.matching import Json, decoded, descend, fits, is_plain, text_of, texts_in

MAX_RULES = 50
"""Of one project."""
MAX_PATTERN_CHARS = 200
MAX_TITLE_CHARS = 40
MAX_PATH_CHARS = 200
MAX_VALUE_CHARS = 200
MOST_NAMES = 5_000
"""So many task names are remembered with the rules that fit them."""


class RuleKind(StrEnum):
    LABEL = "label"
    MARK = "mark"


class ResultTest(StrEnum):
    """What a result must be to be marked."""

    EQUALS = "equals"
    """At the path is this value; `*` stands for anything."""
    EXISTS = "exists"
    """At the path is something, and not null, false, zero or empty."""
    CONTAINS = "contains"
    """In any text of the result, or at the path, is this text; case does not matter."""


class RuleInput(msgspec.Struct, frozen=True, kw_only=True):
    """A rule as written. A rule of labels has a template, one of marks all below it."""

    kind: RuleKind
    pattern: str
    """Of task names; `*` stands for anything."""
    template: str = ""
    title: str = ""
    """What pages call a mark; empty: the condition in words."""
    test: ResultTest = ResultTest.EQUALS
    path: str = ""
    """Steps with dots between them, `*` for any; empty: anywhere (only for `contains`)."""
    value: str = ""


class LabelRule(msgspec.Struct, frozen=True):
    pattern: str
    template: template.Template


class MarkRule(msgspec.Struct, frozen=True, kw_only=True):
    pattern: str
    title: str
    test: ResultTest
    path: tuple[str, ...]
    value: str


AnyRule = LabelRule | MarkRule
R = TypeVar("R", LabelRule, MarkRule)


def compiled(rule: RuleInput) -> AnyRule:
    """The rule, ready to be asked. Raises `RuleInvalid` with the place of the mistake."""
    _check_pattern(rule.pattern)
    if rule.kind is RuleKind.LABEL:
        return LabelRule(rule.pattern, template.parse(rule.template))
    check_length("title", rule.title, MAX_TITLE_CHARS)
    if rule.title != template.plain(rule.title):
        raise RuleInvalid("title", "A title is one line", 0, len(rule.title), "words and spaces")
    _check_condition(rule)
    return MarkRule(
        pattern=rule.pattern,
        title=rule.title or template.cut(template.plain(condition(rule)), MAX_TITLE_CHARS),
        test=rule.test,
        path=tuple(rule.path.split(".")) if rule.path else (),
        value=rule.value,
    )


def condition(rule: RuleInput) -> str:
    """The condition of a rule of marks in words: `status = error`."""
    match rule.test:
        case ResultTest.EQUALS:
            return f"{rule.path} = {rule.value}"
        case ResultTest.EXISTS:
            return f"has {rule.path}"
        case ResultTest.CONTAINS:
            return f"{rule.path or 'result'} contains {rule.value}"


class RuleSet:
    """The rules of one project, ready to be asked: a name that no rule fits costs one look-up."""

    def __init__(self, rules: Sequence[AnyRule]) -> None:
        self._labels = [rule for rule in rules if isinstance(rule, LabelRule)]
        self._marks = [rule for rule in rules if isinstance(rule, MarkRule)]
        self._labels_of: dict[str, list[LabelRule]] = {}
        self._marks_of: dict[str, list[MarkRule]] = {}

    def label(self, name: str, args: bytes) -> str:
        """The second name of a task; empty if no rule yields one."""
        rules = self._labels_of.get(name)
        if rules is None:
            rules = _remembered(self._labels_of, name, self._labels)
        if not rules or not args:
            return ""
        call = _decoded(args)
        return next((label for rule in rules if (label := template.fill(rule.template, call))), "")

    def mark(self, name: str, result: bytes) -> str:
        """The title of the rule that a result fits; empty if none does."""
        rules = self._marks_of.get(name)
        if rules is None:
            rules = _remembered(self._marks_of, name, self._marks)
        if not rules or not result:
            return ""
        value = _decoded(result)
        return next((rule.title for rule in rules if _holds(rule, value)), "")


def _remembered(known: dict[str, list[R]], name: str, rules: Sequence[R]) -> list[R]:
    if len(known) >= MOST_NAMES:
        known.clear()
    found = known[name] = [rule for rule in rules if fits(name, (rule.pattern,))]
    return found


def _decoded(payload: bytes) -> Json:
    try:
        return decoded(payload)
    except RecursionError:
        return None


def _holds(rule: MarkRule, result: Json) -> bool:
    match rule.test:
        case ResultTest.EQUALS:
            found = descend(result, rule.path)
            return any(is_plain(one) and fits(text_of(one), (rule.value,)) for one in found)
        case ResultTest.EXISTS:
            return any(bool(one) for one in descend(result, rule.path))
        case ResultTest.CONTAINS:
            wanted = rule.value.casefold()
            return any(
                wanted in text.casefold()
                for one in descend(result, rule.path)
                for text in texts_in(one)
            )


def _check_pattern(pattern: str) -> None:
    check_length("pattern", pattern, MAX_PATTERN_CHARS)
    if not pattern:
        raise RuleInvalid("pattern", "It is empty", expected="a task name such as app.run_*")
    for at, char in enumerate(pattern):
        if char.isspace() or char in ',"' or not char.isprintable():
            raise RuleInvalid(
                "pattern", f"{char!r} stands in this name", at, 1, "one name, with * for anything"
            )


def _check_condition(rule: RuleInput) -> None:
    check_length("path", rule.path, MAX_PATH_CHARS)
    check_length("value", rule.value, MAX_VALUE_CHARS)
    if not rule.path and rule.test is not ResultTest.CONTAINS:
        raise RuleInvalid("path", "It is empty", expected="a place in the result such as status")
    if rule.path:
        _check_path(rule.path)
    if not rule.value and rule.test is not ResultTest.EXISTS:
        raise RuleInvalid("value", "It is empty", expected="what to compare with, such as error")


def _check_path(path: str) -> None:
    offset = 0
    for step in path.split("."):
        if not step:
            raise RuleInvalid(
                "path", "A step is missing", offset, 0, "a place such as errors.0.code"
            )
        if step.strip() != step:
            raise RuleInvalid("path", "A step has spaces around it", offset, len(step), "no spaces")
        offset += len(step) + 1
    if path.count(".") >= template.MAX_STEPS:
        raise RuleInvalid(
            "path", "It has too many steps", 0, len(path), f"{template.MAX_STEPS} at most"
        )

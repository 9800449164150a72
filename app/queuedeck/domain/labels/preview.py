# SPDX-License-Identifier: AGPL-3.0-only
"""What a rule would have yielded for the newest tasks that it fits: tried, and nothing kept."""

from collections import Counter

import msgspec

from queuedeck.domain.labels.rules import RuleInput, RuleKind, RuleSet, compiled
from queuedeck.domain.labels.service import LabelDesk
from queuedeck.history.filters import TaskFilter
from queuedeck.history.tasks import TaskSample, TaskState

LOOKED_AT = 50
SHOWN = 8


class Yield(msgspec.Struct, frozen=True, kw_only=True):
    """One label, or one mark, and how many of the tasks would have it."""

    text: str
    """Empty: neither a label nor a mark."""
    count: int
    engine: str
    task_id: str
    key: str
    """With engine and id: the newest of them."""


class RulePreview(msgspec.Struct, frozen=True, kw_only=True):
    looked_at: int
    """How many tasks were there to try it on: the newest of the names that the pattern fits, and of
    these, for a mark, the ones that succeeded."""
    captured: int
    """Of how many the arguments, or the result, are known."""
    yielded: int
    yields: list[Yield]
    """The commonest, most first."""
    others: int
    """How many different ones there are beside these."""


async def preview_rule(desk: LabelDesk, project_id: int, rule: RuleInput) -> RulePreview:
    """Raises `RuleInvalid` with the place."""
    rules = RuleSet([compiled(rule)])
    is_label = rule.kind is RuleKind.LABEL
    question = TaskFilter(names=(rule.pattern,), states=() if is_label else (TaskState.SUCCEEDED,))
    samples = await desk.history.samples(project_id, question, LOOKED_AT)
    ask = _label if is_label else _mark
    found = [(ask(rules, one), one) for one in samples]
    counts = Counter(text for text, _ in found)
    newest = dict(reversed(found))
    common = counts.most_common(SHOWN)
    return RulePreview(
        looked_at=len(samples),
        captured=sum(bool(one.args if is_label else one.result) for one in samples),
        yielded=len(samples) - counts[""],
        yields=[_yield(text, count, newest[text]) for text, count in common],
        others=len(counts) - len(common),
    )


def _label(rules: RuleSet, sample: TaskSample) -> str:
    return rules.label(sample.name, sample.args)


def _mark(rules: RuleSet, sample: TaskSample) -> str:
    return rules.mark(sample.name, sample.result)


def _yield(text: str, count: int, newest: TaskSample) -> Yield:
    return Yield(
        text=text, count=count, engine=newest.engine, task_id=newest.task_id, key=str(newest.key)
    )

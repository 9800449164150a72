# SPDX-License-Identifier: AGPL-3.0-only
"""Gives a task its label and its mark while a group is written. A rule that fails costs a task its
label, and nothing else.
"""

import logging
from collections.abc import Callable, Mapping

from queuedeck.history.facts import Intern, Word
from queuedeck.history.labels import Labels
from queuedeck.history.sql.tasks import Task
from queuedeck.history.states import KIND_BITS
from queuedeck_agent import wire

log = logging.getLogger(__name__)


class Labelling:
    """The rules of the projects of one group."""

    def __init__(self, rules: Mapping[int, Labels]) -> None:
        self._rules = rules
        self._has_failed = False

    def apply(self, task: Task, event: wire.TaskEvent, intern: Intern) -> None:
        """After the task has taken in the fact of this event."""
        rules = self._rules.get(task.identity[0])
        if rules is None:
            return
        match event:
            case wire.TaskPublished() | wire.TaskStarted():
                if event.args:
                    self._label(task, event, rules)
            case wire.TaskSucceeded():
                self._mark(task, event, rules, intern)
            case _:
                pass

    def _label(
        self, task: Task, event: wire.TaskPublished | wire.TaskStarted, rules: Labels
    ) -> None:
        """What the sender says goes first, whichever is stored first."""
        if task.label and not isinstance(event, wire.TaskPublished):
            return
        label = self._asked(rules.label, event.name, event.args)
        if label and label != task.label:
            task.label, task.relabelled = label, True

    def _mark(self, task: Task, event: wire.TaskSucceeded, rules: Labels, intern: Intern) -> None:
        """By the result of the newest attempt."""
        title = self._asked(rules.mark, event.name, event.result) if event.result else ""
        if not title and not task.mark:
            return
        if max(task.facts) >> KIND_BITS > event.attempt:
            return
        mark = intern(Word.MARK, title)
        task.remarked = task.remarked or mark != task.mark
        task.mark = mark

    def _asked(self, rule: Callable[[str, bytes], str], name: str, data: bytes) -> str:
        try:
            return rule(name, data)
        except Exception:
            if not self._has_failed:
                log.exception("The rules of labels failed on a task %r; it has none.", name)
            self._has_failed = True
            return ""

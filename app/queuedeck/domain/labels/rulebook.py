# SPDX-License-Identifier: AGPL-3.0-only
"""The rules of all projects, ready to be asked while events are stored. Lives on the event loop; a
set of rules that was given out never changes.
"""

import asyncio
import logging

from queuedeck.db.engine import ControlDb
from queuedeck.domain.labels.defaults import DEFAULT_RULES, DEFAULT_SET
from queuedeck.domain.labels.place import RuleInvalid
from queuedeck.domain.labels.queries import ProjectRules, RuleSeen, all_rules, rules_of
from queuedeck.domain.labels.rules import AnyRule, RuleSet, compiled
from queuedeck.history.labels import Labels

log = logging.getLogger(__name__)


class Rulebook:
    """`load` first; `refresh` after each change of a project's rules."""

    def __init__(self, db: ControlDb) -> None:
        self._db = db
        self._own: dict[int, RuleSet | None] = {}
        self._reading = asyncio.Lock()

    async def load(self) -> None:
        """Read the rules of every project."""
        async with self._reading:
            found = await all_rules(self._db)
            self._own = {project: _rule_set(rules) for project, rules in found.items()}

    async def refresh(self, project_id: int) -> None:
        """Read those of one project again. One reads at a time, so the last change is seen."""
        async with self._reading:
            self._own[project_id] = _rule_set(await rules_of(self._db, project_id))

    def of(self, project_id: int) -> Labels | None:
        """The rules of a project; None: it has none."""
        return self._own.get(project_id, DEFAULT_SET)


def _rule_set(found: ProjectRules) -> RuleSet | None:
    own = [rule for one in found.rules if (rule := _compiled(one)) is not None]
    rules = [*own, *(DEFAULT_RULES if found.defaults else ())]
    return RuleSet(rules) if rules else None


def _compiled(rule: RuleSeen) -> AnyRule | None:
    """A rule that an older version took and this one does not is left out, never in the way."""
    try:
        return compiled(rule.input)
    except RuleInvalid as error:
        log.warning("Rule %d of labels is left out: %s", rule.id, error.message)
        return None

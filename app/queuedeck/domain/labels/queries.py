# SPDX-License-Identifier: AGPL-3.0-only
"""Reads the rules of projects."""

from collections import defaultdict

import msgspec
from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from queuedeck.db.engine import ControlDb
from queuedeck.domain.labels.models import Rule
from queuedeck.domain.labels.rules import ResultTest, RuleInput, RuleKind, condition
from queuedeck.domain.projects.models import Project
from queuedeck.errors import NotFound


class RuleSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that is in force. The fields of the other kind are empty."""

    id: int
    kind: RuleKind
    pattern: str
    template: str
    title: str
    test: ResultTest
    path: str
    value: str
    changed_by: str
    changed_us: int

    @property
    def input(self) -> RuleInput:
        """As somebody wrote it."""
        return msgspec.convert(self, RuleInput, from_attributes=True)

    @property
    def says(self) -> str:
        """The template, or the condition in words."""
        return self.template if self.kind is RuleKind.LABEL else condition(self.input)


class ProjectRules(msgspec.Struct, frozen=True, kw_only=True):
    """All rules of a project, in their order."""

    rules: list[RuleSeen]
    defaults: bool
    """Whether the rules that are shipped go behind them."""


async def rules_of(db: ControlDb, project_id: int) -> ProjectRules:
    async with db.read() as session:
        rules = [seen(row) for row in await session.scalars(visible(project_id))]
        defaults = await session.scalar(
            select(Project.label_defaults).where(Project.id == project_id)
        )
    return ProjectRules(rules=rules, defaults=bool(defaults))


async def all_rules(db: ControlDb) -> dict[int, ProjectRules]:
    """Of every project that has rules of its own, or has switched the shipped ones off."""
    found: dict[int, list[RuleSeen]] = defaultdict(list)
    async with db.read() as session:
        for row in await session.scalars(select(Rule).order_by(Rule.position, Rule.id)):
            found[row.project_id].append(seen(row))
        off = select(Project.id).where(Project.label_defaults.is_(False))
        without = set(await session.scalars(off))
    return {
        project: ProjectRules(rules=found.get(project, []), defaults=project not in without)
        for project in found.keys() | without
    }


async def find_rule(db: ControlDb, project_id: int, rule_id: int) -> RuleSeen:
    """Raises `NotFound`."""
    async with db.read() as session:
        return seen(await rule_in(session, project_id, rule_id))


async def rule_in(session: AsyncSession, project_id: int, rule_id: int) -> Rule:
    row = await session.scalar(visible(project_id).where(Rule.id == rule_id))
    if row is None:
        raise NotFound("There is no such rule in this project.")
    return row


def visible(project_id: int) -> Select[Rule]:
    """In their order."""
    return select(Rule).where(Rule.project_id == project_id).order_by(Rule.position, Rule.id)


def seen(row: Rule) -> RuleSeen:
    return msgspec.convert(row, RuleSeen, from_attributes=True)

# SPDX-License-Identifier: AGPL-3.0-only
"""Changes of a project's rules. Each is one transaction with its audit entry; the rulebook learns
of it after the commit, so that the next events go by it. Stored tasks keep what they have.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from queuedeck.clock import Clock
from queuedeck.db.engine import ControlDb
from queuedeck.domain.accounts.actor import Actor
from queuedeck.domain.audit import service as audit
from queuedeck.domain.labels.models import Rule
from queuedeck.domain.labels.queries import ProjectRules, RuleSeen, rule_in, rules_of, seen, visible
from queuedeck.domain.labels.rulebook import Rulebook
from queuedeck.domain.labels.rules import MAX_RULES, RuleInput, RuleKind, compiled, condition
from queuedeck.domain.projects.models import Project
from queuedeck.domain.projects.queries import ProjectSeen
from queuedeck.errors import Conflict
from queuedeck.history.store import History
from queuedeck.keyring import Keyring
from queuedeck.live import Live

TOPIC = "labels"


class LabelDesk(Protocol):
    """What is needed; the entrances' `Services` fits."""

    @property
    def control(self) -> ControlDb: ...
    @property
    def history(self) -> History: ...
    @property
    def keyring(self) -> Keyring: ...
    @property
    def live(self) -> Live: ...
    @property
    def rulebook(self) -> Rulebook: ...
    @property
    def clock(self) -> Clock: ...


async def create_rule(
    desk: LabelDesk, project: ProjectSeen, rule: RuleInput, by: Actor
) -> RuleSeen:
    """Add a rule behind the others. Raises `RuleInvalid` with the place, or `Conflict` when there
    are too many.
    """
    compiled(rule)
    async with desk.control.write() as session:
        rows = await _rows(session, project)
        if len(rows) >= MAX_RULES:
            raise Conflict(
                f"The project has {MAX_RULES} rules, which is the most. Delete one, or make one "
                "with * in its pattern do for several."
            )
        position = max((row.position for row in rows), default=-1) + 1
        row = Rule(project_id=project.id, position=position)
        _write(row, rule, by, desk.clock())
        session.add(row)
        await session.flush()
        await _note(desk, session, by, project, "create", row, {"after": _words(rule)})
    await _tell(desk, project)
    return seen(row)


async def change_rule(
    desk: LabelDesk, project: ProjectSeen, rule_id: int, rule: RuleInput, by: Actor
) -> RuleSeen:
    """Write a rule anew, at its place in the order. A rule keeps its kind."""
    compiled(rule)
    async with desk.control.write() as session:
        row = await rule_in(session, project.id, rule_id)
        if row.kind != rule.kind.value:
            raise Conflict(f"This is a rule of {row.kind}s; make a new one for {rule.kind}s.")
        before = _words(seen(row).input)
        _write(row, rule, by, desk.clock())
        changes = {"before": before, "after": _words(rule)}
        await _note(desk, session, by, project, "change", row, changes)
    await _tell(desk, project)
    return seen(row)


async def delete_rule(desk: LabelDesk, project: ProjectSeen, rule_id: int, by: Actor) -> None:
    """Tasks keep the labels and marks that it gave them."""
    async with desk.control.write() as session:
        row = await rule_in(session, project.id, rule_id)
        before = {"before": _words(seen(row).input)}
        await session.delete(row)
        await _note(desk, session, by, project, "delete", row, before)
    await _tell(desk, project)


async def move_rule(
    desk: LabelDesk, project: ProjectSeen, rule_id: int, to: int, by: Actor
) -> ProjectRules:
    """Put a rule at another place among those of its kind: 0 is the first, and whatever is beyond
    the last is the last.
    """
    async with desk.control.write() as session:
        rows = await _rows(session, project)
        row = await rule_in(session, project.id, rule_id)
        kin = [one for one in rows if one.kind == row.kind]
        at, to = kin.index(row), max(0, min(to, len(kin) - 1))
        kin.insert(to, kin.pop(at))
        for position, one in enumerate([*kin, *(r for r in rows if r.kind != row.kind)]):
            one.position = position
        await _note(desk, session, by, project, "move", row, {"before": at, "after": to})
    await _tell(desk, project)
    return await rules_of(desk.control, project.id)


async def switch_defaults(
    desk: LabelDesk, project: ProjectSeen, by: Actor, *, on: bool
) -> ProjectRules:
    """Use the rules that are shipped, behind the project's own, or do not."""
    async with desk.control.write() as session:
        await session.execute(
            update(Project).where(Project.id == project.id).values(label_defaults=on)
        )
        told = {"shipped rules": "on" if on else "off"}
        await _note(desk, session, by, project, "defaults", None, told)
    await _tell(desk, project)
    return await rules_of(desk.control, project.id)


async def _rows(session: AsyncSession, project: ProjectSeen) -> Sequence[Rule]:
    return (await session.scalars(visible(project.id))).all()


def _write(row: Rule, rule: RuleInput, by: Actor, now_us: int) -> None:
    is_label = rule.kind is RuleKind.LABEL
    row.kind, row.pattern = rule.kind.value, rule.pattern
    row.template = rule.template if is_label else ""
    row.title = "" if is_label else rule.title
    row.test, row.path = rule.test.value, "" if is_label else rule.path
    row.value = "" if is_label else rule.value
    row.changed_by, row.changed_us = by.label, now_us


def _words(rule: RuleInput) -> str:
    """A rule in the audit log."""
    said = rule.template if rule.kind is RuleKind.LABEL else condition(rule)
    return f"{rule.kind.value} {rule.pattern}: {said}"


async def _note(
    desk: LabelDesk,
    session: AsyncSession,
    by: Actor,
    project: ProjectSeen,
    verb: str,
    row: Rule | None,
    payload: Mapping[str, object],
) -> None:
    target = f"label-rule:{row.id}" if row is not None else f"project:{project.slug}"
    await audit.append(
        session, desk.keyring, desk.clock, by, f"labels.{verb}", target, "done", project.slug,
        payload,
    )  # fmt: skip


async def _tell(desk: LabelDesk, project: ProjectSeen) -> None:
    await desk.rulebook.refresh(project.id)
    desk.live.publish(project.id, (TOPIC,))

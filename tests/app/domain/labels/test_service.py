# SPDX-License-Identifier: AGPL-3.0-only
"""Changes of rules: what is stored, in which order, what the audit log and the rulebook know."""

import msgspec
import pytest
from tests.support.control import KEYRING, SHELL, audited

from queuedeck.domain.labels import service
from queuedeck.domain.labels.place import RuleInvalid
from queuedeck.domain.labels.queries import find_rule, rules_of
from queuedeck.domain.labels.rulebook import Rulebook
from queuedeck.domain.labels.rules import MAX_RULES, ResultTest, RuleInput, RuleKind
from queuedeck.errors import Conflict, NotFound
from queuedeck.live import Live

CALL = b'{"args":[],"kwargs":{"job":"import"}}'
MARK = RuleInput(kind=RuleKind.MARK, pattern="*", title="bad", test=ResultTest.EXISTS, path="error")


class Desk(msgspec.Struct):
    control: object
    clock: object
    rulebook: Rulebook
    live: Live = msgspec.field(default_factory=Live)
    keyring: object = KEYRING
    history: object = None


def a_label(pattern="app.*", template="{kwargs.job}"):
    return RuleInput(kind=RuleKind.LABEL, pattern=pattern, template=template)


@pytest.fixture
async def desk(db, clock):
    desk = Desk(db, clock, Rulebook(db))
    await desk.rulebook.load()
    return desk


async def order(desk, project):
    found = await rules_of(desk.control, project.id)
    return [rule.pattern for rule in found.rules if rule.kind is RuleKind.LABEL]


async def test_rule_is_in_force_at_once_and_in_the_audit_log(desk, project):
    assert desk.rulebook.of(project.id).label("app.run", CALL) == ""
    made = await service.create_rule(desk, project, a_label(), SHELL)
    assert desk.rulebook.of(project.id).label("app.run", CALL) == "import"
    changed = a_label(template="job {kwargs.job}")
    await service.change_rule(desk, project, made.id, changed, SHELL)
    assert (await find_rule(desk.control, project.id, made.id)).input == changed
    assert desk.rulebook.of(project.id).label("app.run", CALL) == "job import"
    await service.delete_rule(desk, project, made.id, SHELL)
    assert desk.rulebook.of(project.id).label("app.run", CALL) == ""
    acts = ["labels.create", "labels.change", "labels.delete"]
    assert (await audited(desk.control, project.slug))[-3:] == [(act, "done") for act in acts]


async def test_rulebook_that_starts_knows_all_projects(desk, project, other_project):
    await service.create_rule(desk, project, MARK, SHELL)
    await service.switch_defaults(desk, other_project, SHELL, on=False)
    anew = Rulebook(desk.control)
    await anew.load()
    assert anew.of(project.id).mark("app.run", b'{"error":"x"}') == "bad"
    assert anew.of(project.id).label("run_job", CALL) == "import"
    assert anew.of(other_project.id) is None


async def test_own_rules_go_before_the_shipped_ones_which_can_be_switched_off(desk, project):
    assert desk.rulebook.of(project.id).label("run_job", CALL) == "import"
    await service.create_rule(desk, project, a_label("run_job", "own {kwargs.job}"), SHELL)
    assert desk.rulebook.of(project.id).label("run_job", CALL) == "own import"
    assert desk.rulebook.of(project.id).label("run_command", b'{"args":["ls"]}') == "ls"
    found = await service.switch_defaults(desk, project, SHELL, on=False)
    assert not found.defaults
    assert desk.rulebook.of(project.id).label("run_command", b'{"args":["ls"]}') == ""
    await service.switch_defaults(desk, project, SHELL, on=True)
    assert desk.rulebook.of(project.id).label("run_command", b'{"args":["ls"]}') == "ls"


async def test_rules_are_moved_among_their_kind(desk, project):
    await service.create_rule(desk, project, MARK, SHELL)
    made = [await service.create_rule(desk, project, a_label(name), SHELL) for name in "abc"]
    assert await order(desk, project) == ["a", "b", "c"]
    for rule, to, expected in ((2, 0, "cab"), (2, 9, "abc"), (1, 1, "abc"), (0, 1, "bac")):
        await service.move_rule(desk, project, made[rule].id, to, SHELL)
        assert "".join(await order(desk, project)) == expected
    await service.create_rule(desk, project, a_label("d"), SHELL)
    assert "".join(await order(desk, project)) == "bacd"


async def test_mistake_and_too_many_are_refused_and_change_nothing(desk, project):
    with pytest.raises(RuleInvalid):
        await service.create_rule(desk, project, a_label(template="job"), SHELL)
    made = await service.create_rule(desk, project, a_label(), SHELL)
    with pytest.raises(RuleInvalid):
        await service.change_rule(desk, project, made.id, a_label(""), SHELL)
    with pytest.raises(Conflict, match="rule of labels"):
        await service.change_rule(desk, project, made.id, MARK, SHELL)
    for _ in range(MAX_RULES - 1):
        await service.create_rule(desk, project, MARK, SHELL)
    with pytest.raises(Conflict, match="50 rules"):
        await service.create_rule(desk, project, MARK, SHELL)
    assert len((await rules_of(desk.control, project.id)).rules) == MAX_RULES
    assert (await find_rule(desk.control, project.id, made.id)).input == a_label()


async def test_rules_of_other_projects_are_not_there(desk, project, other_project):
    made = await service.create_rule(desk, project, a_label(), SHELL)
    for act in (
        find_rule(desk.control, other_project.id, made.id),
        service.change_rule(desk, other_project, made.id, a_label("x"), SHELL),
        service.delete_rule(desk, other_project, made.id, SHELL),
        service.move_rule(desk, other_project, made.id, 0, SHELL),
    ):
        with pytest.raises(NotFound):
            await act
    assert await order(desk, project) == ["app.*"]

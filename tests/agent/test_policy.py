# SPDX-License-Identifier: AGPL-3.0-only
"""What a host allows, verb by verb, name by name, minute by minute."""

import msgspec
import pytest

from queuedeck_agent import wire
from queuedeck_agent.errors import CommandRefused
from queuedeck_agent.policy import Policy

WORDS = sorted(set(wire.VERBS.values()))
BODY = wire.CommandBody("1" * 32, "a", b"", "p", "retry", "s", "t1", "shop.send", 60)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def order(verb: str, **fields: object) -> wire.CommandBody:
    return msgspec.structs.replace(BODY, verb=verb, **fields)


def code_of(policy: Policy, body: wire.CommandBody) -> str:
    try:
        policy.check(body)
    except CommandRefused as refusal:
        assert len(refusal.message) < 1_000
        return refusal.code
    return "allowed"


@pytest.mark.parametrize("verb", wire.VERBS)
@pytest.mark.parametrize("word", [*WORDS, "schedule", ""])
def test_verb_needs_its_word_and_no_other(verb: str, word: str) -> None:
    policy = Policy((word,) if word else (), ("*",), 600)
    expected = "allowed" if word == wire.VERBS[verb] else "refused"
    assert code_of(policy, order(verb)) == expected


@pytest.mark.parametrize("verb", ["exec", "", "RETRY", "retry ", "observe", "x" * 100_000])
def test_unknown_verb_is_unsupported(verb: str) -> None:
    assert code_of(Policy(tuple(WORDS), ("*",), 600), order(verb)) == "unsupported"


@pytest.mark.parametrize("verb", ["retry", "edit", "submit"])
def test_what_runs_something_says_what(verb: str) -> None:
    assert code_of(Policy(tuple(WORDS), ("*",), 600), order(verb, task_name="")) == "invalid"


@pytest.mark.parametrize(
    ("patterns", "name", "expected"),
    [
        (("*",), "any.thing", "allowed"),
        (("shop.*",), "shop.send", "allowed"),
        (("shop.*",), "shop.deep.send", "allowed"),
        (("shop.*",), "shop", "refused"),
        (("shop.*",), "myshop.send", "refused"),
        (("shop.*",), "Shop.send", "refused"),
        (("shop.*",), "billing.charge\nshop.send", "refused"),
        (("shop.s?nd",), "shop.sand", "allowed"),
        (("shop.[ab]",), "shop.c", "refused"),
        (("a", "shop.send"), "shop.send", "allowed"),
        ((), "shop.send", "refused"),
        (("shop.*",), "x" * 100_000, "refused"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_names_are_compared_whole(patterns: tuple[str, ...], name: str, expected: str) -> None:
    policy = Policy(tuple(WORDS), patterns, 600)
    for verb in ("retry", "edit", "cancel", "terminate", "priority", "move", "submit", "reconcile"):
        assert code_of(policy, order(verb, task_name=name)) == expected


@pytest.mark.parametrize(
    ("verb", "name", "expected"),
    [
        ("purge", "", "refused"),
        ("purge", "shop.send", "refused"),
        ("requeue", "", "refused"),
        ("requeue", "shop.send", "allowed"),
        ("requeue", "billing.charge", "refused"),
        ("rate", "billing.charge", "refused"),
        ("pause", "", "allowed"),
        ("peek", "", "allowed"),
    ],
)
def test_queue_is_not_emptied_where_only_some_tasks_are_allowed(
    verb: str, name: str, expected: str
) -> None:
    policy = Policy(tuple(WORDS), ("shop.*",), 600)
    assert code_of(policy, order(verb, task_id="", task_name=name)) == expected


def test_rate_is_of_any_minute() -> None:
    clock = Clock()
    policy = Policy(("retry",), ("*",), 3, clock)
    found: list[str] = []
    for clock.now in (0.0, 30.0, 59.0, 59.9, 60.0, 60.1, 90.0, 119.0, 119.5):
        found.append(code_of(policy, BODY))
    assert found == [
        *("allowed",) * 3, "rate", "allowed", "rate", "allowed", "allowed", "rate",
    ]  # fmt: skip


def test_what_is_refused_takes_no_turn() -> None:
    policy = Policy(("retry",), ("shop.*",), 1)
    for refused in (order("purge"), order("retry", task_name="other"), order("exec")):
        assert code_of(policy, refused) in ("refused", "unsupported")
    assert code_of(policy, BODY) == "allowed"
    assert code_of(policy, BODY) == "rate"


def test_rate_of_nothing_allows_nothing() -> None:
    assert code_of(Policy(tuple(WORDS), ("*",), 0), BODY) == "rate"

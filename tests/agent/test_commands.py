# SPDX-License-Identifier: AGPL-3.0-only
"""What the commands of every engine share."""

import json
import time

import msgspec
import pytest

from queuedeck_agent import wire
from queuedeck_agent.engines import commands
from queuedeck_agent.engines.commands import Found
from queuedeck_agent.errors import CommandRefused
from queuedeck_agent.outcomes import LARGEST_OUTCOME_BYTES

BODY = wire.CommandBody("1" * 32, "a", b"", "p", "peek", "s", "", "", 60, queue="mail")


def test_verb_is_carried_out_by_its_action() -> None:
    calls: list[tuple[str, bytes]] = []

    def act(command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        calls.append((command.verb, call))
        return commands.done(command, "looked", affected=3)

    done = commands.carry_out({"peek": act}, BODY, b"call")
    assert calls == [("peek", b"call")]
    assert (done.command_id, done.effect, done.verified, done.affected) == (
        BODY.command_id,
        "looked",
        True,
        3,
    )


def test_verb_without_action_is_refused_with_the_reason() -> None:
    with pytest.raises(CommandRefused, match="RabbitMQ gives no message") as refused:
        commands.carry_out({}, BODY, b"", "RabbitMQ gives no message without taking it.")
    assert refused.value.code == "unsupported"


def test_messages_are_as_many_as_a_record_of_a_lane_holds() -> None:
    found = [Found(str(number), args=msgspec.Raw(b'"%s"' % (b"x" * 8_000))) for number in range(90)]
    encoded = commands.messages(found)
    shown = json.loads(encoded)
    assert 5 < len(shown) < 90
    assert [one["id"] for one in shown] == [str(number) for number in range(len(shown))]
    done = commands.done(BODY, "x" * 2_000, found=encoded)
    assert len(wire.encode(done)) < LARGEST_OUTCOME_BYTES


def test_messages_are_bounded_in_number() -> None:
    assert len(json.loads(commands.messages([Found("x")] * 500))) == commands.MAX_FOUND


def test_arguments_of_a_message_are_redacted() -> None:
    shown = json.loads(bytes(commands.shown([1], {"password": "hunter2"})))
    assert shown["args"] == [1]
    assert "hunter2" not in json.dumps(shown)


def test_reconciled_says_state_and_place() -> None:
    assert json.loads(commands.reconciled("gone")) == {"state": "gone", "where": ""}


def test_checks_wait_no_longer_than_they_must() -> None:
    begun = time.monotonic()
    assert commands.within(lambda: True, 10)
    assert not commands.stays(lambda: False, 10)
    assert time.monotonic() - begun < 1
    assert not commands.within(lambda: False, 0.1)
    assert commands.stays(lambda: True, 0.1)

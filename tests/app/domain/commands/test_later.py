# SPDX-License-Identifier: AGPL-3.0-only
"""When a new task may start: what people write, what an agent is told, what is kept."""

import msgspec
import pytest
from tests.support.control import SHELL

from queuedeck.domain.commands.again import claim_again
from queuedeck.domain.commands.delivery import claim_for_agent
from queuedeck.domain.commands.later import delay_of, seconds_until
from queuedeck.domain.commands.queries import find_command
from queuedeck.domain.commands.service import request_retry
from queuedeck.errors import Conflict, Invalid

S, H = 1_000_000, 3_600
NOON = 1_795_176_000 * S
"""2026-11-20 12:00 UTC."""


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", 0),
        ("  90 ", 90),
        ("30m", 1_800),
        ("1h30m", 5_400),
        ("100ms", 1),
        ("14:00", 2 * H),
        ("12:00", 0),
        ("11:59", 24 * H - 60),
        ("2026-11-20 13:00", H),
        ("2026-11-20T15:00+02:00", H),
        ("2026-11-21", 12 * H),
    ],
)
def test_time_is_read(text, seconds):
    assert delay_of(text, NOON) == seconds


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("soon", "no time"),
        ("25:00", "no time"),
        ("-5m", "no time"),
        ("2026-11-20 11:00", "has passed"),
        ("2026-02-30", "no time"),
        ("400d", "A delay is"),
        ("2999-01-01", "A delay is"),
        ("9" * 40, "A delay is"),
    ],
)
def test_what_is_no_time_to_come_is_refused(text, why):
    with pytest.raises(Invalid, match=why):
        delay_of(text, NOON)


def test_part_of_a_second_is_never_too_early():
    assert seconds_until(NOON + 1, NOON) == 1
    assert seconds_until(NOON + S, NOON) == 1


@pytest.fixture
async def agent(desk, project):
    await desk.task(project.id)
    return desk.connect(project.id).agent


async def test_agent_is_told_what_is_left_of_the_delay(desk, project, agent, clock):
    command = await request_retry(desk, project, "celery", "t1", SHELL, delay_s=600)
    clock.advance(100.5)
    (claimed,) = await claim_for_agent(desk, project.id, agent)
    assert claimed.command.details.delay_s == 500
    clock.advance(600)
    (again,) = await claim_again(desk, project.id, agent)
    assert again.command.details.delay_s == 0
    kept = await find_command(desk.control, project.id, command.id)
    assert msgspec.structs.replace(kept.details, delay_s=0) == again.command.details
    assert kept.details.delay_s == 600


async def test_second_who_means_another_time_is_told(desk, project, agent):
    first = await request_retry(desk, project, "celery", "t1", SHELL, delay_s=600)
    same = await request_retry(desk, project, "celery", "t1", SHELL, delay_s=600)
    assert same.id == first.id
    with pytest.raises(Conflict):
        await request_retry(desk, project, "celery", "t1", SHELL)


@pytest.mark.parametrize("delay_s", [-1, 400 * 86_400])
async def test_delay_beyond_what_is_possible_is_refused(desk, project, agent, delay_s):
    with pytest.raises(Invalid):
        await request_retry(desk, project, "celery", "t1", SHELL, delay_s=delay_s)

# SPDX-License-Identifier: Apache-2.0
"""What an engine says of a task, and of several in one command; with what this host knows of the
processes that began them. Nothing is changed, and nothing is concluded here: the server does that.
"""

import time
from collections.abc import Callable, Sequence

import msgspec

from queuedeck_agent import wire
from queuedeck_agent.agent import Agent
from queuedeck_agent.engines.commands import done
from queuedeck_agent.errors import CommandRefused

MOST = 100
"""Tasks of one command."""
BUDGET_S = 20.0
"""After that the rest is answered with `unknown`."""

STARTED = "started"
"""The engine's books still have it as begun by that worker; nobody was asked who runs it."""
UNKNOWN = "unknown"

StateOf = Callable[[wire.CommandBody], tuple[str, str]]
"""(`queued`, `scheduled`, `running`, `started`, `succeeded`, `failed`, `cancelled`, `gone` or
`unknown`; in the engine's own words). `gone` only where each place was looked at in full."""
StatesOf = Callable[[Sequence[wire.CommandBody]], dict[str, tuple[str, str]]]
"""The same of many tasks, by id."""


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """Of one of the tasks that were asked about."""

    id: str
    state: str
    where: str = ""
    process: str = ""
    """`alive`, `dead`, or empty: not known on this host."""
    why: str = ""
    families: tuple[str, ...] = ()
    """The agents that `process` is about."""


_json = msgspec.json.Encoder().encode


def shown(state: str) -> str:
    """For one task that a person asks about, in the words that there have always been."""
    return {STARTED: "running", UNKNOWN: "gone"}.get(state, state)


def one_by_one(agent: Agent, command: wire.CommandBody, state_of: StateOf) -> wire.CommandDone:
    """The tasks of a command, for engines that are asked about each by itself."""
    until = time.monotonic() + BUDGET_S

    def states(bodies: Sequence[wire.CommandBody]) -> dict[str, tuple[str, str]]:
        return {body.task_id: _in_time(state_of, body, until) for body in bodies}

    return together(agent, command, states)


def together(agent: Agent, command: wire.CommandBody, states_of: StatesOf) -> wire.CommandDone:
    """The tasks of a command, for engines that are asked about all of them at once."""
    asked = command.details.tasks[:MOST]
    allowed = [one for one in asked if agent.policy.allows_task(one.task_name)]
    states = states_of([_about(command, one) for one in allowed])
    refused = UNKNOWN, "This host does not allow commands on tasks of that name."
    answers = [
        _answer(agent, command.source, one, *states.get(one.task_id, refused)) for one in asked
    ]
    return done(
        command,
        f"Asked the engine about {len(answers)} tasks.",
        affected=len(answers),
        found=_json(answers),
    )


def _answer(agent: Agent, source: str, one: wire.AskedTask, state: str, where: str) -> Answer:
    fate = agent.marks.fate(source, one.starts)
    return Answer(one.task_id, state, where[:500], fate.process, fate.why, fate.families)


def _about(command: wire.CommandBody, one: wire.AskedTask) -> wire.CommandBody:
    return msgspec.structs.replace(
        command,
        task_id=one.task_id,
        task_name=one.task_name,
        queue=one.queue,
        details=wire.CommandDetails(),
    )


def _in_time(state_of: StateOf, body: wire.CommandBody, until: float) -> tuple[str, str]:
    if time.monotonic() >= until:
        return UNKNOWN, "There was no time left to ask about it."
    try:
        return state_of(body)
    except CommandRefused as refusal:
        return UNKNOWN, refusal.message

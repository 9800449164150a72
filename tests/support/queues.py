# SPDX-License-Identifier: AGPL-3.0-only
"""Workers of a queue as their agents describe them, and what these answer."""

import itertools

from sqlalchemy import select
from tests.support.commands import SOURCE

from queuedeck.domain.commands.delivery import apply_results, claim_for_agent
from queuedeck.domain.commands.models import Command
from queuedeck.domain.queues.queue import QueueRef
from queuedeck_agent import wire

MAIL = QueueRef("celery", SOURCE, "mail")
ALLOW = ("observe", "retry", "cancel", "pause", "purge", "worker")
_numbers = itertools.count(1)


def an_engine(queues=("mail",), role="worker", source=SOURCE, without=(), **more):
    """An engine that can do every verb but those `without`: {verb: reason}."""
    able = tuple(
        wire.Capability(verb, "none", without[verb])
        if verb in without
        else wire.Capability(verb, "native")
        for verb in wire.VERBS
    )
    fields = {"worker": "celery@host", "pool": "prefork", "slots": 4, "tasks": ("shop.pay",)}
    return wire.EngineInfo(
        "celery", "5.6.3", source, role, queues=queues, capabilities=able, **(fields | more)
    )


def a_worker(*engines, host="host", allow=ALLOW, agent_id="", **more):
    """The hello of a process with a worker of the queue."""
    return wire.Hello(
        agent_id or f"{next(_numbers):032x}", "0.1.0", host, 42, b"n" * 16,
        engines=engines or (an_engine(),), allow=allow, **more,
    )  # fmt: skip


def enter(desk, project_id, hello=None):
    """The connection of a worker, as the gateway makes it."""
    return desk.registry.connect(project_id, hello or a_worker(), lambda _message: None)


async def take(desk, project_id, connection):
    """What the agent gets now: its commands, oldest first."""
    claimed = await claim_for_agent(desk, project_id, connection.agent)
    return [item.command for item in claimed]


async def answer(desk, project_id, connection, **said):
    """The agent takes what waits for it and answers each alike. Returns the verbs."""
    commands = await take(desk, project_id, connection)
    for command in commands:
        await tell(desk, project_id, command.id, **said)
    return [command.verb for command in commands]


async def answer_all(desk, project_id, **said):
    """Whoever got them: all commands that are on their way are answered alike."""
    for command in await commands(desk.control, project_id):
        if command.state in ("pending", "sent"):
            await tell(desk, project_id, command.id, **said)


async def tell(desk, project_id, command_id, code="", **said):
    """What an agent says of a command: done, or failed with a code."""
    kind = wire.CommandFailed if code else wire.CommandDone
    fields = {"code": code} | said if code else said
    await apply_results(desk, project_id, [kind(desk.clock(), command_id, **fields)])


async def commands(db, project_id, verb=""):
    """All of the outbox, oldest first."""
    statement = select(Command).where(Command.project_id == project_id)
    if verb:
        statement = statement.where(Command.verb == verb)
    async with db.read() as session:
        return list(await session.scalars(statement.order_by(Command.created_us, Command.id)))

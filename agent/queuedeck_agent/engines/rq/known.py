# SPDX-License-Identifier: Apache-2.0
"""Which functions may be submitted by name.

RQ imports whatever dotted name a job has, `os.system` too: a server that was broken into must not
choose. A name counts that the host's operator wrote into QUEUEDECK_ALLOW_TASKS, or under which the
application itself has sent a job, as the stamps of its own processes say.
"""

import fnmatch
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from queuedeck_agent.engines.rq import plain, scripts
from queuedeck_agent.engines.rq import stamp as rq_stamp
from queuedeck_agent.engines.rq.publish import name_of
from queuedeck_agent.errors import CommandRefused

if TYPE_CHECKING:
    from queuedeck_agent.agent import Agent
    from queuedeck_agent.engines.rq.adapter import RqEngine

_REGISTRIES = ("wip", "finished", "failed", "scheduled", "deferred", "canceled")
_NEWEST = 100
_MOST_RUNNING = 20
_MOST_SHOWN = 5
_decode = msgspec.json.Decoder(rq_stamp.Stamp).decode


def check(agent: "Agent", engine: "RqEngine", name: str, queues: Iterable[str]) -> None:
    """Raises `CommandRefused` for a name that nobody of this host has vouched for."""
    patterns = [one for one in agent.policy.tasks if one.strip("*?.")]
    if any(fnmatch.fnmatchcase(name, one) for one in patterns):
        return
    gate, publishing = engine.gate, engine.publishing
    if gate is not None and name in gate.names:
        return
    if publishing is not None and publishing.has_sent(name):
        return
    names = _names(engine.connection, dict.fromkeys(queues))
    if name in names:
        return
    known = names | (gate.names if gate is not None else set())
    last = name.rpartition(".")[2]
    near = sorted(known, key=lambda one: (not one.endswith(last), one))[:_MOST_SHOWN]
    raise CommandRefused(
        "invalid",
        f"`{name}` is not known here: RQ runs any function by its name, so only names are taken "
        "that the application has sent itself, or that QUEUEDECK_ALLOW_TASKS names on this host "
        f"(`*` alone names none). Known: {', '.join(near) or 'none yet'}.",
    )


def name_in(job: Any) -> str:
    """The function of a job that was read from Redis: by its payload, or where an application's own
    serializer made that, as our own stamp or RQ's description has it."""
    return plain.name_of(vars(job).get("_data")) or name_of(job)


def _names(connection: Any, queues: Iterable[str]) -> set[str]:
    """What the newest jobs of these queues are, by their stamps; running ones by themselves."""
    with connection.pipeline(transaction=False) as pipeline:
        for queue in queues:
            pipeline.lrange(f"{scripts.QUEUE}{queue}", -_NEWEST, -1)
            for registry in _REGISTRIES:
                pipeline.zrevrange(f"rq:{registry}:{queue}", 0, _NEWEST - 1)
        lists = pipeline.execute()
    ids = {scripts.text(member) for members in lists for member in members}
    # Since RQ 2.0 a job that runs stands there with the id of its execution.
    wip = [member for members in lists[1 :: 1 + len(_REGISTRIES)] for member in members]
    running = {scripts.text(member).partition(":")[0] for member in wip}
    with connection.pipeline(transaction=False) as pipeline:
        for job in (ids := sorted(ids | running)):
            pipeline.hget(f"{scripts.JOB}{job}", rq_stamp.FIELD)
        found = {_decode(one).name for one in pipeline.execute() if one} if ids else set[str]()
        for job in (some := sorted(running)[:_MOST_RUNNING]):
            pipeline.hget(f"{scripts.JOB}{job}", "data")
        calls = [plain.read(one) for one in pipeline.execute()] if some else []
    return {*found, *(call.name for call in calls if call is not None)} - {""}

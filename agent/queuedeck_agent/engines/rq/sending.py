# SPDX-License-Identifier: Apache-2.0
"""Enqueues what a command makes: a fresh job with its own id, told as published by ourselves."""

import datetime
import os
import socket
import time
import uuid
from typing import TYPE_CHECKING, Any

import msgspec

from queuedeck_agent import wire
from queuedeck_agent.agent import Agent
from queuedeck_agent.engines import commands
from queuedeck_agent.engines.rq import stamp as rq_stamp
from queuedeck_agent.engines.rq.call import SealedCall, encoded, fill
from queuedeck_agent.errors import CommandRefused

if TYPE_CHECKING:
    from queuedeck_agent.engines.rq.adapter import RqEngine

_SECOND_US = 1_000_000


def origin() -> str:
    """Who published it: this agent, for an operator."""
    return f"queuedeck{os.getpid()}@{socket.gethostname()}"


def check_place(details: wire.CommandDetails) -> None:
    """Raises `CommandRefused` for a place that RQ does not have."""
    if details.delay_s > 0 and details.priority > 0:
        raise CommandRefused(
            "unsupported",
            "RQ puts a job that becomes due at the end of its queue: it can be delayed, or first "
            "in its queue, not both.",
        )


def send(
    agent: Agent,
    engine: "RqEngine",
    command: wire.CommandBody,
    call: SealedCall,
    shown: bytes = b"",
    retry_of: str = "",
) -> wire.CommandDone:
    """Enqueues the call where the command says, else where it was; `shown`: redacted arguments."""
    from rq import Queue
    from rq.job import Job, JobStatus

    details, connection = command.details, engine.connection
    check_place(details)
    shown = shown if agent.config.capture_args else b""
    new_id = str(uuid.uuid4())
    at_us = time.time_ns() // 1_000
    queue = Queue(details.queue or call.origin or "default", connection=connection)
    job = Job(new_id, connection=connection)
    fill(job, call)
    job.origin = queue.name
    job.timeout = job.timeout or Queue.DEFAULT_TIMEOUT
    # Without `shown` the worker shows the arguments: here they would have to be deserialised.
    stamp = rq_stamp.Stamp(at_us, 1, bool(shown), command.task_name, "", new_id)
    rq_stamp.put(job, stamp)
    status = JobStatus.SCHEDULED if details.delay_s > 0 else JobStatus.QUEUED
    job.set_status(status, pipeline=connection.pipeline())
    with connection.pipeline() as pipeline:
        if details.delay_s > 0:
            due = datetime.datetime.fromtimestamp(at_us / _SECOND_US, datetime.timezone.utc)
            due += datetime.timedelta(seconds=details.delay_s)
            queue.schedule_job(job, due, pipeline=pipeline)
        else:
            queue.enqueue_job(job, pipeline=pipeline, at_front=details.priority > 0)
        pipeline.hset(job.key, rq_stamp.FIELD, rq_stamp.encoded(stamp))
        if call.meta:
            pipeline.hset(job.key, "meta", call.meta)
        pipeline.execute()
    seals, source = agent.seals, engine.source.key
    again = encoded(msgspec.structs.replace(call, origin=queue.name))
    agent.recorder.emit(
        wire.TaskPublished(
            at_us,
            source,
            new_id,
            1,
            command.task_name,
            queue.name,
            shown,
            seals.seal(agent.project, source, command.task_name, new_id, again)
            if agent.config.capture_args
            else b"",
            at_us + details.delay_s * _SECOND_US if details.delay_s > 0 else 0,
            root_id=new_id,
            retry_of=retry_of,
            origin=origin(),
        )
    )
    if not connection.exists(job.key):
        raise CommandRefused("error", f"Redis does not have the new job {new_id}.")
    what = "the original call" if retry_of and not shown else "the call"
    effect = f"{_did(details)} {what} in `{queue.name}` as {new_id}; Redis has it."
    if call.linked:
        effect += " It runs alone: dependencies, repetitions and group are not repeated."
    return commands.done(command, effect + _lacks(connection, queue.name, details), new_id)


def _did(details: wire.CommandDetails) -> str:
    if details.delay_s > 0:
        return f"Scheduled in {details.delay_s} s"
    return "Enqueued at the front" if details.priority > 0 else "Enqueued"


def _lacks(connection: Any, queue: str, details: wire.CommandDetails) -> str:
    """What is not there, so that it would not run."""
    if details.delay_s > 0 and not connection.exists(f"rq:scheduler-lock:{queue}"):
        return f" No worker of `{queue}` with --with-scheduler is there to enqueue it in time."
    return served(connection, queue)


def served(connection: Any, queue: str) -> str:
    """A sentence where no worker takes from the queue."""
    if connection.scard(f"rq:workers:{queue}"):
        return ""
    return f" No worker serves `{queue}` now."

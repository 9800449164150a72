# SPDX-License-Identifier: AGPL-3.0-only
"""Two applications that run all work under one name, and return their failures. Neither knows
anything of Queuedeck.
"""

import os

from arq.connections import RedisSettings
from arq.worker import func
from celery import Celery

BROKER = os.environ.get("JOBS_BROKER", "redis://127.0.0.1:6379/0")
QUEUE = os.environ.get("JOBS_QUEUE", "jobs")
NAME = "app.work"


def work(job, customer):
    """Does a job, and returns what went wrong."""
    if job == "charge":
        return {"status": "error", "message": f"{customer['name']} has no card"}
    return {"status": "ok"}


app = Celery("jobs", broker=BROKER)
app.conf.update(task_default_queue=QUEUE, broker_connection_retry_on_startup=True)
app.task(name=NAME)(work)


async def arq_work(ctx, job, customer):
    return work(job, customer)


class Worker:
    functions = (func(arq_work, name=NAME),)
    redis_settings = RedisSettings.from_dsn(BROKER)
    queue_name = f"{QUEUE}-arq"

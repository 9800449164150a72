# SPDX-License-Identifier: AGPL-3.0-only
"""The tasks of `tasks.py` in a Celery application. It imports nothing of ours."""

import os
from typing import Any

from celery import Celery
from tests.conformance import tasks

app = Celery("conformance", broker=tasks.QUEUES, backend=tasks.BROKER)
app.conf.update(
    task_default_queue=tasks.QUEUE,
    result_expires=300,
    broker_connection_retry_on_startup=True,
    worker_prefetch_multiplier=1,
    worker_send_task_events=False,
)
if os.environ.get("TEST_LATE"):
    app.conf.task_acks_late = True
    # Of its own: it would give out again what the workers of other tests hold on the same Redis.
    keys = ("unacked_key", "unacked_index_key", "unacked_mutex_key")
    options = {one: f"{one}:{tasks.QUEUE}" for one in keys}
    app.conf.broker_transport_options = {"visibility_timeout": 1, **options}
PLACE = "tests.conformance.tasks"

for one in (
    tasks.add,
    tasks.note,
    tasks.digest,
    tasks.login,
    tasks.fail,
    tasks.sleep,
    tasks.leaves,
    tasks.forks,
    tasks.vanishes,
    tasks.reports_for_ever,
    tasks.reports,
):
    app.task(name=f"{PLACE}.{one.__name__}")(one)

again = app.task(
    name=f"{PLACE}.again",
    autoretry_for=(KeyError,),
    retry_kwargs={"max_retries": 1, "countdown": 1},
)(tasks.again)


@app.task(name=f"{PLACE}.sends_another")
def sends_another() -> str:
    sent: Any = app.tasks[f"{PLACE}.add"].delay(2, 3)
    return str(sent.id)


def call(queue: str, name: str, args: Any, kwargs: Any, **options: Any) -> Any:
    """A signature, of a task that need not be known here."""
    return app.signature(name, args=args, kwargs=kwargs).set(queue=queue, **options)

# SPDX-License-Identifier: AGPL-3.0-only
"""Classes of RQ as applications derive them."""

from typing import Any

from rq import Queue, Worker
from rq.job import Job


class OwnWorker(Worker):
    def perform_job(self, job: Job, queue: Queue) -> bool:
        job.meta["seen"] = True
        return super().perform_job(job, queue)

    def handle_job_failure(self, job: Job, queue: Queue, *args: Any, **kwargs: Any) -> None:
        super().handle_job_failure(job, queue, *args, **kwargs)


class OwnJob(Job):
    def to_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return {**super().to_dict(*args, **kwargs), "own": "yes"}


class OwnQueue(Queue):
    job_class = OwnJob

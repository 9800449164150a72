# SPDX-License-Identifier: AGPL-3.0-only
"""The webhooks of the shop, on arq: other companies are told what happened here."""

import asyncio
import secrets
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ClassVar, TypeVar

from arq import cron, func
from arq.connections import ArqRedis
from arq.jobs import Job
from arq.worker import Retry
from redis.asyncio import ConnectionPool

from queuedeck.demo.shop.notes import BROKER, Notes, duration_s

R = TypeVar("R")

QUEUE = "webhooks"
HOSTS = ("crm.example.com", "erp.example.net", "partners.example.org")
notes = Notes("arq")


class EndpointGone(Exception):
    """It answers 410. Running it again will not help."""


class EndpointBusy(ConnectionError):
    """It answers 503."""


class NotingRedis(ArqRedis):
    """Notes what is sent: by the website, by jobs, and by arq itself for its cron jobs."""

    async def enqueue_job(self, function: str, *args: Any, **kwargs: Any) -> Job | None:
        job = await super().enqueue_job(function, *args, **kwargs)
        if job is not None:
            notes.sent(job.job_id)
        return job


def connect() -> NotingRedis:
    """Opens no connection yet: those belong to the event loop that uses them."""
    return NotingRedis(ConnectionPool.from_url(BROKER), default_queue_name=QUEUE)


def noted(function: Callable[..., Coroutine[Any, Any, R]]) -> Any:
    """arq's own hooks do not tell how a job ended: the function notes it itself."""

    @wraps(function)
    async def job(ctx: dict[str, Any], *args: Any, **kwargs: Any) -> R:
        with notes.running(ctx["job_id"]):
            return await function(ctx, *args, **kwargs)

    return job


def post(url: str) -> str:
    """Some endpoints are busy now and then, some are gone."""
    if url.endswith("/old"):
        raise EndpointGone(f"410 Gone from {url}")
    if notes.is_down(url, 30):
        raise EndpointBusy(f"503 Service Unavailable from {url}")
    return "204 No Content"


@noted
async def deliver(
    ctx: dict[str, Any], url: str, event: str, order: int, *, signing_secret: str
) -> str:
    """Has a secret among its arguments. Whoever is busy now is asked again."""
    await asyncio.sleep(duration_s(0.03, 0.3))
    try:
        answer = post(url)
    except EndpointBusy as error:
        raise Retry(defer=1) from error
    return answer


@noted
async def sync_contact(ctx: dict[str, Any], customer: int) -> str:
    """Works when it is retried."""
    await asyncio.sleep(duration_s(0.05, 0.2))
    if notes.is_down("crm", 20):
        raise RuntimeError("the CRM answered without an id")
    return f"contact {customer} is up to date"


@noted
async def export_events(ctx: dict[str, Any], day: str) -> str:
    """Takes longer than its time limit."""
    await asyncio.sleep(5)
    return f"events-{day}.jsonl"


@noted
async def send_digest(ctx: dict[str, Any], partner: str) -> str:
    """Sent to be run later."""
    await asyncio.sleep(duration_s(0.05, 0.1))
    return f"digest for {partner}: 12 events"


@noted
async def ping_endpoints(ctx: dict[str, Any]) -> dict[str, int]:
    """By arq's cron."""
    await asyncio.sleep(duration_s(0.05, 0.2))
    return dict.fromkeys(HOSTS, 200)


class WorkerSettings:
    """What `arq webhooks.WorkerSettings` reads."""

    functions: ClassVar[list[Any]] = [
        func(deliver, name="webhooks.deliver"),
        func(sync_contact, name="webhooks.sync_contact"),
        func(export_events, name="webhooks.export_events", timeout=1),
        func(send_digest, name="webhooks.send_digest"),
    ]
    cron_jobs: ClassVar[list[Any]] = [
        cron(ping_endpoints, name="webhooks.ping_endpoints", second=set(range(0, 60, 15)))
    ]
    queue_name = QUEUE
    redis_pool = connect()
    max_jobs = 2


async def send(redis: ArqRedis, number: int, later_s: float) -> None:
    """What the website asks for in one round."""
    order = 1000 + number
    host = HOSTS[number % len(HOSTS)]
    url = f"https://{host}/hooks/old" if number % 18 == 3 else f"https://{host}/hooks/orders"
    secret = f"whsec_{secrets.token_hex(12)}"
    await redis.enqueue_job("webhooks.deliver", url, "order.paid", order, signing_secret=secret)
    if number % 4 == 1:
        await redis.enqueue_job("webhooks.sync_contact", order)
    if number % 30 == 8:
        await redis.enqueue_job("webhooks.export_events", f"2026-11-{number % 28 + 1:02}")
    if number % 8 == 3:
        await redis.enqueue_job("webhooks.send_digest", host, _defer_by=later_s)

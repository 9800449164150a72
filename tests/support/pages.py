# SPDX-License-Identifier: AGPL-3.0-only
"""A shop with tasks and a connected agent, and people who look at its pages."""

from contextlib import asynccontextmanager

import msgspec
from tests.support.history_events import NOW_US, SOURCE, batch, failed, source_seen

from queuedeck.clock import now_us
from queuedeck.domain.accounts.permissions import Role
from queuedeck_agent import wire

SEAL_ID = "9f3a01bc"
SEALED = SEAL_ID.encode() + b"\x00" * 40
FULL = tuple(wire.Capability(verb, "native") for verb in ("retry", "cancel", "terminate"))


async def record(serving, project, *events, lane="a" * 32):
    """Store events of a Celery source, moved to the present, and tell it as the gateway does."""
    shift = now_us() - NOW_US - 60_000_000
    present = [moved(event, shift) for event in (source_seen(), *events)]
    await serving.services.history.record([batch(present, lane=lane, project_id=project.id)])
    serving.services.live.publish(project.id, ("tasks",))


def a_failed_task(task_id="t-1", name="shop.capture_payment", **more):
    """Published with sealed arguments, ran once, failed."""
    published = {"args": b'{"args": [7], "kwargs": {"region": "eu-2"}}', "sealed": SEALED} | more
    return (
        wire.TaskPublished(NOW_US, SOURCE, task_id, 1, name, "payments", **published),
        wire.TaskStarted(NOW_US + 840_000, SOURCE, task_id, 1, name, "celery@pay-3"),
        failed(task_id, 1_000_000, exception="shop.CardDeclined", message="the bank said no"),
    )


def a_waiting_task(task_id="t-2", name="shop.send_receipt", **more):
    return (wire.TaskPublished(NOW_US, SOURCE, task_id, 1, name, "emails", **more),)


def connect_agent(serving, project, allow=("observe", "retry", "cancel", "pause"), **more):
    """An agent that never answers, as the registry sees one."""
    engine = wire.EngineInfo(
        "celery", "5.6.3", SOURCE, "worker", "celery@pay-3", "prefork", 4, ("payments",), FULL,
        ("shop.capture_payment",),
    )  # fmt: skip
    fields = {"allow": allow, "seal_ids": (SEAL_ID,), "engines": (engine,), "python": "3.12.4"}
    hello = wire.Hello("c" * 32, "0.1.0", "pay-3.internal", 4711, b"n" * 16, **(fields | more))

    return serving.services.registry.connect(project.id, hello, lambda _message: None)


@asynccontextmanager
async def visitor(serving, project, role=Role.OWNER):
    """An HTTP client with the cookie of a member; `csrf` is what its forms send."""
    person = await serving.person(project, role)
    async with serving.http(cookies=person.cookies) as client:
        client.csrf = person.csrf
        client.person = person
        yield client


async def press(client, url, **fields):
    """Submit a form of a page."""
    return await client.post(url, data={"csrf_token": client.csrf, **fields})


def moved(event, shift):
    """The same event so many microseconds later."""
    changes = {"at_us": event.at_us + shift}
    for field in ("published_us", "eta_us", "next_us"):
        if getattr(event, field, 0):
            changes[field] = getattr(event, field) + shift
    return msgspec.structs.replace(event, **changes)

# SPDX-License-Identifier: AGPL-3.0-only
"""Virtual hosts of the RabbitMQ on this machine, made and removed by its own command."""

import contextlib
import os
import shutil
import socket
import subprocess
import urllib.parse
import uuid
from collections.abc import Iterator
from typing import Any

from kombu import Exchange, Queue

USUAL = "amqp://guest:guest@127.0.0.1:5672/%2F"
URL = os.environ.get("TEST_RABBITMQ", USUAL)
_CONTROL = shutil.which("rabbitmqctl")


def answers() -> bool:
    """Whether something listens where the tests expect it."""
    parts = urllib.parse.urlsplit(URL)
    with (
        contextlib.suppress(OSError),
        socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 5672), timeout=2),
    ):
        return True
    return False


def can_make_hosts() -> bool:
    """Whether it runs here, and its command is ours to call."""
    return answers() and URL == USUAL and _CONTROL is not None and os.geteuid() == 0


@contextlib.contextmanager
def virtual_hosts(*names: str) -> Iterator[list[str]]:
    """URLs of new virtual hosts whose names begin so; removed again with all that is in them."""
    made = [f"{name}{uuid.uuid4().hex[:8]}" for name in names]
    try:
        for name in made:
            _control("add_vhost", name)
            _control("set_permissions", "-p", name, "guest", ".*", ".*", ".*")
        yield [f"amqp://guest:guest@127.0.0.1:5672/{urllib.parse.quote(one, '')}" for one in made]
    finally:
        for name in made:
            _control("delete_vhost", name, check=False)


def quorum_settings(queue: str) -> dict[str, Any]:
    """An application with one quorum queue, as Celery's documentation sets it up."""
    return {
        "task_default_queue": queue,
        "task_default_queue_type": "quorum",
        "task_default_exchange_type": "topic",
        "worker_detect_quorum_queues": True,
        "task_queues": [
            Queue(
                queue,
                Exchange(queue, type="topic"),
                routing_key=queue,
                queue_arguments={"x-queue-type": "quorum"},
            )
        ],
    }


def _control(*words: str, check: bool = True) -> None:
    assert _CONTROL is not None
    subprocess.run([_CONTROL, "--quiet", *words], check=check, timeout=60, capture_output=True)

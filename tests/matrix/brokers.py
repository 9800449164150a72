# SPDX-License-Identifier: AGPL-3.0-only
"""Where the cells' brokers are, and whether they answer."""

import contextlib
import os
import socket
import urllib.parse

from tests.matrix.environment import NotRun

USUAL_REDIS = "redis://127.0.0.1:6379/14"
USUAL_RABBITMQ = "amqp://guest:guest@127.0.0.1:5672/%2F"
"""`TEST_BROKER` and `TEST_RABBITMQ` name others."""


def url_of(broker: str, redis: str) -> str:
    """Of the broker that a cell asks for. Raises `NotRun` where none answers."""
    if broker == "redis":
        return redis
    url = os.environ.get("TEST_RABBITMQ", USUAL_RABBITMQ)
    if not answers(url):
        raise NotRun("no RabbitMQ answers; TEST_RABBITMQ may name one")
    return url


def answers(url: str) -> bool:
    """Whether something listens there."""
    parts = urllib.parse.urlsplit(url)
    place = (parts.hostname or "127.0.0.1", parts.port or 6379)
    with contextlib.suppress(OSError), socket.create_connection(place, timeout=2):
        return True
    return False

# SPDX-License-Identifier: AGPL-3.0-only
"""What a Redis holds under some name, bit by bit: to prove that looking changes nothing."""

import contextlib
from collections.abc import Iterator
from typing import Any

import redis
from tests.support.celery_worker import BROKER


def held(name: str) -> dict[bytes, Any]:
    """Key -> its value as Redis would dump it."""
    client = redis.Redis.from_url(BROKER)
    keys: Any = sorted(client.keys(f"*{name}*"))
    found = {key: client.dump(key) for key in keys}
    client.close()
    return found


@contextlib.contextmanager
def unchanged(name: str) -> Iterator[None]:
    """Whatever is done inside leaves every key of this name as it was."""
    before = held(name)
    assert before
    yield
    assert held(name) == before


def clear(name: str) -> None:
    client = redis.Redis.from_url(BROKER)
    for key in held(name):
        client.delete(key)
    client.close()

# SPDX-License-Identifier: AGPL-3.0-only
"""What the tasks of every engine do. They write down what happened, in the broker: the truth that
the agent's events are compared with. Nothing of ours is imported but where a task reports.
"""

import hashlib
import logging
import os
import time
from typing import Any

import redis

BROKER = os.environ.get("TEST_BROKER", "redis://127.0.0.1:6379/14")
QUEUES = os.environ.get("TEST_QUEUES", BROKER)
"""Where tasks wait: that Redis, or a RabbitMQ. What they write down is in Redis always."""
QUEUE = os.environ.get("TEST_QUEUE", "tests")


def told(*words: object) -> int:
    """Writes a line; how many there are now."""
    client = redis.Redis.from_url(BROKER)
    lines = client.rpush(f"told:{QUEUE}", " ".join(str(word) for word in words))
    client.close()
    return int(lines)


def add(x: int, y: int) -> int:
    return x + y


def note(key: str) -> str:
    """Says that it ran, and where."""
    told("note", key, os.getpid())
    return key


def digest(key: str, *args: Any, **kwargs: Any) -> str:
    """Says exactly what it was called with."""
    told("digest", key, hashlib.sha256(repr((args, sorted(kwargs.items()))).encode()).hexdigest())
    return "done"


def login(user: str, password: str) -> str:
    return user


def fail(secret: str) -> None:
    raise ValueError(f"cannot log in with password={secret}")


def again(key: str) -> str:
    """Fails the first time."""
    client = redis.Redis.from_url(BROKER)
    runs = int(client.incr(f"runs:{QUEUE}:{key}"))
    client.close()
    told("again", key, runs)
    if runs == 1:
        raise KeyError("not yet")
    return "done"


def sleep(key: str, seconds: float) -> str:
    told("sleeps", key, os.getpid())
    time.sleep(seconds)
    told("slept", key)
    return "slept"


def leaves() -> None:
    raise SystemExit(3)


def reports(key: str) -> str:
    """Says how far it is, puts tags on itself, and writes log lines."""
    import queuedeck_agent

    log = logging.getLogger("app.reports")
    log.setLevel(logging.DEBUG)
    queuedeck_agent.tag(f"about-{key}", "demo", "demo", "x" * 65)
    for step in range(1, 201):
        queuedeck_agent.progress(step, 200, f"step {step}, password=hunter2-and-more")
    log.debug("not wanted")
    log.info("begun by %s", key)
    log.warning("went on with password=hunter2-and-more")
    try:
        raise KeyError("lost it")
    except KeyError:
        log.exception("stumbled")
    return key

# SPDX-License-Identifier: AGPL-3.0-only
"""What the tasks of every engine do. They write down what happened, in the broker: the truth that
the agent's events are compared with. Nothing of ours is imported but where a task reports.
"""

import contextlib
import hashlib
import itertools
import logging
import os
import time
from typing import Any

import redis

BROKER = os.environ.get("TEST_BROKER", "redis://127.0.0.1:6379/14")
QUEUES = os.environ.get("TEST_QUEUES", BROKER)
"""Where tasks wait: that Redis, or a RabbitMQ. What they write down is in Redis always."""
QUEUE = os.environ.get("TEST_QUEUE", "tests")
if os.environ.get("TEST_HOOK"):
    import tests.support.slow_hook  # noqa: F401 - a hook of the agent that is slow, or broken


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


def reports_for_ever(key: str) -> None:
    """Until a time limit ends it."""
    import queuedeck_agent

    for step in itertools.count():
        queuedeck_agent.progress(step, message=f"still at {key}")


def again_and_again(key: str) -> str:
    """Goes well the first time, and fails from then on."""
    if told("ran", key) and len([line for line in heard() if line == f"ran {key}"]) > 1:
        raise RuntimeError("once was enough")
    return key


def heard() -> list[str]:
    """What was written down so far."""
    client = redis.Redis.from_url(BROKER, decode_responses=True)
    lines: Any = client.lrange(f"told:{QUEUE}", 0, -1)
    client.close()
    return list(lines)


def vanishes(key: str, code: int) -> None:
    """Its process is gone, without any clean-up."""
    told("vanishes", key, os.getpid())
    os._exit(code)


def forks(key: str) -> str:
    """Has a child of its own, which reports something and leaves without any clean-up."""
    import queuedeck_agent

    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            queuedeck_agent.tag(f"child-{key}")
            told("child", key, os.getpid())
        os._exit(0)
    os.waitpid(child, 0)
    told("parent", key, os.getpid())
    return key


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

# SPDX-License-Identifier: AGPL-3.0-only
"""The broker of the end-to-end tests, and what the tasks wrote into it."""

import json
import secrets
import shutil
from collections import Counter

from redis import Redis
from redis.exceptions import RedisError

from queuedeck.demo.broker import start_broker

REAL = "redis://127.0.0.1:6379/12"


class Broker:
    """A part of one Redis, behind a prefix of its own, so that tests can run side by side."""

    def __init__(self, url):
        self.url = url
        self.prefix = f"e2e-{secrets.token_hex(6)}:"
        self.queue = f"q{secrets.token_hex(4)}"
        self.client = Redis.from_url(url, decode_responses=True)

    @property
    def environment(self):
        """What a process needs to use `tests.support.e2e_app` on this broker."""
        return {"E2E_BROKER": self.url, "E2E_PREFIX": self.prefix, "E2E_QUEUE": self.queue}

    def log(self):
        """What the tasks wrote, oldest first."""
        return [json.loads(line) for line in self.client.lrange(f"{self.prefix}log", 0, -1)]

    def count(self, what):
        """How often each task says that this happened: task id -> number."""
        return Counter(line["id"] for line in self.log() if line["what"] == what)

    def waiting(self):
        return self.client.llen(f"{self.prefix}{self.queue}")

    def clear(self):
        for key in self.client.scan_iter(f"{self.prefix}*", count=1000):
            self.client.delete(key)
        self.client.close()


def find_or_start(folder):
    """(URL, process or None): a redis-server of our own, which nobody else empties; without the
    program the Redis of this machine; without that, fakeredis.
    """
    if not shutil.which("redis-server") and answers(REAL):
        return REAL, None
    process, url = start_broker(folder)
    return url, process


def answers(url):
    try:
        client = Redis.from_url(url, socket_timeout=1)
        client.ping()
        client.close()
    except RedisError:
        return False
    return True

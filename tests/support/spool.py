# SPDX-License-Identifier: AGPL-3.0-only
"""Reads what an agent has put into a spool folder, without a server."""

import base64
import os
from pathlib import Path

from queuedeck_agent import wire
from queuedeck_agent.dsn import SealKey
from queuedeck_agent.seal import Seals
from queuedeck_agent.segment import Segment

SEAL_KEY = bytes(range(32))
SEAL_ID = "0a1b2c3d"


def dsn(port: int = 9, project: str = "shop") -> str:
    """A DSN with a known sealing key; nothing listens at the default port."""
    seal = base64.urlsafe_b64encode(SEAL_KEY).decode().rstrip("=")
    root = base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("=")
    key = "qd_agt_" + "0" * 36
    return f"http://{key}@127.0.0.1:{port}/{project}?seal={SEAL_ID}.{seal}&root={root}"


def events(base: Path) -> list[wire.AnyEvent]:
    """Every event of every lane, in the order of their times."""
    found: list[wire.AnyEvent] = []
    for path in sorted(base.rglob("*.seg")):
        segment = Segment.open(path)
        found += [wire.decode_event(payload) for _number, payload in segment.records()]
        segment.close()
    return sorted(found, key=lambda event: event.at_us)


def opened(event: wire.TaskPublished | wire.TaskStarted) -> bytes:
    """The sealed call of an event of the project `shop`, with the key of `dsn`."""
    seals = Seals((SealKey(SEAL_ID, SEAL_KEY),))
    return seals.open("shop", event.source, event.name, event.task_id, event.sealed)


def whole_bytes(base: Path) -> bytes:
    """All that is on disk."""
    return b"".join(path.read_bytes() for path in sorted(base.rglob("*")) if path.is_file())

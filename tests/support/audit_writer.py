# SPDX-License-Identifier: AGPL-3.0-only
"""A process that appends to the audit log: `python -m tests.support.audit_writer PLACE NAME N`."""

import asyncio
import sys

from tests.support.control import KEYRING, control_db

from queuedeck.clock import now_us
from queuedeck.domain.accounts.actor import Actor
from queuedeck.domain.audit.service import append


async def write(place, name, count):
    by = Actor("cli", name, name, "shell")
    async with control_db(place) as db:
        for number in range(int(count)):
            async with db.write() as session:
                await append(
                    session, KEYRING, now_us, by, "test", f"{name}:{number}", "done", "shop"
                )


if __name__ == "__main__":
    asyncio.run(write(*sys.argv[1:]))

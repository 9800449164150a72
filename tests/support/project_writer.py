# SPDX-License-Identifier: AGPL-3.0-only
"""A process that writes to a control database: `python -m tests.support.project_writer PLACE
NAME COUNT` adds that many projects, each in a transaction that reads first.
"""

import asyncio
import sys

from sqlalchemy import text
from tests.support.control import control_db


async def write(place, name, count):
    async with control_db(place) as db:
        for number in range(int(count)):
            async with db.write() as session:
                await session.scalar(text("SELECT count(*) FROM projects"))
                await session.execute(
                    text("INSERT INTO projects (slug, name, created_us) VALUES (:slug, 'x', 1)"),
                    {"slug": f"{name}-{number}"},
                )


if __name__ == "__main__":
    asyncio.run(write(*sys.argv[1:]))

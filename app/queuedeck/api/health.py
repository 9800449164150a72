# SPDX-License-Identifier: AGPL-3.0-only
"""Two questions of whoever runs the server: does the process live, and can it write?"""

from litestar import get
from litestar.di import NamedDependency

from queuedeck.entrance.guards import public
from queuedeck.entrance.services import Services
from queuedeck.errors import Unavailable


@get("/healthz", guards=[public()], include_in_schema=False)
async def healthz() -> dict[str, str]:
    """The process lives."""
    return {"status": "ok"}


@get("/readyz", guards=[public()], include_in_schema=False)
async def readyz(services: NamedDependency[Services]) -> dict[str, str]:
    """Both stores can be written, or 503 with the reason."""
    trouble = services.ingest.health.trouble()
    if trouble is not None:
        raise Unavailable(trouble.reason)
    async with services.control.write():
        pass
    await services.history.record([])
    return {"status": "ok"}

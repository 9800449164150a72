# SPDX-License-Identifier: AGPL-3.0-only
"""Who may open a link. Answers are given before the upgrade, so that an agent can tell a bad key
from a server that is busy.
"""

from collections.abc import Mapping

from queuedeck.db.engine import ControlDb
from queuedeck.domain.projects.queries import AgentKeyFound, find_agent_key
from queuedeck_agent import wire

PROTOCOLS = (str(wire.PROTOCOL),)
"""The protocols this server speaks."""
RETRY_AFTER_S = 5


class Refused(Exception):
    """The upgrade is answered with this instead."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


async def admit(headers: Mapping[str, str], control: ControlDb) -> AgentKeyFound:
    """The key that the request carries. Raises `Refused` with the answer to give."""
    if "origin" in headers:
        # Agents send none; a browser always does, whatever page made it connect.
        raise Refused(403, "origin_refused", "Browsers may not open an agent's link.")
    _check_protocol(headers.get(wire.HEADER_PROTOCOL, ""))
    found = await _find_key(headers.get("authorization", ""), control)
    if headers.get(wire.HEADER_PROJECT, "") != found.slug:
        raise Refused(
            403,
            "wrong_project",
            "This agent key belongs to another project than the DSN names. "
            "Make a new DSN on the project's connect page.",
        )
    return found


def _check_protocol(asked: str) -> None:
    if asked not in PROTOCOLS:
        raise Refused(
            426,
            "protocol",
            f"This server speaks the agent protocol {' and '.join(PROTOCOLS)}, "
            f"the agent {asked or 'none'}. Upgrade the older of the two.",
        )


async def _find_key(authorization: str, control: ControlDb) -> AgentKeyFound:
    scheme, _, key = authorization.partition(" ")
    if scheme.lower() == "bearer" and (found := await find_agent_key(control, key.strip())):
        return found
    raise Refused(
        401,
        "bad_key",
        "This agent key is not known here, or was revoked. "
        "Make a new DSN on the project's connect page.",
    )

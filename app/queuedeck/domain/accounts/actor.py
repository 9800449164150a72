# SPDX-License-Identifier: AGPL-3.0-only
"""Who acts: what the audit log writes down about it, as it was at that time."""

from typing import Literal

import msgspec

ActorKind = Literal["user", "token", "cli", "system"]


class Actor(msgspec.Struct, frozen=True):
    """Who does something: a person, a token, a shell, or the server itself."""

    kind: ActorKind
    id: str
    """The user's or token's number, the name of the operating system's user, or empty."""
    name: str
    """What a person reads: the e-mail address, the token's prefix, ..."""
    auth: str
    """How it was established: `session:<number>`, `bearer`, `shell`, `setup-link`, ..."""
    ip: str = ""

    @property
    def label(self) -> str:
        """One word for logs and command bodies, for example `user:ann@example.com`."""
        return f"{self.kind}:{self.name or self.id}"


SYSTEM = Actor("system", "", "queuedeck", "internal")
"""The server itself: expiry, results of agents, first start."""

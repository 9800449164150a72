# SPDX-License-Identifier: Apache-2.0
"""Whether a command is what it says: signed, by a key that the root certified, and meant for this
agent on this connection."""

import string
from typing import TYPE_CHECKING

import msgspec

from queuedeck_agent import wire
from queuedeck_agent.errors import CommandRefused

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from queuedeck_agent.agent import Agent

_HEX = frozenset(string.hexdigits.lower())


class Trust(msgspec.Struct, frozen=True):
    """What the commands of one connection are checked against."""

    nonce: bytes
    command_key: bytes
    command_cert: bytes


class Verifier:
    """Checks commands for one agent. The certificate is checked once for each connection."""

    def __init__(self, agent: "Agent") -> None:
        self._agent = agent
        self._certified: tuple[Trust, Ed25519PublicKey] | None = None

    def verified(self, command: wire.Command, trust: Trust) -> wire.CommandBody:
        """What is asked for; raises `CommandRefused` where nobody who may has asked this here."""
        from cryptography.exceptions import InvalidSignature

        try:
            key = self._key(trust)
            key.verify(command.signature, wire.COMMAND_CONTEXT + command.body)
            body = wire.decode_command_body(command.body)
        except (InvalidSignature, ValueError, msgspec.DecodeError):
            raise CommandRefused(
                "invalid",
                "The command is not signed by the server that this host's DSN names. If the server "
                "was set up anew, make a new DSN.",
            ) from None
        meant_for = (body.agent_id, body.nonce, body.project)
        if meant_for != (self._agent.family, trust.nonce, self._agent.project):
            raise CommandRefused(
                "invalid", "The command was made for another agent, connection or project."
            )
        if not is_command_id(body.command_id):
            raise CommandRefused("invalid", "The command has no proper id.")
        return body

    def _key(self, trust: Trust) -> "Ed25519PublicKey":
        if self._certified is not None and self._certified[0] == trust:
            return self._certified[1]
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        root = Ed25519PublicKey.from_public_bytes(self._agent.config.dsn.root_key)
        root.verify(trust.command_cert, wire.COMMAND_KEY_CONTEXT + trust.command_key)
        key = Ed25519PublicKey.from_public_bytes(trust.command_key)
        self._certified = trust, key
        return key


def is_command_id(text: str) -> bool:
    """Whether it has the form that servers give: it is written into files, and told again."""
    return len(text) == 32 and _HEX.issuperset(text)

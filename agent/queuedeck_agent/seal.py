# SPDX-License-Identifier: Apache-2.0
"""Sealed calls: the original call of a task, readable only by agents that hold the sealing key.

Blob = key id (8 ASCII) | nonce (12) | AES-256-GCM, bound to project, source, task name and task id,
so that a server cannot pass the arguments of one task off as another's.
"""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from queuedeck_agent.dsn import SealKey
from queuedeck_agent.errors import CommandRefused

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MAX_PLAINTEXT_BYTES = 16 << 10
_KID_BYTES = 8
_NONCE_BYTES = 12
_TAG_BYTES = 16


class Seals:
    """Seals with the newest key, opens with every key that the host was given."""

    def __init__(self, keys: tuple[SealKey, ...]) -> None:
        self._keys = {key.kid: key.key for key in reversed(keys)}
        self._kid = keys[0].kid.encode()
        self._ciphers: dict[str, AESGCM] = {}
        self._encrypt: Callable[[bytes, bytes, bytes], bytes] | None = None

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of the keys that can be opened here, the one that seals first."""
        first = self._kid.decode()
        return (first, *(kid for kid in self._keys if kid != first))

    def preload(self) -> None:
        """Loads the cipher now: before the fork, or before the first task."""
        self._encrypt = self._cipher(self._kid.decode()).encrypt

    def seal(self, project: str, source: str, name: str, task_id: str, plaintext: bytes) -> bytes:
        """The sealed call, or nothing when it is over the limit: such a task has no plain retry."""
        if not plaintext or len(plaintext) > MAX_PLAINTEXT_BYTES or "\x00" in name + task_id:
            return b""
        if self._encrypt is None:
            self._encrypt = self._cipher(self._kid.decode()).encrypt
        nonce = os.urandom(_NONCE_BYTES)
        bound = _bound_to(project, source, name, task_id)
        return self._kid + nonce + self._encrypt(nonce, plaintext, bound)

    def open(self, project: str, source: str, name: str, task_id: str, blob: bytes) -> bytes:
        """The original call; raises `CommandRefused` when it is not this task's, or not ours."""
        if len(blob) < _KID_BYTES + _NONCE_BYTES + _TAG_BYTES:
            raise CommandRefused("invalid", "The command came without the task's sealed call.")
        if "\x00" in project + source + name + task_id:
            raise CommandRefused("invalid", "Names and ids of sealed calls hold no zero bytes.")
        kid = blob[:_KID_BYTES].decode("ascii", "replace")
        if kid not in self._keys:
            raise CommandRefused(
                "unsupported",
                f"The call was sealed with key {kid}, which this agent does not have. Put the DSN "
                "that sealed it into QUEUEDECK_DSN_PREVIOUS and restart the worker.",
            )
        from cryptography.exceptions import InvalidTag

        nonce = blob[_KID_BYTES : _KID_BYTES + _NONCE_BYTES]
        try:
            return self._cipher(kid).decrypt(
                nonce, blob[_KID_BYTES + _NONCE_BYTES :], _bound_to(project, source, name, task_id)
            )
        except InvalidTag:
            raise CommandRefused(
                "invalid",
                "The sealed call does not belong to this task, or was changed. It was not run.",
            ) from None

    def _cipher(self, kid: str) -> "AESGCM":
        cipher = self._ciphers.get(kid)
        if cipher is None:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM

            cipher = self._ciphers[kid] = AESGCM(self._keys[kid])
        return cipher


def _bound_to(project: str, source: str, name: str, task_id: str) -> bytes:
    """Zero bytes part the four, so none of them may hold one: two tasks would look the same."""
    return f"{project}\x00{source}\x00{name}\x00{task_id}".encode("utf-8", "surrogatepass")

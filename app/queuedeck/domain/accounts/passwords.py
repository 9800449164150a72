# SPDX-License-Identifier: AGPL-3.0-only
"""argon2id, away from the event loop and one at a time: guesses never take more than one core."""

import asyncio
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from queuedeck.errors import Invalid

MIN_LENGTH = 12
MAX_LENGTH = 1_000
TIME_COST = 3
MEMORY_KIB = 64 * 1024


class Passwords:
    """Hashes and checks. Make one per process and pass it down."""

    def __init__(self, time_cost: int = TIME_COST, memory_kib: int = MEMORY_KIB) -> None:
        self._hasher = PasswordHasher(time_cost=time_cost, memory_cost=memory_kib, parallelism=1)
        self._one_at_a_time = asyncio.Semaphore(1)
        self._dummy = ""

    async def hash(self, password: str) -> str:
        """Raises `Invalid` when the password is too short or absurdly long."""
        check_length(password)
        async with self._one_at_a_time:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def matches(self, password_hash: str | None, password: str) -> bool:
        """Whether the password fits. For unknown users pass None: it takes as long and is False."""
        if len(password) > MAX_LENGTH:
            return False
        async with self._one_at_a_time:
            return await asyncio.to_thread(self._matches, password_hash, password)

    def _matches(self, password_hash: str | None, password: str) -> bool:
        if not self._dummy:
            # Made at the first check whoever it is for, so that it tells nothing.
            self._dummy = self._hasher.hash(secrets.token_urlsafe())
        try:
            found = self._hasher.verify(password_hash or self._dummy, password)
        except (VerifyMismatchError, VerificationError, InvalidHashError):
            return False
        return found and password_hash is not None


def check_length(password: str) -> None:
    if len(password) < MIN_LENGTH:
        raise Invalid(f"The password needs at least {MIN_LENGTH} characters; four words will do.")
    if len(password) > MAX_LENGTH:
        raise Invalid(f"The password is longer than {MAX_LENGTH} characters.")

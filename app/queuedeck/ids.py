# SPDX-License-Identifier: AGPL-3.0-only
"""Random ids and secrets, the printed form of keys, and what is stored of them."""

import hashlib
import secrets
import zlib

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
KEY_LENGTH = 30
CHECK_LENGTH = 6

AGENT_KEY_PREFIX = "qd_agt_"
API_TOKEN_PREFIX = "qd_pat_"  # noqa: S105 - a prefix, not a secret


def new_id() -> str:
    """128 random bits as 32 hex digits."""
    return secrets.token_hex(16)


def new_key(prefix: str) -> str:
    """A secret that people copy: prefix, 30 random base-62 digits, 6 digits of CRC-32.

    The checksum lets a typing error, and a secret scanner, be answered without a database.
    """
    body = prefix + "".join(secrets.choice(BASE62) for _ in range(KEY_LENGTH))
    return body + _checksum(body)


def is_well_formed_key(key: str, prefix: str) -> bool:
    """Whether prefix, length and checksum fit. Says nothing about whether the key exists."""
    if not key.startswith(prefix) or len(key) != len(prefix) + KEY_LENGTH + CHECK_LENGTH:
        return False
    return _checksum(key[:-CHECK_LENGTH]) == key[-CHECK_LENGTH:]


def hash_secret(secret: str) -> bytes:
    """What the database holds. SHA-256 is enough for random secrets: there is nothing to guess."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()


def _checksum(body: str) -> str:
    number = zlib.crc32(body.encode())
    digits = ""
    for _ in range(CHECK_LENGTH):
        number, digit = divmod(number, 62)
        digits = BASE62[digit] + digits
    return digits

# SPDX-License-Identifier: AGPL-3.0-only
"""The mathematics of the audit log, without I/O: leaves, chain, RFC 6962 tree, signed checkpoint.

A stranger needs this page, a log and a public key to check everything but the HMAC chain.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

HASH_BYTES = 32
NO_MAC = bytes(HASH_BYTES)
"""What the first entry's chain link follows."""
ORIGIN = "queuedeck/audit/"
"""How the name of each log begins."""
EMPTY_ROOT = hashlib.sha256(b"").digest()

_SIGNATURE_LINE = "— "  # An em dash and a space, as the signed-note format says.
_ED25519 = b"\x01"


def canonical(body: Mapping[str, object]) -> bytes:
    """JSON with sorted keys and no spaces: the bytes that are stored and hashed, once."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    # A name of the operating system may hold lone surrogates; JSON writes them as \udcxx.
    return text.encode("utf-8", "backslashreplace")


def leaf_hash(body: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + body).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def next_mac(key: bytes, previous: bytes, body: bytes) -> bytes:
    """The chain: each entry's mac covers its body and, through the previous mac, all before it."""
    return hmac.new(key, previous + body, hashlib.sha256).digest()


def commitment(salt: bytes, payload: bytes) -> bytes:
    """What the body says about a payload that may be erased later."""
    return hashlib.sha256(salt + payload).digest()


class Frontier(msgspec.Struct, frozen=True):
    """A tree of `size` leaves, as the roots of its complete subtrees, largest first."""

    size: int = 0
    roots: tuple[bytes, ...] = ()

    def add(self, leaf: bytes) -> "Frontier":
        """One more leaf: each trailing 1 bit of the size is a subtree to join with."""
        roots, size = list(self.roots), self.size
        while size & 1:
            leaf = node_hash(roots.pop(), leaf)
            size >>= 1
        return Frontier(self.size + 1, (*roots, leaf))

    @property
    def root(self) -> bytes:
        if not self.roots:
            return EMPTY_ROOT
        *left, root = self.roots
        for subtree in reversed(left):
            root = node_hash(subtree, root)
        return root

    def to_bytes(self) -> bytes:
        return b"".join(self.roots)


def frontier_of(size: int, stored: bytes) -> Frontier:
    """Read back what `to_bytes` wrote. Raises `ValueError` if it cannot belong to that size."""
    roots = tuple(stored[i : i + HASH_BYTES] for i in range(0, len(stored), HASH_BYTES))
    if len(stored) != size.bit_count() * HASH_BYTES:
        raise ValueError("the stored frontier does not fit the stored size")
    return Frontier(size, roots)


class Checkpoint(msgspec.Struct, frozen=True):
    """How long the log was and what it held, as one signed sentence."""

    origin: str
    size: int
    root: bytes


def origin_of(public_key: bytes) -> str:
    """The name of the log of this key, the same for ever."""
    return ORIGIN + hashlib.sha256(public_key).hexdigest()[:16]


def sign_checkpoint(frontier: Frontier, public_key: bytes, sign: Callable[[bytes], bytes]) -> str:
    """A signed note in the C2SP checkpoint format."""
    origin = origin_of(public_key)
    text = f"{origin}\n{frontier.size}\n{_b64(frontier.root)}\n"
    signature = _b64(_key_id(origin, public_key) + sign(text.encode()))
    return f"{text}\n{_SIGNATURE_LINE}{origin} {signature}\n"


def open_checkpoint(note: str, public_key: bytes) -> Checkpoint:
    """Check a note's signature and read it. Raises `ValueError` with what is wrong."""
    text, separator, signatures = note.strip("\r\n ").partition("\n\n")
    text += "\n"
    lines = text.splitlines()
    if not separator or len(lines) < 3 or not lines[1].isdecimal():
        raise ValueError("it is not a checkpoint: three lines, an empty one and a signature")
    origin = origin_of(public_key)
    if lines[0] != origin:
        raise ValueError(f"it belongs to another log ({lines[0]}; this one is {origin})")
    if not any(_signed_by(line, text, origin, public_key) for line in signatures.splitlines()):
        raise ValueError("its signature is not one of this log's key")
    return Checkpoint(origin, int(lines[1]), base64.b64decode(lines[2]))


def _signed_by(line: str, text: str, origin: str, public_key: bytes) -> bool:
    start = f"{_SIGNATURE_LINE}{origin} "
    if not line.startswith(start):
        return False
    try:
        blob = base64.b64decode(line[len(start) :], validate=True)
        if blob[:4] != _key_id(origin, public_key):
            return False
        Ed25519PublicKey.from_public_bytes(public_key).verify(blob[4:], text.encode())
    except (ValueError, InvalidSignature):
        return False
    return True


def _key_id(name: str, public_key: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + public_key).digest()[:4]


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()

# SPDX-License-Identifier: AGPL-3.0-only
"""The server's keys, all derived from one 32-byte secret, so that replicas need only that.

Root (pinned by every DSN), command key (certified by root), audit key, HMAC and CSRF keys.
"""

import base64
import os
import secrets
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from queuedeck.errors import Invalid
from queuedeck_agent import wire

SECRET_BYTES = 32


class Keyring:
    """Signs and derives; holds no state beyond the secret. The secret itself is never shown."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._root = self._signing_key("root")
        self._command = self._signing_key("command")
        self._audit = self._signing_key("audit")
        self.root_public = _public(self._root)
        self.command_public = _public(self._command)
        self.audit_public = _public(self._audit)
        self.command_cert = self._root.sign(wire.COMMAND_KEY_CONTEXT + self.command_public)
        self.audit_mac_key = self.derive("audit-mac")
        self.csrf_key = self.derive("csrf")

    def derive(self, purpose: str) -> bytes:
        """32 bytes for one purpose; different purposes give unrelated keys."""
        info = f"queuedeck/{purpose}/1".encode()
        return HKDF(SHA256(), 32, salt=None, info=info).derive(self._secret)

    def sign_command(self, body: bytes) -> bytes:
        return self._command.sign(wire.COMMAND_CONTEXT + body)

    def sign_checkpoint(self, text: bytes) -> bytes:
        return self._audit.sign(text)

    def _signing_key(self, purpose: str) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.derive(purpose))


def load_or_create(file: Path, secret_hex: str = "") -> Keyring:
    """The keyring of `QUEUEDECK_SECRET`, else of the file, made with mode 0600 if missing."""
    if secret_hex:
        return Keyring(bytes.fromhex(secret_hex))
    return Keyring(_read_or_create(file))


def b64(data: bytes) -> str:
    """URL-safe base64 without padding, as DSNs print keys."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _read_or_create(file: Path) -> bytes:
    if not file.exists():
        _create(file)
    text = file.read_text().strip()
    try:
        secret = bytes.fromhex(text)
    except ValueError:
        secret = b""
    if len(secret) != SECRET_BYTES:
        raise Invalid(
            f"{file} does not hold 64 hexadecimal digits. Restore it from a backup: without it, "
            "connected agents and the audit log cannot be verified."
        )
    return secret


def _create(file: Path) -> None:
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:  # Another process of the first start was faster.
        return
    with os.fdopen(descriptor, "w") as out:
        out.write(secrets.token_hex(SECRET_BYTES) + "\n")
        out.flush()
        os.fsync(out.fileno())


def _public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

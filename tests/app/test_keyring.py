# SPDX-License-Identifier: AGPL-3.0-only
"""The one secret, and the keys that derive from it."""

import stat

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from queuedeck.errors import Invalid
from queuedeck.keyring import Keyring, load_or_create
from queuedeck_agent import wire


def test_secret_is_made_once_and_only_for_its_owner(tmp_path):
    file = tmp_path / "secret.key"
    first = load_or_create(file)
    assert load_or_create(file).root_public == first.root_public
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_secret_of_the_environment_needs_no_file(tmp_path):
    keyring = load_or_create(tmp_path / "secret.key", "0f" * 32)
    assert keyring.root_public == Keyring(b"\x0f" * 32).root_public
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "0f" * 31, "not hexadecimal"])
def test_damaged_file_is_never_replaced(tmp_path, text):
    file = tmp_path / "secret.key"
    file.write_text(text)
    with pytest.raises(Invalid, match="Restore it from a backup"):
        load_or_create(file)
    assert file.read_text() == text


def test_keys_of_different_purposes_are_unrelated():
    keyring = Keyring(b"\x07" * 32)
    public = {keyring.root_public, keyring.command_public, keyring.audit_public}
    assert len({*public, keyring.audit_mac_key, keyring.csrf_key}) == 5


def test_root_certifies_the_command_key():
    keyring = Keyring(b"\x07" * 32)
    root = Ed25519PublicKey.from_public_bytes(keyring.root_public)
    root.verify(keyring.command_cert, wire.COMMAND_KEY_CONTEXT + keyring.command_public)
    command = Ed25519PublicKey.from_public_bytes(keyring.command_public)
    command.verify(keyring.sign_command(b"body"), wire.COMMAND_CONTEXT + b"body")

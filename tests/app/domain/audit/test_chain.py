# SPDX-License-Identifier: AGPL-3.0-only
"""The mathematics of the log: RFC 6962's test vectors, the frontier, signed checkpoints."""

import base64
import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.control import KEYRING, OTHER_KEYRING

from queuedeck.domain.audit import chain

# Leaves and roots of the reference implementation of Certificate Transparency.
LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def merkle_tree_hash(leaves):
    """RFC 6962, section 2.1, word by word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = 1 << (len(leaves) - 1).bit_length() - 1
    left, right = merkle_tree_hash(leaves[:split]), merkle_tree_hash(leaves[split:])
    return hashlib.sha256(b"\x01" + left + right).digest()


def frontier_of(leaves):
    frontier = chain.Frontier()
    for leaf in leaves:
        frontier = frontier.add(chain.leaf_hash(leaf))
    return frontier


def numbers(size):
    return [str(number).encode() for number in range(size)]


def note(size=3, keyring=KEYRING):
    frontier = frontier_of(numbers(size))
    return chain.sign_checkpoint(frontier, keyring.audit_public, keyring.sign_checkpoint)


@pytest.mark.parametrize("size", range(9))
def test_root_is_that_of_the_reference(size):
    assert frontier_of(LEAVES[:size]).root.hex() == ROOTS[size]


@given(st.lists(st.binary(max_size=8), max_size=70))
def test_frontier_gives_the_root_of_the_definition(leaves):
    frontier = chain.Frontier()
    for leaf in leaves:
        stored = chain.frontier_of(frontier.size, frontier.to_bytes())
        frontier = stored.add(chain.leaf_hash(leaf))
    assert frontier.root == merkle_tree_hash(leaves)
    assert len(frontier.roots) == len(leaves).bit_count()


def test_frontier_that_does_not_fit_its_size_is_refused():
    with pytest.raises(ValueError, match="does not fit"):
        chain.frontier_of(3, bytes(32))


def test_checkpoint_is_three_lines_and_a_signature():
    text, signature = note(3).split("\n\n")
    origin, size, root = text.splitlines()
    assert (origin, size) == (chain.origin_of(KEYRING.audit_public), "3")
    assert len(base64.b64decode(root)) == 32
    assert signature.startswith(f"— {origin} ")
    assert len(base64.b64decode(signature.split()[2])) == 4 + 64


def test_checkpoint_can_be_opened_with_the_public_key():
    checkpoint = chain.open_checkpoint(note(3), KEYRING.audit_public)
    assert (checkpoint.size, checkpoint.root) == (3, frontier_of(numbers(3)).root)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("", "not a checkpoint", id="empty"),
        pytest.param("\n\n\n", "not a checkpoint", id="blank"),
        pytest.param(note(3).replace("\n3\n", "\n4\n"), "signature", id="size changed"),
        pytest.param(note(3).partition("—")[0], "not a checkpoint|signature", id="unsigned"),
        pytest.param(note(3, OTHER_KEYRING), "another log", id="other key"),
        pytest.param(note(3)[:-10] + "AAAAAAAA=\n", "signature", id="signature changed"),
        pytest.param(note(3).replace("\n3\n", "\nthree\n"), "not a checkpoint", id="no number"),
    ],
)
def test_checkpoint_that_is_not_ours_is_refused(text, reason):
    with pytest.raises(ValueError, match=reason):
        chain.open_checkpoint(text, KEYRING.audit_public)


def test_canonical_bytes_do_not_depend_on_the_order_of_keys():
    first = chain.canonical({"b": 1, "a": {"d": "ü", "c": None}})
    assert first == chain.canonical({"a": {"c": None, "d": "ü"}, "b": 1})
    assert first == '{"a":{"c":null,"d":"ü"},"b":1}'.encode()


def test_canonical_bytes_of_a_lone_surrogate_are_valid_json():
    raw = chain.canonical({"name": "\udcff\n"})
    assert json.loads(raw.decode()) == {"name": "\udcff\n"}

# SPDX-License-Identifier: AGPL-3.0-only
"""Redacted JSON to a tree."""

import json

import pytest

from queuedeck.web import jsontree
from queuedeck.web.jsontree import lock_parts, read_args, read_value
from queuedeck_agent import capture_walk


def shown(nodes):
    return [(node.key, node.kind, node.text) for node in nodes]


def test_args_come_first_and_keywords_sorted():
    raw = b'{"args": [12900, "EUR"], "kwargs": {"z": null, "a": true}}'
    assert shown(read_args(raw)) == [
        ("0", "plain", "12900"),
        ("1", "text", "EUR"),
        ("a", "plain", "true"),
        ("z", "plain", "null"),
    ]


@pytest.mark.parametrize("number", ["9007199254740993", "0.10000000000000000001", "-1e400"])
def test_numbers_stay_exact(number):
    assert read_value(number.encode())[0].text == number


def test_hidden_value_becomes_a_lock():
    raw = b'{"args": [], "kwargs": {"token": {"~redacted": "token"}}}'
    assert shown(read_args(raw)) == [("token", "lock", "token")]


def test_hidden_keywords_as_a_whole_become_one_lock():
    raw = b'{"args": [], "kwargs": {"~redacted": "depth"}}'
    assert shown(read_args(raw)) == [("kwargs", "lock", "depth")]


def test_cut_string_says_how_long_it_was():
    node = read_value(b'[{"~truncated": 90000, "head": "abc"}]')[0].children[0]
    assert [child.text for child in node.children] == [
        "abc",
        "cut by the agent, 90000 characters in all",
    ]


def test_cut_list_and_cut_map_count_what_is_missing():
    nodes = read_value(b'{"list": [1, {"~truncated": 7}], "map": {"a": 1, "~truncated": 3}}')
    assert nodes[0].children[-1].text == "7 more, cut by the agent"
    assert nodes[1].children[-1].text == "3 more keys, cut by the agent"


def test_markers_are_those_of_the_agent():
    assert (jsontree.TRUNCATED_KEY, jsontree.REPR_KEY) == (
        capture_walk.TRUNCATED_KEY,
        capture_walk.REPR_KEY,
    )


@pytest.mark.parametrize("raw", [b"{", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_json_is_shown_as_text(raw):
    assert read_value(raw)[0].kind == "text"


def test_endless_value_ends_with_a_count():
    node = read_value(json.dumps(list(range(jsontree.MAX_NODES * 2))).encode())[0]
    assert node.children[-1].text.endswith("values more")
    assert len(node.children) <= jsontree.MAX_NODES + 1


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", []),
        ("plain", [("plain", "")]),
        ("a [redacted: jwt] b", [("a ", ""), ("", "jwt"), (" b", "")]),
        ('card={"~redacted":"token"}, 1', [("card=", ""), ("", "token"), (", 1", "")]),
    ],
)
def test_locks_are_found_inside_of_texts(text, parts):
    assert [(part.text, part.rule) for part in lock_parts(text)] == parts

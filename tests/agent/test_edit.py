# SPDX-License-Identifier: AGPL-3.0-only
"""Edited arguments: what was left as it was shown is the original, whatever was hidden or cut."""

import copy
import decimal
import json
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from queuedeck_agent import capture, overrides
from queuedeck_agent.edit import entered, merged
from queuedeck_agent.errors import CommandRefused


class Thing:
    """Something of the application that JSON does not know."""


THING = Thing()
SECRET = "AKIAIOSFODNN7EXAMPLE"
KEYS = st.one_of(
    st.sampled_from(["password", "user", "api_key", "n", "k" * 200, "token"]),
    st.text("abcdef", max_size=3),
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    st.text(max_size=12),
    st.sampled_from(
        [SECRET, f"at {SECRET} now", "x" * 5_000, b"raw", THING, decimal.Decimal("1.5")]
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner),
        st.dictionaries(KEYS, inner, max_size=4),
        st.integers(101, 130).flatmap(
            lambda n: st.lists(inner, min_size=1, max_size=1).map(lambda one: one * n)
        ),
    ),
    max_leaves=12,
)
CALLS = st.tuples(st.lists(VALUES, max_size=4), st.dictionaries(KEYS, VALUES, max_size=4))


def shown_of(args: Any, kwargs: Any, hidden: Any = ()) -> Any:
    return json.loads(capture.arguments(args, kwargs, hidden).json)


def as_bytes(shown: Any) -> bytes:
    return json.dumps(shown).encode()


def leaves(shown: Any, original: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Places that show the whole of a plain value."""
    if isinstance(shown, dict) and isinstance(original, dict):
        both = [key for key in shown if key in original]
        return [found for key in both for found in leaves(shown[key], original[key], (*path, key))]
    if isinstance(shown, list) and isinstance(original, (list, tuple)):
        return [
            found
            for place, (one, other) in enumerate(zip(shown, original, strict=False))
            for found in leaves(one, other, (*path, place))
        ]
    is_whole = type(shown) is type(original) and shown == original
    return [path] if is_whole and not isinstance(shown, (dict, list)) else []


def with_change(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    changed = list(value) if isinstance(value, tuple) else copy.copy(value)
    changed[path[0]] = with_change(changed[path[0]], path[1:], new)
    return tuple(changed) if isinstance(value, tuple) else changed


@settings(deadline=None)
@given(CALLS)
def test_arguments_that_were_not_changed_are_the_original_ones(call: tuple[Any, Any]) -> None:
    args, kwargs = call
    assert merged(as_bytes(shown_of(args, kwargs)), args, kwargs) == (args, kwargs)


@settings(deadline=None)
@given(CALLS)
def test_what_is_added_changes_nothing_else(call: tuple[Any, Any]) -> None:
    args, kwargs = call
    shown = shown_of(args, kwargs)
    end = (shown["args"] or [None])[-1]
    cut = isinstance(end, dict) and "~truncated" in end and "head" not in end
    assume(not cut)  # What is added behind a cut has no place.
    shown["args"].append("new")
    shown["kwargs"]["new"] = 1
    assert merged(as_bytes(shown), args, kwargs) == ([*args, "new"], {**kwargs, "new": 1})


@settings(deadline=None)
@given(CALLS, st.data())
def test_one_changed_leaf_changes_only_itself(call: tuple[Any, Any], data: st.DataObject) -> None:
    whole = {"args": call[0], "kwargs": call[1]}
    shown = shown_of(*call)
    places = leaves(shown, whole)
    if not places:
        return
    path = data.draw(st.sampled_from(places))
    new = data.draw(st.sampled_from(["changed", 17, None, [1, {"a": 2}]]))
    found = merged(as_bytes(with_change(shown, path, new)), *call)
    expected = with_change(whole, path, new)
    assert found == (expected["args"], expected["kwargs"])


def merged_with_a_thing(given_bytes: bytes) -> Any:
    return merged(given_bytes, [1], {"a": THING})


@settings(deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_whatever_is_given_is_taken_or_refused(given_bytes: bytes) -> None:
    for read in (entered, merged_with_a_thing):
        try:
            call = read(given_bytes)
        except CommandRefused as refusal:
            assert refusal.code == "invalid"
        else:
            assert type(call.args) is list
            assert type(call.kwargs) is dict


@pytest.mark.parametrize(
    ("args", "change"),
    [
        ([{"password": "hunter2"}], [{"~redacted": "password"}]),
        ([{"password": {"a": 1}}], [{"password": {"~redacted": "password", "a": 2}}]),
        (["x" * 5_000], [[{"~truncated": 5_000, "head": "x"}]]),
        (["x" * 5_000], [{"~truncated": 5_000, "head": "y"}]),
        ([list(range(120))], [[*range(99), 7, {"~truncated": 21}]]),
        ([f"at {SECRET} now"], ["then [redacted: AWS access key]"]),
        ([THING, 1], [1, "<tests.agent.test_edit.Thing>"]),
        ([{"a": THING}], [{"b": "<tests.agent.test_edit.Thing>"}]),
        ([b"raw"], ["<bytes of 3 bytes>", "<bytes of 3 bytes>"]),
    ],
    ids=["hidden", "added to", "nested", "head", "list", "in a text", "moved", "renamed", "copied"],
)
def test_mark_of_something_not_shown_cannot_be_moved(args: list[Any], change: list[Any]) -> None:
    with pytest.raises(CommandRefused, match="Write the whole value"):
        merged(as_bytes({"args": change}), args, {})


@pytest.mark.parametrize(
    ("original", "shown_change", "expected"),
    [
        ({1: "a", 2: "b"}, {"1": "a", "2": "c"}, {1: "a", 2: "c"}),
        ({None: THING, "b": 1}, None, {None: THING, "b": 2}),
        ({"k" * 200: THING, "b": 1}, None, {"k" * 200: THING, "b": 2}),
        ({(1, 2): THING, "b": 1}, None, {(1, 2): THING, "b": 2}),
    ],
    ids=["numbers", "nothing", "long", "pair"],
)
def test_keys_that_are_shown_differently_stay(
    original: Any, shown_change: Any, expected: Any
) -> None:
    shown = shown_of([original], {})
    if shown_change is not None:
        shown["args"][0] = shown_change
    else:
        shown["args"][0]["b"] = 2
    assert merged(as_bytes(shown), [original], {}).args == [expected]


def test_keys_that_look_alike_are_not_guessed() -> None:
    original = {1: THING, "1": 2}
    shown = shown_of([original], {})
    assert merged(as_bytes(shown), [original], {}).args == [original]
    shown["args"][0]["b"] = 2
    with pytest.raises(CommandRefused):
        merged(
            as_bytes({"args": [{**shown["args"][0], "1": "<tests.agent.test_edit.Thing>"}]}),
            [original],
            {},
        )


def test_cut_list_may_lose_its_end_and_grow() -> None:
    many = list(range(150))
    shown = shown_of([many], {})["args"][0]
    for change, expected in (
        (["first", *shown[1:]], ["first", *many[1:]]),
        (shown[:-1], many[:100]),
        (shown[:50], many[:50]),
    ):
        assert merged(as_bytes({"args": [change]}), [many], {}).args == [expected]


def test_cut_dict_may_lose_its_rest() -> None:
    many = {f"k{number}": number for number in range(150)}
    shown = shown_of([many], {})["args"][0]
    changed = {**shown, "k0": "new"}
    assert merged(as_bytes({"args": [changed]}), [many], {}).args == [{**many, "k0": "new"}]
    del changed["~truncated"]
    kept = {f"k{number}": number for number in range(100)}
    assert merged(as_bytes({"args": [changed]}), [many], {}).args == [{**kept, "k0": "new"}]


def pay(card: str, amount: int) -> None: ...


def test_what_its_author_hides_stays_the_original() -> None:
    redaction = overrides.parse("tests.pay: card")
    overrides.configure(redaction.rules, redaction.doubts)
    hidden = overrides.hidden_in(pay, "tests.pay")
    shown = shown_of([], {"card": "4000", "amount": 1}, hidden)
    shown["kwargs"]["amount"] = 2
    found = merged(as_bytes(shown), [], {"card": "4000", "amount": 1}, hidden)
    assert found.kwargs == {"card": "4000", "amount": 2}


@pytest.mark.parametrize(
    "given_bytes",
    [
        b"[]",
        b"{",
        b'{"args": {}}',
        b'{"kwargs": []}',
        b'{"more": 1}',
        b'{"args": [' * 2_000,
        b"\xff",
    ],
    ids=["list", "half", "args", "kwargs", "more", "deep", "no text"],
)
def test_what_is_no_call_is_refused(given_bytes: bytes) -> None:
    with pytest.raises(CommandRefused) as refused:
        entered(given_bytes)
    assert refused.value.code == "invalid"


def test_entered_arguments_are_taken_as_they_are() -> None:
    assert entered(b'{"args": [1, "a"], "kwargs": {"b": [null, 1.5]}}') == (
        [1, "a"],
        {"b": [None, 1.5]},
    )
    assert entered(b"") == ([], {})

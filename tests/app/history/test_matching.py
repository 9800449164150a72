# SPDX-License-Identifier: AGPL-3.0-only
"""What is found in arguments, results and errors."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queuedeck.history.filters import PathTerm
from queuedeck.history.matching import document_of, holds, needle_of, raw_part

CALL = b'{"args": [7, "INV-2026-118"], "kwargs": {"user": {"id": 5, "Name": "Zo\xc3\xab B"}, "tags": ["a", {"k": true}], "none": null, "pi": 1.5}}'  # noqa: E501

TEXTS = {
    "inv-2026-118": True,
    "INV": True,
    "2026": True,
    "118": True,
    "11": True,
    "18": False,
    "*18": True,
    "*nv-20": True,
    "inv 118": False,
    "zoë b": True,
    "b a": False,
    "card": True,
    "declined": False,
    "*declined": True,
    "user": False,
    "...": False,
}


@pytest.mark.parametrize(("text", "found"), TEXTS.items(), ids=TEXTS)
def test_words_are_found_by_their_beginning(text, found):
    assert needle_of(text).is_in(document_of(CALL, "shop.CardDeclined", "the bank")) is found


PATHS = {
    ("user.id", "5"): True,
    ("user.id", "6"): False,
    ("user.Name", "Zo*"): True,
    ("user.*", "5"): True,
    ("user", "5"): False,
    ("0", "7"): True,
    ("1", "INV-*-118"): True,
    ("1", "INV-?026-118"): False,
    ("2", "7"): False,
    ("tags.0", "a"): True,
    ("tags.*.k", "true"): True,
    ("tags.7", "a"): False,
    ("none", "null"): True,
    ("pi", "1.5"): True,
    ("", "true"): True,
    ("", "*2026*"): True,
    ("", "nothing"): False,
}


@pytest.mark.parametrize(("place", "found"), PATHS.items(), ids=map(str, PATHS))
def test_values_are_found_by_their_path(place, found):
    path, value = place
    term = PathTerm("args", tuple(path.split(".")) if path else (), (value,))
    assert holds(term, CALL) is found


@pytest.mark.parametrize(
    ("payload", "path", "found"),
    [
        (b'"ok"', (), True),
        (b'{"s": "ok"}', ("s",), True),
        (b"ok but no json", (), False),
        (b"", (), False),
    ],
)
def test_results_of_any_shape_are_looked_into(payload, path, found):
    assert holds(PathTerm("result", path, ("ok",)), payload) is found


plain = st.text(max_size=8) | st.integers(-99, 99) | st.booleans()
trees = st.recursive(
    plain, lambda t: st.lists(t, max_size=3) | st.dictionaries(st.text(), t), max_leaves=6
)


@settings(deadline=None)
@given(st.lists(trees, max_size=3), st.text(max_size=6))
def test_any_text_of_any_call_is_answered(args, text):
    call = msgspec.json.encode({"args": args, "kwargs": {}})
    document = document_of(call)
    assert needle_of("*" + text).is_in(document) or not needle_of(text).is_in(document)


@settings(deadline=None)
@given(st.lists(st.text(max_size=8), min_size=1, max_size=3), st.data())
def test_every_value_that_is_there_is_found_and_its_raw_part_is_in_the_json(args, data):
    value = data.draw(st.sampled_from(args))
    call = msgspec.json.encode({"args": args, "kwargs": {}})
    assert holds(PathTerm("args", (), (value,)), call)
    part = raw_part((value,))
    assert part is None or part.encode() in call

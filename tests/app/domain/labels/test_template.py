# SPDX-License-Identifier: AGPL-3.0-only
"""Templates of labels: what they yield, what they refuse and where, and that they round-trip."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queuedeck.domain.labels.place import RuleInvalid
from queuedeck.domain.labels.template import (
    MAX_CHARS,
    MAX_LABEL_CHARS,
    MAX_PLACES,
    MAX_SLOTS,
    MAX_STEPS,
    Place,
    Slot,
    fill,
    parse,
    to_text,
)

CALL = {
    "args": [{"type": "invoice", "id": 42, "lines": [{"sku": "A-1"}]}, 7, None, ""],
    "kwargs": {"job": "import_users", "dry": False, "note": "two\n lines\tof  it", "none": None},
}
YIELDS = {
    "{kwargs.job}": "import_users",
    "{args.job}": "import_users",
    "{args.0.type}: {args.0.id}": "invoice: 42",
    "{args.0.lines.0.sku}": "A-1",
    "{args.1}": "7",
    "{kwargs.dry}": "false",
    "{kwargs.note}": "two lines of it",
    "{kwargs.none|args.1}": "7",
    "{args.2|args.3|kwargs.job}": "import_users",
    "{{{args.1}}}": "{7}",
    "  {args.1}  !": "7 !",
    "{args.9}": "",
    "{kwargs.0}": "",
    "{args.0}": "",
    "{kwargs.none}": "",
    "{args.3}": "",
    "job {kwargs.job} {kwargs.gone}": "",
}


@pytest.mark.parametrize(("text", "label"), YIELDS.items(), ids=YIELDS)
def test_template_yields(text, label):
    assert fill(parse(text), CALL) == label


WRONG = {
    "": ("Nothing in it comes from the task", 0, 0),
    "import": ("Nothing in it comes from the task", 0, 6),
    "a {kwargs.job": ("This brace is never closed", 2, 11),
    "a } b": ("This brace closes nothing", 2, 1),
    "{}": ("A place is missing", 1, 0),
    "{job}": ("'job' is no place", 1, 3),
    "x {args}": ("A step of this place is missing", 3, 4),
    "{args.0.}": ("A step of this place is missing", 1, 7),
    "{args.0|}": ("A place is missing", 8, 0),
    "{args.0|job}": ("'job' is no place", 8, 3),
    "{args.*.id}": ("A star stands for many values", 6, 1),
    "{args.a b}": ("A space stands in this place", 1, 8),
    "{ args.0}": ("' args.0' is no place", 1, 7),
    "x" * (MAX_CHARS + 3): ("This is too long", MAX_CHARS, 3),
    "{args.1}" * (MAX_SLOTS + 1): ("It has 9 places", 0, 8 * (MAX_SLOTS + 1)),
    "{args" + ".a" * (MAX_STEPS + 1) + "}": ("This has 9 steps", 1, 4 + 2 * (MAX_STEPS + 1)),
    "-{" + "|".join(["args.1"] * (MAX_PLACES + 1)) + "}": ("These are 7 places", 2, 48),
}


@pytest.mark.parametrize(("text", "wrong"), WRONG.items(), ids=[text[:20] for text in WRONG])
def test_mistake_is_told_with_its_place(text, wrong):
    with pytest.raises(RuleInvalid) as caught:
        parse(text)
    error = caught.value
    assert (error.field, error.problem, error.offset, error.length) == ("template", *wrong)


steps = st.text(
    st.characters(exclude_categories=["Z", "C"], exclude_characters=".|{}*"), min_size=1
)
places = st.builds(
    Place, st.sampled_from(["args", "kwargs"]), st.lists(steps, min_size=1, max_size=4).map(tuple)
)
slots = st.builds(Slot, st.lists(places, min_size=1, max_size=3).map(tuple))
texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=10)


@st.composite
def templates(draw):
    pieces = []
    for slot in draw(st.lists(slots, min_size=1, max_size=3)):
        pieces += [draw(texts)] if draw(st.booleans()) else []
        pieces.append(slot)
    pieces += [draw(texts)] if draw(st.booleans()) else []
    return tuple(pieces)


@settings(deadline=None)
@given(templates())
def test_template_reads_back_as_it_was_written(template):
    text = to_text(template)
    if len(text) <= MAX_CHARS:
        assert parse(text) == template


@settings(deadline=None)
@given(st.text(st.sampled_from("{}|.*a0 rgskw") | st.characters(), max_size=40))
def test_any_text_is_a_template_or_a_mistake_with_a_place(text):
    try:
        template = parse(text)
    except RuleInvalid as error:
        assert 0 <= error.offset <= error.offset + error.length <= max(len(text), error.offset)
    else:
        assert parse(to_text(template)) == template


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@settings(deadline=None)
@given(
    st.fixed_dictionaries({"args": st.lists(json), "kwargs": st.dictionaries(steps, json)}) | json
)
def test_label_is_one_short_line_that_can_be_printed(call):
    label = fill(parse("a {args.0|kwargs.a} b"), msgspec.json.decode(msgspec.json.encode(call)))
    assert len(label) <= MAX_LABEL_CHARS
    assert label.isprintable()
    assert label == " ".join(label.split())


def test_hidden_and_cut_values():
    """What the agent hid is no value; of what it cut, the beginning is."""
    call = {
        "args": [{"~redacted": "password"}, {"~truncated": 900, "head": "SELECT 1"}],
        "kwargs": {},
    }
    assert fill(parse("{args.0}"), call) == ""
    assert fill(parse("{args.0|args.1}"), call) == "SELECT 1…"


def test_long_values_and_labels_are_cut():
    call = {"args": ["x" * 500, "y" * 500], "kwargs": {}}
    label = fill(parse("{args.0} {args.1}"), call)
    assert (len(label), label[:79], label[-1]) == (MAX_LABEL_CHARS, "x" * 79, "…")

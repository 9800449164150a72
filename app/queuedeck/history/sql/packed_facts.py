# SPDX-License-Identifier: AGPL-3.0-only
"""The facts of a task in one small column: msgpack `[base, [key, after, ...], ...]`.

`base` is the time of the first fact and `after` that of each since then; the other fields come in
an order that puts the usual ones first, and end where the rest has its default. That is two thirds
of what the structs take as they are, and facts are most of a task's row.
"""

from collections.abc import Callable
from operator import attrgetter, itemgetter
from typing import Any

import msgspec

from queuedeck.history.facts import (
    AnyFact,
    Cancelled,
    Checked,
    Fact,
    Failed,
    Lost,
    Published,
    Received,
    Retrying,
    Started,
    Succeeded,
)
from queuedeck.history.states import KIND_BITS, Facts

_encode = msgspec.msgpack.Encoder().encode
_decode: Callable[[bytes], list[Any]] = msgspec.msgpack.Decoder(list[Any]).decode
_KIND_MASK = (1 << KIND_BITS) - 1

_HEAD = ("at_us", "attempt")
_ORDERS: dict[type[AnyFact], str] = {
    Published: "name queue held root origin routing_key | priority exchange parent eta_us group"
    " chord schedule expires_us worker route user",
    Received: "name worker queue | eta_us held",
    Started: "published_us name worker queue pid root | held parent release group eta_us"
    " redelivered again_us",
    Retrying: "name worker exception message held run_us next_us | queue",
    Lost: "name worker message | held queue",
    Cancelled: "name worker reason | held queue",
    Failed: "name worker exception message held run_us reason | queue",
    Succeeded: "name worker run_us result | held queue",
    Checked: "verdict about_us worker text | name queue held",
}
"""On disk: only append, fields with defaults. Behind the bar is what few facts have."""


class _Shape:
    """How facts of one kind are taken apart and put together."""

    def __init__(self, kind: type[AnyFact], order: str) -> None:
        usual, _, rare = (part.split() for part in order.partition("|"))
        names = [*usual, *rare]
        own = [name for name in kind.__struct_fields__ if name not in _HEAD]
        fields = {field.name: field.default for field in msgspec.structs.fields(kind)}
        self.kind = kind
        self.values: Callable[[Fact], tuple[Any, ...]] = attrgetter(*names)
        self.defaults = tuple(_MISSING.get(name, fields[name]) for name in names)
        self.usual = len(usual)
        self.no_rare = self.defaults[self.usual :]
        self.in_order = itemgetter(*(_BEFORE + names.index(name) for name in own))
        """From a row, with the defaults of what it leaves out."""


_MISSING: dict[str, object] = {"name": 0, "published_us": None}
_BEFORE = 2
"""In a row, key and time come before the values."""
_SHAPES = {kind.kind_no: _Shape(kind, order) for kind, order in _ORDERS.items()}


def pack_facts(facts: Facts) -> bytes:
    base = min([fact.at_us for fact in facts.values()])
    return _encode([base, *[_pack(fact, base) for fact in facts.values()]])


def unpack_facts(data: bytes) -> Facts:
    base, *rows = _decode(data)
    return {row[0]: _unpack(row, base) for row in rows}


def pack_fact(fact: AnyFact) -> bytes:
    return _encode([fact.at_us, _pack(fact, fact.at_us)])


def unpack_fact(data: bytes) -> AnyFact:
    base, row = _decode(data)
    return _unpack(row, base)


def _pack(fact: AnyFact, base: int) -> tuple[Any, ...]:
    shape = _SHAPES[fact.kind_no]
    values, defaults = shape.values(fact), shape.defaults
    if shape.kind is Started:
        stamp = values[0]
        values = (stamp - base if stamp else None, *values[1:])
    end = shape.usual if values[shape.usual :] == shape.no_rare else len(values)
    while end and values[end - 1] == defaults[end - 1]:
        end -= 1
    return (fact.attempt << KIND_BITS | fact.kind_no, fact.at_us - base, *values[:end])


def _unpack(row: list[Any], base: int) -> AnyFact:
    key, after = row[0], row[1]
    shape = _SHAPES[key & _KIND_MASK]
    row += shape.defaults[len(row) - _BEFORE :]
    if shape.kind is Started:
        row[_BEFORE] = 0 if row[_BEFORE] is None else row[_BEFORE] + base
    return shape.kind(base + after, key >> KIND_BITS, *shape.in_order(row))

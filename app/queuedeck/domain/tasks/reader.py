# SPDX-License-Identifier: AGPL-3.0-only
"""Splits the text of a filter into terms and values that know their place. Pure."""

from collections.abc import Iterable

import msgspec

from queuedeck.errors import Invalid

_QUOTE, _ESCAPE = '"', "\\"


class FilterInvalid(Invalid):
    """The filter is not valid."""

    code = "invalid_filter"
    status = 400

    def __init__(self, problem: str, offset: int, length: int = 0, expected: str = "") -> None:
        wanted = f" Expected {expected}." if expected else ""
        super().__init__(f"{problem}.{wanted} (At character {offset + 1}.)")
        self.problem = problem
        self.offset = offset
        """Index into the text, from 0."""
        self.length = length
        """How many characters are wrong; 0 where something is missing."""
        self.expected = expected

    @property
    def details(self) -> dict[str, object]:
        place = {"offset": self.offset, "length": self.length}
        return {"place": place, "expected": self.expected}


class Value(msgspec.Struct, frozen=True):
    text: str
    offset: int
    length: int
    """In the filter as typed: quotes and escapes count."""
    is_quoted: bool = False

    def wrong(self, problem: str, expected: str = "") -> FilterInvalid:
        return FilterInvalid(problem, self.offset, self.length, expected)


class Term(msgspec.Struct, frozen=True):
    """One term as read, before its words are checked."""

    key: Value | None
    """None for free text."""
    values: list[Value]
    is_negated: bool = False


class Reader:
    """Reads the terms of one text, from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def terms(self) -> Iterable[Term]:
        while self._skip_spaces():
            yield self._term()

    def _skip_spaces(self) -> bool:
        while self._peek().isspace():
            self._at += 1
        return self._at < len(self._text)

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _term(self) -> Term:
        start = self._at
        is_negated = self._peek() == "-"
        self._at += is_negated
        word = self._word(":")
        if word.is_quoted or self._peek() != ":":
            self._expect_end()
            if is_negated and not word.length:
                raise FilterInvalid(
                    "Nothing stands behind the minus", start, 1, "what to leave out, as in -mail"
                )
            return Term(None, [word], is_negated)
        if not word.text:
            raise FilterInvalid(
                "Nothing stands before the colon", self._at, 1, 'a key, or quotes as in ":x"'
            )
        self._at += 1
        values = [self._word(",")]
        while self._peek() == ",":
            self._at += 1
            values.append(self._word(","))
        self._expect_end()
        return Term(word, values, is_negated)

    def _word(self, end: str) -> Value:
        """A quoted word, or one that ends before `end` or a space."""
        if self._peek() == _QUOTE:
            return self._quoted()
        start = self._at
        while (char := self._peek()) and char != end and not char.isspace():
            if char == _QUOTE:
                raise FilterInvalid(
                    "A quote stands inside a word", self._at, 1, 'quotes around all of it, or \\"'
                )
            self._at += 1
        return Value(self._text[start : self._at], start, self._at - start)

    def _quoted(self) -> Value:
        start, word = self._at, ""
        self._at += 1
        while (char := self._peek()) != _QUOTE:
            if char == _ESCAPE:
                self._at += 1
                char = self._peek()
            if not char:
                length = len(self._text) - start
                raise FilterInvalid("This quote is never closed", start, length, 'a second "')
            word += char
            self._at += 1
        self._at += 1
        return Value(word, start, self._at - start, is_quoted=True)

    def _expect_end(self) -> None:
        if (char := self._peek()) and not char.isspace():
            raise FilterInvalid(
                "The closing quote runs into what follows", self._at, 1, "a space or a comma"
            )


def quoted(value: str, special: str = ',:"\\') -> str:
    """The value as it is where that is read back the same, else in quotes."""
    if value and value[0] not in "-<>" and not any(c.isspace() or c in special for c in value):
        return value
    escaped = value.replace(_ESCAPE, _ESCAPE * 2).replace(_QUOTE, _ESCAPE + _QUOTE)
    return f'"{escaped}"'

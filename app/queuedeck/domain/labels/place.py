# SPDX-License-Identifier: AGPL-3.0-only
"""What is wrong with a rule, and where in which of its fields."""

from queuedeck.errors import Invalid


class RuleInvalid(Invalid):
    """The rule is not valid."""

    code = "invalid_rule"

    def __init__(
        self, field: str, problem: str, offset: int = 0, length: int = 0, expected: str = ""
    ) -> None:
        wanted = f" Expected {expected}." if expected else ""
        super().__init__(f"{field}: {problem}.{wanted} (At character {offset + 1}.)")
        self.field = field
        """`pattern`, `template`, `title`, `test`, `path` or `value`."""
        self.problem = problem
        self.offset = offset
        """Index into the field, from 0."""
        self.length = length
        """How many characters are wrong; 0 where something is missing."""
        self.expected = expected

    @property
    def details(self) -> dict[str, object]:
        place = {"offset": self.offset, "length": self.length}
        return {"place": place, "expected": self.expected}


def check_length(field: str, text: str, most: int) -> None:
    """Raises `RuleInvalid` for a text with more characters."""
    if len(text) > most:
        raise RuleInvalid(
            field, "This is too long", most, len(text) - most, f"{most} characters at most"
        )

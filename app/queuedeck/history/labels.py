# SPDX-License-Identifier: AGPL-3.0-only
"""What a project's rules say of a task, as the writer asks them. The rules are in `domain/labels`.

Labels are kept as text and not as words of the dictionary: they often hold an id, and words are
kept for ever, where a day goes with all that is in it.
"""

from typing import Protocol

MAX_CHARS = 120
"""Of a label; a longer one is cut."""


class Labels(Protocol):
    """The rules of one project as they are at one moment. Used on the writer's thread."""

    def label(self, name: str, args: bytes) -> str:
        """The second name of a task that was called with these redacted arguments, or empty."""
        ...

    def mark(self, name: str, result: bytes) -> str:
        """The title of the rule that marks a task with this redacted result, or empty."""
        ...

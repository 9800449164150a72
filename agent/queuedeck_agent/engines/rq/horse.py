# SPDX-License-Identifier: Apache-2.0
"""What the parent of a work horse cannot know from its exit code alone.

A horse leaves by `os._exit(0)` when it is done. A job that does the same looks just like it, and
RQ asks no further: such a job stays started until somebody gives it up, minutes later.
"""

import mmap

_RUNS = 1
_TOLD = 2


class Horse:
    """A byte in a page that a worker shares with the horses that it forks."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, mmap.PAGESIZE)

    def forks(self) -> None:
        """In the parent, right before: the horse has nothing to do but its job."""
        self._page[0] = _RUNS

    def told(self) -> None:
        """In the horse, or in the parent of one that died: how it ended was told."""
        self._page[0] = _TOLD

    def left_without_a_word(self) -> bool:
        """In the parent, once it is gone."""
        return self._page[0] == _RUNS

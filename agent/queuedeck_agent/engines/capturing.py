# SPDX-License-Identifier: Apache-2.0
"""Capturing the arguments of a task that begins, where whatever goes wrong costs the arguments and
not the start."""

from collections.abc import Callable
from typing import ParamSpec

from queuedeck_agent.guard import is_hosts, note

P = ParamSpec("P")
_SITE = f"{__name__}.captured"


def captured(
    take: Callable[P, tuple[bytes, bytes]], *args: P.args, **kwargs: P.kwargs
) -> tuple[bytes, bytes, BaseException | None]:
    """(shown, sealed, what the host raised meanwhile). A time limit that fires in here is to be
    raised again once the start is told; a mistake of ours is noted."""
    try:
        shown, sealed = take(*args, **kwargs)
    except BaseException as error:  # noqa: BLE001 - the caller raises it again
        if isinstance(error, Exception) and not is_hosts(error):
            note(_SITE, error)
            return b"", b"", None
        return b"", b"", error
    return shown, sealed, None

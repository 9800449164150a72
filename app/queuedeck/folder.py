# SPDX-License-Identifier: AGPL-3.0-only
"""The data folder: made private at first start, and held by one server at a time.

The lock belongs to the process that writes the data, so it is gone exactly when that process is.
"""

import fcntl
import json
import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from queuedeck.errors import Conflict, Unavailable

LOCK_NAME = "server.lock"
ADDRESS_NAME = "server.json"
KEY_NAME = "secret.key"


def prepare(folder: Path) -> None:
    """Make the folder with mode 0700. Raises `Unavailable` when it cannot be used."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        writable = os.access(folder, os.R_OK | os.W_OK | os.X_OK)
    except OSError as error:
        raise Unavailable(
            f"The data folder {folder} cannot be made ({error.strerror}). "
            "Name another one with QUEUEDECK_DATA."
        ) from error
    if not writable:
        raise Unavailable(
            f"The data folder {folder} is not writable for this user. "
            "Change its owner, or name another one with QUEUEDECK_DATA."
        )


@contextmanager
def hold(folder: Path) -> Generator[None]:
    """Keep other servers away from the folder. Raises `Conflict` that says who holds it."""
    descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict(_who_holds(folder, descriptor)) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def write_address(folder: Path, url: str) -> None:
    """Tell the command line and the demo where the running server listens."""
    text = json.dumps({"url": url, "pid": os.getpid()}) + "\n"
    fresh = folder / (ADDRESS_NAME + ".new")
    fresh.write_text(text)
    fresh.replace(folder / ADDRESS_NAME)


def remove_address(folder: Path) -> None:
    with suppress(FileNotFoundError):
        (folder / ADDRESS_NAME).unlink()


def _who_holds(folder: Path, descriptor: int) -> str:
    pid = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
    at = ""
    with suppress(OSError, ValueError):
        address = json.loads((folder / ADDRESS_NAME).read_text())
        if str(address["pid"]) == pid:
            at = f" at {address['url']}"
    return (
        f"The data folder {folder} is in use by another Queuedeck server{at} "
        f"(process {pid or 'unknown'}). Stop that one, or give this one a folder of its own "
        "with QUEUEDECK_DATA."
    )

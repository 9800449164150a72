# SPDX-License-Identifier: AGPL-3.0-only
"""The server with one pragma less: commits are not waited for until they are on the disk. A power
cut must lose something of it, else the test could not see a loss.
"""

from queuedeck.cli import main
from queuedeck.history.sqlite import store

open_durable = store.open_writer


def open_lax(path):
    db = open_durable(path)
    db.execute("PRAGMA synchronous = NORMAL")
    return db


if __name__ == "__main__":
    store.open_writer = open_lax
    main()

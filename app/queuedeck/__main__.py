# SPDX-License-Identifier: AGPL-3.0-only
"""`python -m queuedeck` is the `queuedeck` command."""

from queuedeck.cli import main

main()

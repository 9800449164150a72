# SPDX-License-Identifier: AGPL-3.0-only
"""`queuedeck demo`: the whole product on one machine, in one command, with tasks of a small shop.

The command line calls `queuedeck.demo.session.run`.
"""

# SPDX-License-Identifier: AGPL-3.0-only
"""Queuedeck: the server."""

__version__ = "0.1.0"

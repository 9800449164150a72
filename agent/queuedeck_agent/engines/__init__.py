# SPDX-License-Identifier: Apache-2.0
"""Adapters: one engine each, found by the entry point group `queuedeck_agent.engines`."""

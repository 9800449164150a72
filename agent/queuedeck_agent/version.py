# SPDX-License-Identifier: Apache-2.0
"""The version of the agent, as its package says."""

from importlib import metadata

VERSION = metadata.version("queuedeck-agent")

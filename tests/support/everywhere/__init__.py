# SPDX-License-Identifier: AGPL-3.0-only
"""One task in an application of each engine. None knows anything of Queuedeck."""

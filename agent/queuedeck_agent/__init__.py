# SPDX-License-Identifier: Apache-2.0
"""The Queuedeck agent. Importing this package does nothing; see `autoload` and `attach`."""

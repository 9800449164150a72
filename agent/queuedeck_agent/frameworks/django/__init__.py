# SPDX-License-Identifier: Apache-2.0
"""The Django app: put `queuedeck_agent.frameworks.django` into INSTALLED_APPS."""

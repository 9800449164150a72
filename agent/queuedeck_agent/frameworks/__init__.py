# SPDX-License-Identifier: Apache-2.0
"""Integrations of web frameworks. Each module imports its framework, nothing else imports them."""

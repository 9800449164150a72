# SPDX-License-Identifier: AGPL-3.0-only
"""The application of the demo: a small shop whose parts run on different engines.

Each part is a module of its own that workers find by its own name, as `orders`, not as a part of
this package: this folder is on their path, and tasks are called `orders.capture_payment`. Nothing
here knows the agent: it is attached from outside.
"""

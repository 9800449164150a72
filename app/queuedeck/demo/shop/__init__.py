# SPDX-License-Identifier: AGPL-3.0-only
"""The application of the demo: a small shop whose parts run on different engines.

Each part is a module of its own that workers find by its own name, as `orders`, not as a part of
this package: a copy of this folder is on their path, tasks are called `orders.capture_payment`, and
tracebacks are those of an application. Nothing here knows the agent: it is attached from outside.
"""

# SPDX-License-Identifier: AGPL-3.0-only
"""The history in SQL, for every database: what differs is in `sqlite/` and `postgres/`."""

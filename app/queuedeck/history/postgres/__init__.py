# SPDX-License-Identifier: AGPL-3.0-only
"""What Postgres does differently from the other databases of the history."""

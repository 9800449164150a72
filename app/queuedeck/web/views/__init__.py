# SPDX-License-Identifier: AGPL-3.0-only
"""What templates get: one frozen struct per page, with values ready to print."""

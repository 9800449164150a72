# SPDX-License-Identifier: Apache-2.0
"""Everything about Huey: `boot.py` attaches, `adapter.py` joins the parts."""

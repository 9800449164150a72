# SPDX-License-Identifier: Apache-2.0
"""Everything about RQ: `boot.py` attaches, `adapter.py` joins the parts."""

# SPDX-License-Identifier: Apache-2.0
"""Everything about Dramatiq: `boot.py` attaches, `adapter.py` joins the parts."""

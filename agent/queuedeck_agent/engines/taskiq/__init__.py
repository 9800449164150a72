# SPDX-License-Identifier: Apache-2.0
"""Everything about taskiq: `boot.py` attaches, `adapter.py` joins the parts."""

# SPDX-License-Identifier: Apache-2.0
"""Everything about Celery: `boot.py` attaches, `adapter.py` joins the parts."""

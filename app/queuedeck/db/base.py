# SPDX-License-Identifier: AGPL-3.0-only
"""What every model of control.db builds on. The models themselves live with their subject."""

from advanced_alchemy.base import DefaultBase


class Base(DefaultBase):
    """Advanced-Alchemy's base: names of constraints by convention, one registry."""

    __abstract__ = True

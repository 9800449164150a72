# SPDX-License-Identifier: AGPL-3.0-only
"""What every model of the control store builds on. The models live with their subject."""

from advanced_alchemy.base import DefaultBase

from queuedeck.db.types import PlainText


class Base(DefaultBase):
    """Advanced-Alchemy's base: names of constraints by convention, one registry."""

    __abstract__ = True


Base.registry.update_type_annotation_map({str: PlainText})

# SPDX-License-Identifier: AGPL-3.0-only
def ship(order, *, password):
    return f"shipped {order}"

# SPDX-License-Identifier: AGPL-3.0-only
"""The standard payload of every benchmark: 3 positional and 4 keyword arguments, nine strings of
which one is a secret, a nested order with four items; about 330 bytes as JSON."""

from typing import Any

ARGS: list[Any] = ["ord_7f3a91c2", 4211, "priority-eu"]

SECRET = "sk_live_51HxQ2eZvKYlo2C0aBcD9"
"""A key that the value rules know as well; it is hidden by its name already."""

KWARGS: dict[str, Any] = {
    "customer": "anna.lindqvist@example.com",
    "api_token": SECRET,
    "order": {
        "currency": "EUR",
        "items": [
            {"sku": "SKU-1001-RED", "qty": 2, "price": 19.95},
            {"sku": "SKU-2040-BLU", "qty": 1, "price": 149.0},
            {"sku": "SKU-3307-GRN", "qty": 5, "price": 4.25},
            {"sku": "SKU-9000-BLK", "qty": 1, "price": 899.0},
        ],
    },
    "notify": True,
}

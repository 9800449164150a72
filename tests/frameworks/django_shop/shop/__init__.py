# SPDX-License-Identifier: AGPL-3.0-only
from shop.celery import app as celery_app

__all__ = ["celery_app"]

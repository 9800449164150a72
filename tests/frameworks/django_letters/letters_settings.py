# SPDX-License-Identifier: AGPL-3.0-only
"""A project on Huey. The middleware is last, and the user comes from a function."""

import os

SECRET_KEY = "tests only"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "letters.urls"
USE_TZ = True
INSTALLED_APPS = ["huey.contrib.djhuey", "letters", "queuedeck_agent.frameworks.django"]
MIDDLEWARE = ["queuedeck_agent.frameworks.django.middleware.RequestContext"]
HUEY = {
    "huey_class": "huey.RedisHuey",
    "name": "letters",
    "immediate": False,
    "connection": {"url": os.environ["SHOP_BROKER"]},
    "consumer": {"workers": 1, "worker_type": "thread"},
}
QUEUEDECK = {
    "DSN": os.environ["SHOP_DSN"],
    "SPOOL": os.environ["SHOP_SPOOL"],
    "USER": "letters.views.user_of",
}

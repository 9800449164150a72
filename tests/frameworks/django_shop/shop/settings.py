# SPDX-License-Identifier: AGPL-3.0-only
"""A small shop. Queuedeck is configured here alone, for web processes and workers."""

import os

SECRET_KEY = "tests only"
DEBUG = True  # the server of the tests is `runserver`
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "shop.urls"
WSGI_APPLICATION = "shop.wsgi.application"
ASGI_APPLICATION = "shop.asgi.application"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["SHOP_DATABASE"]}
}
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "queuedeck_agent.frameworks.django",
]
MIDDLEWARE = [
    "queuedeck_agent.frameworks.django.middleware.RequestContext",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "shop.people.named_by_header",
]
AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.RemoteUserBackend"]
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "loggers": {"queuedeck_agent": {"handlers": ["console"]}},
}
CELERY_BROKER_URL = os.environ["SHOP_BROKER"]
CELERY_TASK_DEFAULT_QUEUE = "django-shop"
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True

QUEUEDECK = {
    "DSN": os.environ.get("SHOP_DSN"),
    "SPOOL": os.environ.get("SHOP_SPOOL"),
    "RELEASE": "shop-1.2",
    "REDACT": ["voucher"],
    "USER": True,
}

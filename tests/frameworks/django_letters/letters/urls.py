# SPDX-License-Identifier: AGPL-3.0-only
from django.urls import re_path

from letters import views

urlpatterns = [re_path(r"^letters/(?P<letter_id>[0-9]+)$", views.letter)]

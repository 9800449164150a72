# SPDX-License-Identifier: AGPL-3.0-only
from django.urls import include, path, re_path

from shop import views

orders = [
    path("<int:order_id>/ship/", views.order),
    path("<int:order_id>/committed/", views.committed),
    path("<int:order_id>/later/", views.later),
]
urlpatterns = [
    path("orders/", include(orders)),
    re_path(r"^orders$", views.orders),
]

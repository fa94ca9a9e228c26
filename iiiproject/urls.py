"""The URLs of the console; the engine's own ports do not go through Django."""

from __future__ import annotations

from django.contrib import admin
from django.urls import URLPattern, URLResolver, path

from console.first_admin import first_admin

urlpatterns: list[URLPattern | URLResolver] = [
    path("first-admin/<str:token>/", first_admin, name="first-admin"),
    path("", admin.site.urls),
]

handler400 = "console.notices.bad_request"
handler403 = "console.notices.permission_denied"
handler404 = "console.notices.page_not_found"
handler500 = "console.notices.server_error"

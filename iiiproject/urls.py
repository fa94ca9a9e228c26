"""The URLs of the console; the engine's own ports do not go through Django."""

from __future__ import annotations

from django.contrib import admin
from django.urls import URLPattern, URLResolver, path

urlpatterns: list[URLPattern | URLResolver] = [path("", admin.site.urls)]

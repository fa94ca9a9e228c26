"""The Django apps of the console: its own, and the admin with the console's site."""

from __future__ import annotations

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class ConsoleConfig(AppConfig):
    """The console: the Django admin of the engine."""

    name = "console"
    verbose_name = "Console"


class ConsoleAdminConfig(AdminConfig):
    """`django.contrib.admin` with the console's site for `admin.site`."""

    default_site = "console.site.ConsoleSite"

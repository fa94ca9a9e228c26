"""The Django apps of the console: its own, and the admin with the console's site."""

from __future__ import annotations

from django.apps import AppConfig, apps
from django.contrib import admin
from django.contrib.admin.apps import AdminConfig


class ConsoleConfig(AppConfig):
    """The console: the Django admin of the engine."""

    name = "console"
    verbose_name = "Console"


class ConsoleAdminConfig(AdminConfig):
    """`django.contrib.admin` with the console's site for `admin.site`."""

    default_site = "console.site.ConsoleSite"

    def ready(self) -> None:
        """Find the admins of all apps, and hide those that would do nothing."""
        super().ready()
        # The engine does not run schedules yet: whoever added one here would wait in vain.
        for model in apps.get_app_config("django_celery_beat").get_models():
            if admin.site.is_registered(model):
                admin.site.unregister(model)

"""Permissions for pages that show what has no table."""

from __future__ import annotations

from django.db import models


class LivePage(models.Model):
    """Carries the permissions of the live pages; it has no table and no rows.

    Django keeps permissions by model, and gives them to users and groups by it.
    """

    class Meta:
        managed = False
        default_permissions = ()
        permissions = (
            ("view_workers", "Can see connected workers"),
            ("view_functions", "Can see functions"),
            ("view_trigger_types", "Can see trigger types"),
            ("view_queues", "Can see queues and their figures"),
            ("publish_messages", "Can publish messages"),
            ("pause_queues", "Can pause and resume queues"),
            ("redrive_messages", "Can redrive dead letters"),
            ("discard_messages", "Can discard dead letters"),
        )

    def __str__(self) -> str:
        return "live pages"

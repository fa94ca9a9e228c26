"""Triggers as they were last seen."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class Trigger(models.Model):
    """A trigger as it was last seen: what it binds, who owned it, how far it has come.

    The engine writes these rows behind the live registry and never waits for them. A row whose
    owner is gone is detached; it comes back with its owner or is dropped after a while. Rows
    without an owner belong to nobody and are live again after a restart.
    """

    class State(models.TextChoices):
        """The states of `engine.core.triggers.TriggerState`."""

        PENDING = "pending", "waits for its type"
        OFFERED = "offered", "offered to its provider"
        ACTIVE = "active", "active"
        FAILED = "failed", "refused"

    identity = models.CharField(
        max_length=64, unique=True, help_text="SHA-256 of id, type and function"
    )
    trigger_id = models.TextField("id")
    trigger_type = models.TextField(help_text="as its owner spelled it")
    function_id = models.TextField()
    config = models.TextField(help_text="JSON text as it was sent")
    metadata = models.TextField(blank=True, help_text="JSON text; empty if there is none")
    namespace = models.TextField(blank=True, help_text="of the function; empty: its owner's")
    trigger_namespace = models.TextField(blank=True, help_text="of the type; empty: its owner's")
    state = models.CharField(max_length=8, choices=State)
    error = models.TextField(blank=True, help_text="the reason of a refusal, JSON text")
    is_owned = models.BooleanField(help_text="a worker's, as opposed to nobody's")
    owner_id = models.TextField(blank=True, help_text="id of the connection that registered it")
    owner_name = models.TextField(blank=True)
    registered_at = models.DateTimeField()
    detached_at = models.DateTimeField(
        null=True, blank=True, help_text="when its owner went; empty while it is live"
    )

    class Meta:
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["detached_at"], name="trigger_detached"),
        ]

    def __str__(self) -> str:
        return f"{self.trigger_type} → {self.function_id}"

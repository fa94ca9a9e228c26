"""State and KV entries as tables: values are the JSON text that was sent."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from engine.fields import PositionField


class Entry(models.Model):
    """What an entry of any store has beside its key; see `kv.entries.Entry`.

    Rows are written by the store executor alone (`kv.stores.executor`).
    """

    position = PositionField(
        primary_key=True, help_text="order of insertion, kept when the entry changes"
    )
    value = models.TextField(help_text="JSON text as it was sent")
    version = models.BigIntegerField(help_text="never used twice within a store")
    expires_at = models.BigIntegerField(
        null=True, blank=True, help_text="Unix milliseconds; empty: never"
    )

    class Meta:
        abstract = True


class StateEntry(Entry):
    """A value of the state module, by scope and key."""

    scope = models.TextField()
    key = models.TextField()

    class Meta:
        verbose_name = "state entry"
        verbose_name_plural = "state"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["scope", "key"], name="state_scope_key"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(
                fields=["expires_at"],
                name="state_expires_at",
                condition=models.Q(expires_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.scope} / {self.key}"


class KvEntry(Entry):
    """A value of the KV server, by index and key."""

    index = models.TextField()
    key = models.TextField()

    class Meta:
        verbose_name = "KV entry"
        verbose_name_plural = "KV"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["index", "key"], name="kv_index_key"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(
                fields=["expires_at"],
                name="kv_expires_at",
                condition=models.Q(expires_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.index} / {self.key}"


class VersionCounter(models.Model):
    """From which version on a store may number its entries: those below are used or lost."""

    store = models.TextField(primary_key=True)
    next_version = models.BigIntegerField()

    class Meta:
        verbose_name = "version counter"

    def __str__(self) -> str:
        return f"{self.store}: {self.next_version}"

"""Stream items as a table."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from kv.models import Entry


class StreamItem(Entry):
    """A value of a stream, by stream, group and item id."""

    stream_name = models.TextField()
    group_id = models.TextField()
    item_id = models.TextField()

    class Meta:
        verbose_name = "stream item"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["stream_name", "group_id", "item_id"], name="stream_group_item"
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(
                fields=["expires_at"],
                name="stream_expires_at",
                condition=models.Q(expires_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.stream_name} / {self.group_id} / {self.item_id}"

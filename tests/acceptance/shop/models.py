"""What the project itself keeps."""

from __future__ import annotations

from django.db import models


class Order(models.Model):
    """An order, to be told of by a message."""

    number = models.IntegerField()

    def __str__(self) -> str:
        return str(self.number)

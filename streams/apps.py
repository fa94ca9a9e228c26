"""The Django app `streams`."""

from __future__ import annotations

from django.apps import AppConfig


class StreamsConfig(AppConfig):
    """Streams: items by stream, group and item id, followed live."""

    name = "streams"
    verbose_name = "Streams"

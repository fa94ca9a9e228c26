"""The Django app `kv`."""

from __future__ import annotations

from django.apps import AppConfig


class KvConfig(AppConfig):
    """State and KV: values by scope or index and key."""

    name = "kv"
    verbose_name = "State and KV"

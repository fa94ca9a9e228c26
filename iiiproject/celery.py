"""The Celery app: `celery -A iiiproject.celery worker` and `… beat`."""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "iiiproject.settings")

app = Celery("iiiproject")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

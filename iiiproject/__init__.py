"""The Django project: settings, ASGI application, Celery app and command line; wiring only."""

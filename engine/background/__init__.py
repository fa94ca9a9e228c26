"""What runs beside the event loop: Celery and the clock, in the engine or as processes."""

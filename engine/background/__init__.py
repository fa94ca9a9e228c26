"""What executes beside the event loop: Celery, in threads of the engine or in its own processes."""

"""A Django project as users have one: its own settings, model and process."""

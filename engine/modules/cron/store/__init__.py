"""Schedules and ticks as rows."""

"""Cron: functions that are called at the times a schedule names."""

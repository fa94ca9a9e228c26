"""The dialect of cron expressions: pure functions of text, time and zone."""

"""Durable queues: messages by topic or by named queue, delivered to functions with retries."""

"""Publish and subscribe: messages by topic to whoever listens now."""

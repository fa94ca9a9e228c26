"""Streams: items by stream, group and item id, followed live."""

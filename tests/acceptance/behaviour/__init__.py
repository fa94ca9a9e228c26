"""What the engine does on every server, driven frame by frame and request by request."""

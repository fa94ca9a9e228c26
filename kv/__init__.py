"""State and KV: values by scope or index and key."""

"""Pages for what has no table: they show what the running engine says, and refresh themselves."""

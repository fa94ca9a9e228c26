"""The benchmark: what one engine process does per second, beside a bare router of the same run."""

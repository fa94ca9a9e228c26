"""The developer tools module of early engines: accepted in configs, does nothing."""

"""A running engine and real workers, written with the published SDKs, over real sockets."""

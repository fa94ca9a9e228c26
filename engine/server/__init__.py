"""Listeners, sockets and servers: how bytes of the network reach the ASGI application."""

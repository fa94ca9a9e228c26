"""Kombu's Redis transport, for consumers that outlive their Redis.

Where a connection is lost while messages are in flight, Kombu's own raises an AttributeError for
the connection that is gone: when it gives them back, and when a task that ran meanwhile
acknowledges its own. Celery takes neither for a lost connection, and its worker ends. (Kombu 5.7)
"""

from __future__ import annotations

from typing import Any

from kombu.transport import redis


class QoS(redis.QoS):
    """What is in flight on a channel; without a connection it is forgotten.

    Redis gives such messages to somebody else after the visibility timeout; tasks of the engine
    are sent again long before.
    """

    @property
    def _is_gone(self) -> bool:
        transport: Any = self.channel.connection  # the stubs take it for always there
        return transport is None or transport.client is None

    def restore_unacked(self, client: Any = None) -> Any:
        """Give all messages in flight back."""
        if self._is_gone:
            if self._delivered is not None:
                self._delivered.clear()
            return None
        return super().restore_unacked(client)

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a message."""
        if not self._is_gone:
            super().ack(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Give a message back, or drop it."""
        if not self._is_gone:
            super().reject(delivery_tag, requeue)


class Channel(redis.Channel):
    """A channel with that care for what is in flight."""

    QoS = QoS


class Transport(redis.Transport):
    """A transport of such channels."""

    Channel = Channel

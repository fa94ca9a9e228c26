"""A stream client without a package: it joins, and keeps the envelopes that come."""

from __future__ import annotations

import json
import threading
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.waiting import wait_until

Envelope = dict[str, Any]


class StreamFollower:
    """A connection to the stream port; a thread reads it.

    `envelopes` keeps everything that came, in its order.
    """

    def __init__(self, url: str) -> None:
        self.envelopes: list[Envelope] = []
        self._stack = ExitStack()
        self._connection = self._stack.enter_context(
            connect(url, max_size=None, ping_interval=None, open_timeout=15)
        )
        self._reader = threading.Thread(target=self._read, name="stream follower", daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()
        self._reader.join(10)

    def join(self, stream_name: str, group_id: str, item_id: str | None = None) -> Any:
        """Follow a group or an item, and return what it holds: the data of its `sync`."""
        known = len(self.envelopes)
        data = {"subscriptionId": "s", "streamName": stream_name, "groupId": group_id}
        if item_id is not None:
            data["id"] = item_id
        self._connection.send(json.dumps({"type": "join", "data": data}))
        wait_until(lambda: len(self.envelopes) > known, "the group is synchronised")
        event = self.envelopes[known]["event"]
        assert event["type"] == "sync", event
        return event["data"]

    def events(self) -> list[Any]:
        """Return the events that came, without those that synchronise."""
        events = [envelope["event"] for envelope in self.envelopes]
        return [event for event in events if event["type"] != "sync"]

    def _read(self) -> None:
        try:
            for message in self._connection:
                self.envelopes.append(json.loads(message))
        except ConnectionClosed:
            pass

"""Clients of streams over real sockets, on every server."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import pytest
import pytest_asyncio

from engine.apps import set_engine
from engine.core.engine import Engine
from engine.core.modules import AdapterChoice
from engine.modules.worker.module import WorkerModule
from iiiproject.asgi import STREAMS
from streams.adapters import StreamKvOptions, StreamKvStore
from streams.module import StreamModule
from tests.fakes import make_engine
from tests.integration.engine.server.applications import eventually
from tests.integration.engine.server.conftest import Serve
from tests.integration.engine.server.wire import BINARY, TEXT, Peer
from tests.store_engine import StoreWorker

pytestmark = pytest.mark.asyncio(loop_scope="session")

Connect: TypeAlias = Callable[..., Awaitable["Follower"]]

AT: dict[str, Any] = {"stream_name": "chat", "group_id": "g", "item_id": "m1"}


class Follower:
    """A client of streams."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer

    def say(self, kind: str, opcode: int = TEXT, **place: Any) -> None:
        """Send a message."""
        data = {"subscriptionId": "s", "streamName": "chat", "groupId": "g", **place}
        self.peer.send(json.dumps({"type": kind, "data": data}).encode(), opcode)

    async def read(self) -> dict[str, Any]:
        """Return the next envelope."""
        envelope: dict[str, Any] = json.loads(await self.peer.read_text())
        return envelope

    async def join(self, **place: Any) -> Any:
        """Follow a group or an item; return what it holds."""
        self.say("join", **place)
        event = (await self.read())["event"]
        assert event["type"] == "sync", event
        return event["data"]


@pytest.fixture
def stream_options() -> dict[str, Any]:
    return {}


@pytest_asyncio.fixture(loop_scope="session")
async def engine(stream_options: dict[str, Any]) -> AsyncIterator[Engine]:
    adapter = AdapterChoice(StreamKvStore, StreamKvOptions(store_method="in_memory"))
    running = make_engine(
        (WorkerModule, {}), (StreamModule, {"adapter": adapter, **stream_options})
    )
    await running.start()
    set_engine(running)
    yield running
    set_engine(None)
    await running.stop(grace_s=0)


@pytest_asyncio.fixture(loop_scope="session")
async def connect(engine: Engine, serve: Serve, name: str) -> Connect:
    server = await serve(STREAMS, name)

    async def connect(path: str = "/", headers: tuple[tuple[str, str], ...] = ()) -> Follower:
        return Follower(await server.connect(path, headers))

    return connect


@pytest.fixture
def worker(engine: Engine) -> StoreWorker:
    return StoreWorker(engine)


@pytest.mark.parametrize("path", ["/", "/stream/chat/g/", "/streams/any?x=1"])
async def test_a_client_follows_a_group_on_any_path(
    worker: StoreWorker, connect: Connect, path: str
) -> None:
    follower = await connect(path)
    assert await follower.join() == []
    await worker.result("stream::set", {**AT, "data": {"text": "Grüße"}})
    envelope = await follower.read()
    assert envelope["event"] == {"type": "create", "data": {"text": "Grüße"}}
    assert (envelope["type"], envelope["streamName"], envelope["groupId"], envelope["id"]) == (
        "stream",
        "chat",
        "g",
        "m1",
    )
    await worker.result("stream::delete", AT)
    assert (await follower.read())["event"] == {"type": "delete", "data": {"text": "Grüße"}}


async def test_a_message_may_come_as_binary_and_garbage_is_ignored(connect: Connect) -> None:
    follower = await connect()
    follower.peer.send(b"")
    follower.peer.send(b"garbage")
    follower.peer.send(b"\xff", BINARY)
    follower.say("join", BINARY, id="m1")
    assert (await follower.read())["event"] == {"type": "sync", "data": None}


async def test_what_is_sent_behind_the_handshake_at_once_is_heard(
    worker: StoreWorker, connect: Connect
) -> None:
    follower = await connect()
    for number in range(20):
        follower.say("join", subscriptionId=f"s{number}")
    for _ in range(20):
        assert (await follower.read())["event"]["type"] == "sync"
    await worker.result("stream::set", {**AT, "data": 1})
    numbers = [(await follower.read())["seq"] for _ in range(20)]
    assert len(set(numbers)) == 1


@pytest.mark.parametrize("offered", ["Authorization, secret", "authorization,secret"])
async def test_the_authorization_sub_protocol_is_selected(
    serve: Serve, name: str, engine: Engine, offered: str
) -> None:
    peer = await (await serve(STREAMS, name)).dial()
    answer = await peer.upgrade("/", [("Sec-WebSocket-Protocol", offered)])
    assert answer.status == 101
    assert answer.headers["sec-websocket-protocol"] == offered.partition(",")[0]


async def test_another_sub_protocol_is_not_selected(
    serve: Serve, name: str, engine: Engine
) -> None:
    peer = await (await serve(STREAMS, name)).dial()
    answer = await peer.upgrade("/", [("Sec-WebSocket-Protocol", "other")])
    assert "sec-websocket-protocol" not in answer.headers


async def test_the_end_of_a_connection_calls_the_leave_handler_for_each_subscription(
    worker: StoreWorker, connect: Connect
) -> None:
    worker.function("on::leave")
    worker.trigger("t", "streams:leave", "on::leave")
    follower = await connect()
    await follower.join(subscriptionId="a")
    await follower.join(subscriptionId="b", id="m1")
    follower.peer.abort()
    for expected in ("a", "b"):
        (invocation,) = await worker.events(1)
        assert invocation["data"]["subscription_id"] == expected
        worker.reply(invocation, None)


async def test_many_large_events_arrive_in_their_order(
    worker: StoreWorker, connect: Connect
) -> None:
    follower = await connect()
    await follower.join()
    for number in range(50):
        data = {"n": number, "text": "x" * 20_000}
        await worker.result("stream::set", {**AT, "data": data})
    assert [(await follower.read())["event"]["data"]["n"] for _ in range(50)] == list(range(50))


class TestWithAnAuthFunction:
    """The module's `auth_function` is configured."""

    @pytest.fixture
    def stream_options(self) -> dict[str, Any]:
        return {"auth_function": "auth::check"}

    async def test_it_is_asked_about_the_handshake_and_joins_wait_for_it(
        self, worker: StoreWorker, connect: Connect
    ) -> None:
        for function in ("auth::check", "on::join"):
            worker.function(function)
        worker.trigger("t", "stream:join", "on::join")
        follower = await connect(
            "/chat/?a=1&a=%32&b",
            (("Authorization", "Bearer x"), ("Sec-WebSocket-Protocol", "Authorization, token")),
        )
        follower.say("join")
        (asked,) = await worker.events(1)
        data = asked["data"]
        assert data["path"] == "/chat/"
        assert data["query_params"] == {"a": ["1", "%32"], "b": [""]}
        assert data["headers"]["authorization"] == "Bearer x"
        assert data["headers"]["sec-websocket-protocol"] == "Authorization, token"
        assert data["addr"].startswith("127.0.0.1:")
        worker.reply(asked, {"context": {"user": "ann"}})
        (joined,) = await worker.events(1)
        assert joined["data"]["context"] == {"user": "ann"}
        worker.reply(joined, {"unauthorized": True})
        assert (await follower.read())["event"] == {"type": "unauthorized"}

    async def test_who_goes_while_it_is_asked_leaves_nothing_behind(
        self, worker: StoreWorker, connect: Connect
    ) -> None:
        worker.function("auth::check")
        follower = await connect()
        follower.say("join")
        (asked,) = await worker.events(1)
        follower.peer.abort()
        worker.reply(asked, None)
        found = await worker.result("stream::subscribers", {})
        await eventually(lambda: found["count"] == 0, "nobody follows")

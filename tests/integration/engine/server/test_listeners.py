"""Binding ports before a server starts: addresses, free ports and clear errors."""

from __future__ import annotations

import errno
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from engine.core.errors import StartError
from engine.core.listeners import Listener
from engine.server import base
from engine.server.base import BoundListener, bind_listeners, create_server, raise_open_file_limit
from tests.integration.engine.server.applications import SocketApplication
from tests.integration.engine.server.conftest import Serve
from tests.integration.engine.server.wire import Peer

pytestmark = pytest.mark.asyncio(loop_scope="session")


def listener(port: int = 0, host: str | None = None, room: str = "http") -> Listener:
    return Listener(room, host, port, "http", "REST API")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def bind(stack: ExitStack, *listeners: Listener) -> list[BoundListener]:
    """Bind for the length of a test."""
    bound = bind_listeners(listeners)
    for each in bound:
        stack.callback(each.close)
    return bound


async def test_no_host_is_the_loopback_of_both_families(stack: ExitStack) -> None:
    (bound,) = bind(stack, listener())

    assert bound.addresses == ("127.0.0.1", "::1")
    assert bound.port > 0
    assert {each.getsockname()[1] for each in bound.sockets} == {bound.port}


async def test_sockets_do_not_delay_small_writes(stack: ExitStack) -> None:
    (bound,) = bind(stack, listener())

    assert all(each.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for each in bound.sockets)


async def test_a_free_port_is_free_on_both_families(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A port that is taken on ::1 alone is not taken: another one is tried."""
    (taken,) = bind(stack, listener(host="::1"))
    taken.sockets[0].listen()
    bind_one, offered = base._bind_one, iter([taken.port])

    def offer_taken_first(family: int, address: str, port: int) -> socket.socket:
        return bind_one(family, address, port or next(offered, 0))

    monkeypatch.setattr(base, "_bind_one", offer_taken_first)

    (bound,) = bind(stack, listener())

    assert bound.port != taken.port
    assert bound.addresses == ("127.0.0.1", "::1")


async def test_a_machine_without_ipv6_is_fine(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    bind_one = base._bind_one

    def without_ipv6(family: int, address: str, port: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return bind_one(family, address, port)

    monkeypatch.setattr(base, "_bind_one", without_ipv6)

    (bound,) = bind(stack, listener())

    assert bound.addresses == ("127.0.0.1",)


@pytest.mark.parametrize(
    ("host", "addresses"),
    [("127.0.0.1", {"127.0.0.1"}), ("0.0.0.0", {"0.0.0.0"}), ("::", {"::"})],
)
async def test_a_host_is_bound_as_it_is(stack: ExitStack, host: str, addresses: set[str]) -> None:
    (bound,) = bind(stack, listener(host=host))

    assert set(bound.addresses) == addresses


async def test_a_taken_port_is_named_with_the_fix(stack: ExitStack) -> None:
    (taken,) = bind(stack, listener())
    taken.sockets[0].listen()

    with pytest.raises(StartError) as caught:
        bind_listeners([listener(taken.port)])

    assert caught.value.message == (
        f"port {taken.port} (REST API) is taken on 127.0.0.1: another engine or program listens "
        "there; stop it, or give the 'http' listener another port"
    )


async def test_a_port_taken_on_ipv6_alone_is_named(stack: ExitStack) -> None:
    (taken,) = bind(stack, listener(host="::1"))
    taken.sockets[0].listen()

    with pytest.raises(StartError, match=f"port {taken.port} .* is taken on ::1"):
        bind_listeners([listener(taken.port)])


async def test_one_failure_closes_what_was_bound(stack: ExitStack) -> None:
    (taken, free) = bind(stack, listener(), listener(room="free"))
    taken.sockets[0].listen()
    free.close()

    with pytest.raises(StartError):
        bind_listeners([listener(free.port, room="free"), listener(taken.port)])

    (again,) = bind(stack, listener(free.port))
    again.sockets[0].listen()


@pytest.mark.parametrize(
    ("host", "text"),
    [
        ("203.0.113.7", "203.0.113.7 is not an address of this machine"),
        ("no.such.host.invalid", "the host 'no.such.host.invalid' is unknown"),
    ],
)
async def test_a_host_that_cannot_be_bound_is_named(host: str, text: str) -> None:
    with pytest.raises(StartError, match=text):
        bind_listeners([listener(host=host)])


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (errno.EACCES, "may not be opened on 127.0.0.1 by this user; choose a port above 1023"),
        (errno.ENOBUFS, "cannot be opened on 127.0.0.1: No buffer space available"),
    ],
)
async def test_other_errors_are_told_apart(
    monkeypatch: pytest.MonkeyPatch, number: int, text: str
) -> None:
    def refuse(*arguments: object) -> socket.socket:
        raise OSError(number, "No buffer space available")

    monkeypatch.setattr(base, "_bind_one", refuse)

    with pytest.raises(StartError, match=text):
        bind_listeners([listener(80)])


async def test_a_port_taken_between_binding_and_listening_is_named(
    serve: Serve, stack: ExitStack, name: str
) -> None:
    (ours,) = bind(stack, Listener("workers", "127.0.0.1", 0, "websocket", "workers"))
    (theirs,) = bind(stack, listener(ours.port, "127.0.0.1"))
    theirs.sockets[0].listen()
    server = create_server(name, SocketApplication())

    with pytest.raises(StartError, match=rf"port {ours.port} \(workers\) is taken"):
        await server.start([ours])

    await server.close()


async def test_an_unknown_server_is_refused_with_the_known_ones() -> None:
    with pytest.raises(StartError, match="'gunicorn'; use one of picows, uvicorn, daphne"):
        create_server("gunicorn", SocketApplication())


async def test_the_limit_of_open_files_is_raised_to_the_hard_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_to: list[Any] = []
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (1024, 4096))
    monkeypatch.setattr(resource, "setrlimit", lambda kind, limits: set_to.append((kind, limits)))

    assert raise_open_file_limit() == 4096
    assert set_to == [(resource.RLIMIT_NOFILE, (4096, 4096))]


async def test_accepted_connections_do_not_delay_small_writes(serve: Serve) -> None:
    running = await serve(SocketApplication())
    peer = await running.connect()
    assert isinstance(peer, Peer)
    (connection,) = running.server._shared.connections  # type: ignore[attr-defined]
    accepted = connection.transport.get_extra_info("socket")

    assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

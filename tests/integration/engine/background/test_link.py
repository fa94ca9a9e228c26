"""The link of a Celery process: calls of the engine from threads."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection, serve

from engine.background.link import CallTimeout, EngineLink, LinkDown
from engine.background.process_link import make_link
from engine.background.token import TOKEN_HEADER
from engine.core.errors import InvocationFailed
from engine.core.functions import Call
from tests.integration.engine.background.conftest import LIMIT_S, Site

DRAIN = "engine::queue::drain"


@pytest_asyncio.fixture
async def link(site: Site) -> AsyncIterator[EngineLink]:
    """A link to the engine of the site, which connects with the first call."""
    link = make_link(site.url)
    yield link
    await asyncio.to_thread(link.close)


async def test_a_call_returns_the_result_as_json_text(site: Site, link: EngineLink) -> None:
    result = await asyncio.to_thread(link.call, DRAIN, b'{"subscriptions":[7]}', LIMIT_S)

    assert result == b'{"claimed":0}'
    assert site.drained == [[7]]


async def test_an_error_of_the_engine_keeps_its_code(site: Site, link: EngineLink) -> None:
    with pytest.raises(InvocationFailed, match="function_not_found: Function no::such not found"):
        await asyncio.to_thread(link.call, "no::such", b"null", LIMIT_S)


async def test_calls_of_many_threads_share_the_connection_and_find_their_answers(
    site: Site, link: EngineLink
) -> None:
    def echo(call: Call) -> bytes:
        return call.data

    site.engine.register_function("test::echo", echo, is_internal=True)

    def call(number: int) -> list[bytes]:
        return [link.call("test::echo", b"%d" % (number + each), LIMIT_S) for each in range(20)]

    answers = await asyncio.gather(
        *(asyncio.to_thread(call, number) for number in range(0, 400, 20))
    )

    assert [int(each) for answer in answers for each in answer] == list(range(400))
    assert len(site.engine.workers.connections) == 1


async def test_a_call_without_an_answer_ends_in_time(site: Site, link: EngineLink) -> None:
    site.answer = asyncio.get_running_loop().create_future()

    with pytest.raises(CallTimeout, match=r"did not answer within 0\.2 s"):
        await asyncio.to_thread(link.call, DRAIN, b'{"subscriptions":[]}', 0.2)
    site.answer.set_result(None)

    assert await asyncio.to_thread(link.call, DRAIN, b'{"subscriptions":[]}', LIMIT_S)


async def test_calls_under_way_fail_when_the_engine_goes(site: Site, link: EngineLink) -> None:
    site.answer = asyncio.get_running_loop().create_future()
    calling = asyncio.ensure_future(
        asyncio.to_thread(link.call, DRAIN, b'{"subscriptions":[]}', LIMIT_S)
    )
    await site.until(lambda: site.drained, "the call has come")

    await site.close()

    with pytest.raises(LinkDown, match="was lost"):
        await calling
    await site.open()


async def test_a_call_waits_for_an_engine_that_comes_back(site: Site, link: EngineLink) -> None:
    await asyncio.to_thread(link.call, DRAIN, b'{"subscriptions":[1]}', LIMIT_S)
    port = int(site.url.rpartition(":")[2])
    await site.close()
    await site.until(lambda: not link.is_up, "the link has noticed")
    calling = asyncio.ensure_future(
        asyncio.to_thread(link.call, DRAIN, b'{"subscriptions":[2]}', LIMIT_S)
    )

    await site.open(port)

    await calling
    assert site.drained == [[1], [2]]


async def test_a_call_fails_in_time_when_there_is_no_engine() -> None:
    link = make_link("ws://127.0.0.1:1")
    began = time.monotonic()

    with pytest.raises(LinkDown, match="there is no connection to ws:"):
        await asyncio.to_thread(link.call, DRAIN, b"{}", 0.3)

    assert 0.3 <= time.monotonic() - began < LIMIT_S
    link.close()


async def test_a_call_with_little_patience_waits_shortly_for_an_engine_that_was_away(
    site: Site,
) -> None:
    def call(link: EngineLink, number: int) -> float:
        began = time.monotonic()
        with contextlib.suppress(LinkDown):
            link.call(DRAIN, b'{"subscriptions":[%d]}' % number, LIMIT_S, patience_s=0.5)
        return time.monotonic() - began

    port = int(site.url.rpartition(":")[2])
    await site.close()
    link = make_link(f"ws://127.0.0.1:{port}")
    link.start()
    await site.until(lambda: link._is_outage_told, "the engine was not reached")

    assert 0.5 <= await asyncio.to_thread(call, link, 1) < LIMIT_S / 2
    await site.open(port)
    await asyncio.to_thread(call, link, 2)

    assert site.drained == [[2]]
    await asyncio.to_thread(link.close)


async def test_an_outage_is_told_once_and_the_return_too(
    site: Site, link: EngineLink, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="engine.background.link")
    link.start()
    await site.until(lambda: link.is_up, "the link is up")
    port = int(site.url.rpartition(":")[2])
    await site.close()
    with pytest.raises(LinkDown):
        await asyncio.to_thread(link.call, DRAIN, b"{}", 0.6)  # brings attempts forward
    await site.open(port)
    await site.until(lambda: link.is_up, "the link is up again")

    said = [each.levelname for each in caplog.records if each.name == "engine.background.link"]
    assert said == ["INFO", "WARNING", "INFO"]


async def test_a_retired_link_takes_the_end_for_wanted(
    site: Site, link: EngineLink, caplog: pytest.LogCaptureFixture
) -> None:
    link.start()
    await site.until(lambda: link.is_up, "the link is up")

    link.retire()
    await site.close()

    await site.until(lambda: not link.is_up, "the link has noticed")
    with pytest.raises(LinkDown):
        await asyncio.to_thread(link.call, DRAIN, b"{}", LIMIT_S)
    assert [each for each in caplog.records if each.name == "engine.background.link"] == []
    await site.open()


async def test_closing_ends_the_thread(site: Site, link: EngineLink) -> None:
    await asyncio.to_thread(link.call, DRAIN, b'{"subscriptions":[]}', LIMIT_S)

    await asyncio.to_thread(link.close)

    assert not [each for each in threading.enumerate() if each.name == "engine-link"]
    with pytest.raises(LinkDown):
        link.call(DRAIN, b"{}", 1.0)


async def test_closing_waits_for_no_greeting() -> None:
    has_come = threading.Event()

    def accept(connection: ServerConnection) -> None:
        has_come.set()
        with contextlib.suppress(ConnectionClosed):
            connection.recv(LIMIT_S)

    with serve(accept, "127.0.0.1", 0) as silent:
        serving = threading.Thread(target=silent.serve_forever)
        serving.start()
        link = make_link(f"ws://127.0.0.1:{silent.socket.getsockname()[1]}")
        link.start()
        assert await asyncio.to_thread(has_come.wait, LIMIT_S)

        await asyncio.wait_for(asyncio.to_thread(link.close), LIMIT_S / 3)
    await asyncio.to_thread(serving.join, LIMIT_S)
    assert not serving.is_alive()


async def test_a_wrong_token_is_refused_with_the_reason(site: Site) -> None:
    def offer(token: str) -> str:
        with (
            connect(site.url, additional_headers={TOKEN_HEADER: token}, proxy=None) as socket,
            pytest.raises(ConnectionClosed) as closed,
        ):
            socket.recv(LIMIT_S)
        assert closed.value.rcvd is not None
        return f"{closed.value.rcvd.code} {closed.value.rcvd.reason}"

    refusal = await asyncio.to_thread(offer, "wrong")

    assert refusal == "1008 the internal token is wrong: this process has another SECRET_KEY"
    assert site.engine.workers.connections == []


async def test_without_a_token_the_internal_functions_do_not_exist(site: Site) -> None:
    link = EngineLink(site.url, "", "nobody")
    with pytest.raises(LinkDown):
        await asyncio.to_thread(link.call, DRAIN, b"{}", 0.5)
    await asyncio.to_thread(link.close)  # not in the loop, which has to refuse it

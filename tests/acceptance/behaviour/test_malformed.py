"""A thousand broken frames: nobody else sees one, and the engine stays well."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as websocket

from tests.acceptance.behaviour.conftest import Site
from tests.acceptance.raw_worker import RawWorker

FRAMES = 1000
SEED = 7

Connect = Callable[[], RawWorker]


def broken_texts(target: str) -> Iterator[str]:
    """Yield broken text frames of every kind, without end; each is valid UTF-8."""
    choose = random.Random(SEED)
    call = f'"type":"invokefunction","invocation_id":"i","function_id":"{target}"'
    bad_payloads = [
        "NaN", "Infinity", "tru", "01", "-", '"\\ud800"', '"\\x"', '"\x01"', "{", "[1,]",
        '{"a":1,}', "'a'", '{"a" 1}', "[" * 5000, "[" * 5000 + "]" * 5000, '"open', "",
    ]  # fmt: skip
    wrong_members = [
        '"invocation_id":5', '"function_id":[]', '"function_id":null', '"baggage":{}',
        '"traceparent":1', '"namespace":true', '"action":5', '"action":{"type":7}',
        '"action":{"type":"dance"}', '"action":[]',
    ]  # fmt: skip
    types = [
        "registerfunction", "unregisterfunction", "registerservice", "registertriggertype",
        "unregistertriggertype", "registertrigger", "unregistertrigger", "reattach",
        "triggerregistrationresult", "invocationresult", "workerregistered", "nonsense",
    ]  # fmt: skip
    while True:
        yield f'{{{call},"data":{choose.choice(bad_payloads)}}}'
        yield f'{{"data":{choose.choice(bad_payloads)},{call}}}'
        yield f'{{"type":"invokefunction",{choose.choice(wrong_members)}}}'
        yield f'{{"type":"{choose.choice(types)}","id":{choose.choice(["5", "null", "[]", "{}"])}}}'
        yield f'{{"type":"{choose.choice(types)}"}}'
        yield choose.choice(["", " ", "null", "5", "[]", "{}", '"text"', "not json", "{", "\x00"])
        yield json.dumps({"type": "".join(chr(choose.randrange(32, 0x2FFF)) for _ in range(9))})
        yield f'{{"type":"invocationresult","invocation_id":"unknown","result":{"9" * 400}}}'
        yield '{"type":"registerfunction","id":"x","request_format":' + "[" * 2000 + "}"
        yield '{"type":"junk","pad":"' + "x" * choose.randrange(100_000) + '"}'


def broken_binaries() -> Iterator[bytes]:
    """Yield binary frames that are neither telemetry nor a message."""
    choose = random.Random(SEED)
    while True:
        yield choose.randbytes(choose.randrange(200))
        yield b'{"type":"invokefunction","function_id":"\xff\xfe"}'
        yield b"OTLP" + choose.randbytes(50)
        yield b"{" + choose.randbytes(20)


def answers_ping(connection: ClientConnection) -> bool:
    """Tell whether the engine still listens to a connection, past all it had to say before."""
    connection.send('{"type":"ping"}')
    while True:
        if json.loads(connection.recv(timeout=20)) == {"type": "pong"}:
            return True


def test_a_thousand_broken_frames_hurt_nobody(site: Site, connect: Connect) -> None:
    target = site.id("victim")
    victim = connect()
    victim.serve(target, lambda data: data)
    site.settle(victim)
    texts, binaries = broken_texts(target), broken_binaries()

    with websocket(site.engine.worker_url, max_size=None) as connection:
        for number in range(FRAMES):
            connection.send(next(binaries) if number % 5 == 4 else next(texts))
            if number % 100 == 99:
                assert answers_ping(connection)

    assert victim.frames_of("invokefunction") == []
    assert site.worker.call(target, {"fine": True}) == {"fine": True}


def test_invalid_utf8_in_a_text_frame_ends_that_connection_only(site: Site) -> None:
    with websocket(site.engine.worker_url) as connection:
        connection.recv(timeout=10)
        # A text frame of one byte, 0xff, with an all-zero mask.
        connection.socket.sendall(b"\x81\x81\x00\x00\x00\x00\xff")
        try:
            while True:
                connection.recv(timeout=10)
        except ConnectionClosed as error:
            code = error.rcvd.code if error.rcvd is not None else None

    assert code in {1007, None}
    assert "workers" in site.worker.call("engine::workers::list")


def test_every_bad_call_of_a_built_in_gets_its_code(site: Site) -> None:
    calls: dict[str, list[tuple[object, str | None]]] = {
        "engine::functions::info": [
            ({}, "INVALID_ARGUMENTS"),
            ({"function_id": "no"}, "NOT_FOUND"),
            ({"function_id": 5}, "deserialization_error"),
            ("text", "deserialization_error"),
        ],
        "engine::functions::list": [({"prefix": 5}, "deserialization_error")],
        "engine::workers::list": [(5, "deserialization_error")],
        "engine::workers::info": [
            (None, "deserialization_error"),
            ({"name": "no"}, "NOT_FOUND"),
        ],
        "engine::workers::register": [({"pid": "x"}, "deserialization_error")],
        "engine::triggers::info": [({"id": "no"}, "NOT_FOUND"), ([5], "deserialization_error")],
        "engine::registered-triggers::info": [({"id": "no"}, "NOT_FOUND")],
        "engine::register_trigger": [
            ({"trigger_type": "http"}, "deserialization_error"),
            (
                {"trigger_type": "http", "function_id": "f", "config": {}},
                "trigger_registration_failed",
            ),
            ({"trigger_type": "", "function_id": "f"}, "INVALID_ARGUMENTS"),
        ],
        "engine::unregister_trigger": [({}, "deserialization_error")],
        "engine::log::info": [({"message": 5}, "deserialization_error")],
        "state::get": [({"scope": "s"}, "deserialization_error"), (5, "deserialization_error")],
        "state::set": [({"scope": "s", "key": "k"}, "deserialization_error")],
        "state::update": [
            ({"scope": "s", "key": "k", "ops": [{"type": "no"}]}, "deserialization_error"),
            ({"scope": "s", "key": "k", "ops": [], "if_version": 7}, "version_conflict"),
        ],
        "kv_server::get": [({"scope": "s", "key": "k"}, "deserialization_error")],
        "stream::get": [({}, "deserialization_error")],
        "engine::channels::create": [({"buffer_size": "many"}, "deserialization_error")],
    }

    answered = {
        function_id: [(data, _code(site, function_id, data)) for data, _ in cases]
        for function_id, cases in calls.items()
    }

    assert answered == calls


def _code(site: Site, function_id: str, data: object) -> str | None:
    future = site.worker.start_call(function_id, data)
    error = future.exception(timeout=15)
    return getattr(error, "code", None)

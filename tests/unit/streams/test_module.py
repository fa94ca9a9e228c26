"""The port and the options of the stream module."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from streams.adapters import STREAM_ADAPTERS
from streams.module import StreamConfig, StreamModule
from tests.fakes import make_engine


@pytest.mark.parametrize(
    ("options", "expected"),
    [({}, (None, 3112)), ({"host": "::1", "port": 5000}, ("::1", 5000))],
)
def test_it_listens_where_its_config_says(
    options: dict[str, object], expected: tuple[str | None, int]
) -> None:
    module = StreamModule(make_engine(), StreamConfig.model_validate(options))
    (listener,) = module.listeners()
    assert (listener.room, listener.protocol) == ("streams", "websocket")
    assert (listener.host, listener.port) == expected


@pytest.mark.parametrize("options", [{"prot": 1}, {"port": True}, {"port": 70_000}])
def test_a_wrong_option_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        StreamConfig.model_validate(options)


@pytest.mark.parametrize(
    "spelling", ["kv", "redis", "bridge", "modules::streams::adapters::KvStore"]
)
def test_its_adapters_have_several_names(spelling: str) -> None:
    assert STREAM_ADAPTERS.resolve(spelling) is not None

from __future__ import annotations

import logging

import pytest

from engine.core.config import check_document
from engine.core.errors import ConfigError
from engine.core.yaml_source import parse_document
from engine.modules.catalogue import BUILT_IN, load_modules
from engine.modules.queue.adapters.base import Policy
from engine.modules.queue.config import QueueConfig, adapter_policy
from engine.modules.queue.opening import open_store
from kv.stores.database import Database
from tests.fakes import make_engine


def check(options: str) -> QueueConfig:
    """Check a queue module with these options, as YAML in flow style."""
    source = f"modules: [{{class: iii-queue, config: {{{options}}}}}]"
    config = check_document(parse_document(source, "iii.yaml", {}), load_modules(BUILT_IN, []))
    found = config.modules[0].config
    assert isinstance(found, QueueConfig)
    return found


def problems(options: str) -> str:
    with pytest.raises(ConfigError) as raised:
        check(options)
    return str(raised.value)


@pytest.mark.parametrize(
    ("adapter", "policy"),
    [
        ("{class: builtin}", Policy()),
        (
            "{class: builtin, config: {max_attempts: 5, backoff_ms: 7, concurrency: 2}}",
            Policy(max_attempts=5, backoff_ms=7, concurrency=2),
        ),
        ("{class: builtin, config: {max_attempts: 0}}", Policy(max_attempts=1)),
        ("{class: builtin, config: {mode: fifo}}", Policy(is_fifo=True, concurrency=1)),
        (
            "{class: builtin, config: {mode: fifo, concurrency: 4}}",
            Policy(is_fifo=True, concurrency=4),
        ),
        ("{class: builtin, config: {mode: other}}", Policy()),
        ("{class: redis, config: {redis_url: 'redis://x'}}", Policy()),
        (
            "{class: rabbitmq, config: {max_attempts: 2, prefetch_count: 3}}",
            Policy(max_attempts=2, concurrency=3),
        ),
        (
            "{class: rabbitmq, config: {queue_mode: fifo}}",
            Policy(is_fifo=True, concurrency=1),
        ),
        ("{class: bridge}", Policy()),
    ],
)
def test_an_adapter_says_how_messages_are_delivered(adapter: str, policy: Policy) -> None:
    assert adapter_policy(check(f"adapter: {adapter}").adapter.config) == policy


@pytest.mark.parametrize(
    ("queue", "policy"),
    [
        ("{}", Policy()),
        ("{max_retries: 0}", Policy(max_attempts=1)),
        ("{max_retries: 1}", Policy(max_attempts=1)),
        ("{max_retries: 7, backoff_ms: 1, concurrency: 2}", Policy(False, 2, 7, 1)),
        ("{type: fifo, message_group_field: g}", Policy(is_fifo=True, concurrency=1)),
        ("{type: fifo, message_group_field: g, concurrency: 9}", Policy(True, 9)),
    ],
)
def test_a_named_queue_says_how_it_is_delivered(queue: str, policy: Policy) -> None:
    assert check(f"queue_configs: {{q: {queue}}}").named_queues()["q"].policy == policy


def test_a_default_queue_exists_and_may_be_configured() -> None:
    assert check("").named_queues()["default"].policy == Policy()
    configured = check("queue_configs: {default: {concurrency: 2}}").named_queues()
    assert configured["default"].policy == Policy(concurrency=2)


@pytest.mark.parametrize(
    ("queue", "problem"),
    [
        ("{type: fifo}", "a queue of type fifo needs `message_group_field`"),
        ("{concurrency: 0}", "must be at least 1, got the number 0"),
        ("{type: lifo}", "expected one of standard, fifo"),
        ("{max_retrys: 1}", "did you mean `max_retries`?"),
        ("{max_retries: -1}", "must be at least 0"),
    ],
)
def test_a_bad_named_queue_keeps_the_engine_from_starting(queue: str, problem: str) -> None:
    """M139."""
    text = problems(f"queue_configs: {{q: {queue}}}")
    assert "modules[0].config.queue_configs.q" in text
    assert problem in text


@pytest.mark.parametrize(
    ("adapter", "said"),
    [
        ("{class: rabbitmq}", "RabbitMQ is not used: messages wait in the database"),
        ("{class: redis}", "Redis keeps no messages: they wait in the database"),
        (
            "{class: bridge}",
            "the bridge to ws://localhost:49134 is not built yet: messages wait in the engine's "
            "own database, the database",
        ),
        (
            "{class: builtin, config: {file_path: ./q, store_method: file_based}}",
            "file_path ./q (saved every 5000 ms) is accepted without effect: "
            "every message is a row in the engine's database, the database",
        ),
        (
            "{class: builtin, config: {store_method: in_memory}}",
            "store_method in_memory: messages are lost when the engine stops",
        ),
        ("{class: builtin}", ""),
    ],
)
def test_the_start_log_says_where_messages_wait(
    adapter: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    config = check(f"adapter: {adapter}")
    engine = make_engine()
    engine.provide(Database.open(is_sqlite=True, description="the database"))
    module_class = load_modules(BUILT_IN, []).resolve("iii-queue")
    assert module_class is not None
    open_store(module_class(engine, config), config.adapter.config)
    assert caplog.messages == ([f"modules::queue::QueueModule: {said}"] if said else [])

from __future__ import annotations

import logging

import pytest

from engine.core.config import check_document
from engine.core.errors import ConfigError
from engine.core.yaml_source import parse_document
from engine.modules.catalogue import BUILT_IN, load_modules
from engine.modules.cron.config import CronConfig
from engine.modules.cron.opening import open_store
from kv.stores.database import Database
from tests.fakes import make_engine


def check(options: str) -> CronConfig:
    """Check a cron module with these options, as YAML in flow style."""
    source = f"modules: [{{class: iii-cron, config: {{{options}}}}}]"
    config = check_document(parse_document(source, "iii.yaml", {}), load_modules(BUILT_IN, []))
    found = config.modules[0].config
    assert isinstance(found, CronConfig)
    return found


def test_ticks_are_kept_for_a_while_unless_the_config_says_otherwise() -> None:
    default, given = check(""), check("tick_retention_days: 2, tick_retention_count: 5")
    assert (default.tick_retention_days, default.tick_retention_count) == (30, 1_000)
    assert (given.tick_retention_days, given.tick_retention_count) == (2, 5)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ("tick_retention_days: 0", "must be at least 1, got the number 0"),
        ("tick_retention: 1", "did you mean `tick_retention_days`?"),
        ("adapter: {class: cron}", "Adapter factory 'cron' not found"),
        ("adapter: {class: kv, config: {lock_ttl: 1}}", "did you mean `lock_ttl_ms`?"),
        ("adapter: {class: kv, config: {store_method: disk}}", "expected one of file_based"),
    ],
)
def test_a_bad_option_keeps_the_engine_from_starting(options: str, problem: str) -> None:
    with pytest.raises(ConfigError) as raised:
        check(options)
    assert problem in str(raised.value)


@pytest.mark.parametrize(
    ("adapter", "said"),
    [
        (
            "{class: redis, config: {redis_url: 'redis://x'}}",
            "Redis keeps no locks: schedules and their ticks are rows in the database",
        ),
        (
            "{class: kv, config: {store_method: in_memory}}",
            "store_method in_memory is accepted without effect: schedules and their ticks are "
            "rows in the engine's database, the database",
        ),
        (
            "{class: kv, config: {file_path: './data/a:b', save_interval_ms: 7}}",
            "file_path ./data/a:b (saved every 7 ms) is accepted without effect: every schedule "
            "is a row in the engine's database, the database",
        ),
        ("{class: kv, config: {lock_ttl_ms: 5, lock_index: locks}}", ""),
        ("{class: kv}", ""),
    ],
)
def test_the_start_log_says_where_schedules_are(
    adapter: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    config = check(f"adapter: {adapter}")
    engine = make_engine()
    engine.provide(Database.open(is_sqlite=True, description="the database"))
    module_class = load_modules(BUILT_IN, []).resolve("iii-cron")
    assert module_class is not None
    open_store(module_class(engine, config), config.adapter.config)
    assert caplog.messages == ([f"modules::cron::CronModule: {said}"] if said else [])

from __future__ import annotations

import logging

import pytest
from django.conf import settings

from engine.core.config import check_document
from engine.core.modules import Module
from engine.core.yaml_source import parse_document
from engine.modules.catalogue import BUILT_IN, load_modules
from tests.fakes import make_engine


def build(source: str) -> Module:
    document = parse_document(f"modules:\n  - {source}", "iii.yaml", {})
    config = check_document(document, load_modules(BUILT_IN, []))
    return config.modules[0].build(make_engine())


async def test_a_configured_path_is_told_to_have_no_effect(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    await build(
        "{class: iii-cron, config: {adapter: {class: kv, config:"
        " {store_method: file_based, file_path: '${NOPE:./data/a:b}'}}}}"
    ).start()
    assert caplog.messages == [
        "modules::cron::CronModule: file_path ./data/a:b (saved every 5000 ms) is accepted "
        "without effect: everything stored is a row in the engine's database, "
        f"{settings.DATABASES['default']['NAME']}"
    ]


@pytest.mark.parametrize("source", ["{class: iii-cron}"])
async def test_without_a_path_nothing_is_said(
    source: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await build(source).start()
    assert caplog.messages == []


@pytest.mark.parametrize("source", ["iii-telemetry", "modules::devtools::DevToolsModule"])
async def test_modules_without_a_purpose_here_do_nothing(source: str) -> None:
    module = build(f"{{class: '{source}', config: {{enabled: true}}}}")
    await module.start()
    await module.stop()
    assert (list(module.listeners()), module.built) == ([], True)

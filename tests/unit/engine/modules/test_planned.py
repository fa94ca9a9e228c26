from __future__ import annotations

import pytest

from engine.core.config import check_document
from engine.core.modules import Module
from engine.core.yaml_source import parse_document
from engine.modules.catalogue import BUILT_IN, load_modules
from tests.fakes import make_engine


def build(source: str) -> Module:
    document = parse_document(f"modules:\n  - {source}", "iii.yaml", {})
    config = check_document(document, load_modules(BUILT_IN, []))
    return config.modules[0].build(make_engine())


@pytest.mark.parametrize("source", ["iii-observability", "modules::observability::LoggingModule"])
async def test_modules_that_are_not_built_yet_start_and_say_nothing(
    source: str, caplog: pytest.LogCaptureFixture
) -> None:
    module = build(f"{{class: '{source}'}}")
    await module.start()
    await module.stop()
    assert (caplog.messages, module.built) == ([], False)


@pytest.mark.parametrize("source", ["iii-telemetry", "modules::devtools::DevToolsModule"])
async def test_modules_without_a_purpose_here_do_nothing(source: str) -> None:
    module = build(f"{{class: '{source}', config: {{enabled: true}}}}")
    await module.start()
    await module.stop()
    assert (list(module.listeners()), module.built) == ([], True)

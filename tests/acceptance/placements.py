"""Which SDK version is tested on which server, as parameters of the tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import pytest

from tests.acceptance.engine_process import Server
from tests.acceptance.sdks import EVERY_SDK, NEWEST, OLDEST, Sdk


@dataclass(frozen=True, slots=True)
class Placement:
    """One SDK version on an engine with one server."""

    server: Server
    sdk: Sdk

    def __str__(self) -> str:
        return f"{self.sdk}-on-{self.server}"


# Every version on the default server, the newest and oldest of each language on the others.
SDKS_OF_SERVER: Final[dict[Server, tuple[Sdk, ...]]] = {
    "picows": EVERY_SDK,
    "uvicorn": (*OLDEST, *NEWEST),
    "daphne": (*OLDEST, *NEWEST),
}


def sdks_where(condition: Callable[[Sdk], bool]) -> pytest.MarkDecorator:
    """Run a test for the versions that meet a condition, on each server they are placed on."""
    placements = [
        Placement(server, sdk)
        for server, sdks in SDKS_OF_SERVER.items()
        for sdk in sdks
        if condition(sdk)
    ]
    return pytest.mark.parametrize("placement", placements, ids=str)


every_sdk: Final = sdks_where(lambda sdk: True)
every_server: Final = pytest.mark.parametrize("server", SDKS_OF_SERVER)

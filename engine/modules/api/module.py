"""The HTTP module: its port, its trigger type, its life cycle."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from engine.core.listeners import Listener
from engine.core.modules import Module, ModuleConfig
from engine.modules.api.app import HttpApplication
from engine.modules.api.config import RestApiConfig
from engine.modules.api.routes import RouteTable
from engine.modules.api.trigger import HttpTriggerType

if TYPE_CHECKING:
    from engine.core.engine import Engine

logger = logging.getLogger(__name__)


class RestApiModule(Module):
    """Serves functions over HTTP: each trigger of type `http` or `api` is a route."""

    class_path = "modules::api::RestApiModule"
    aliases = ("modules::rest_api::RestApiModule", "iii-http", "http")
    Config: ClassVar[type[ModuleConfig]] = RestApiConfig
    on_by_default = True

    config: RestApiConfig

    def __init__(self, engine: Engine, config: RestApiConfig) -> None:
        super().__init__(engine, config)
        self.routes = RouteTable(ignore_trailing_slash=config.ignore_trailing_slash)
        self.app = HttpApplication(engine, config, self.routes)

    def listeners(self) -> Sequence[Listener]:
        """Return the HTTP port."""
        return (
            Listener(
                room="http",
                host=self.config.host,
                port=self.config.port,
                protocol="http",
                label="REST API",
                app=self.app,
            ),
        )

    async def start(self) -> None:
        """Offer the trigger type."""
        if self.config.concurrency_request_limit == 0:
            logger.warning("concurrency_request_limit is 0, which would stop all: 1 is used")
        self.engine.register_trigger_type(HttpTriggerType(self.routes))

    async def stop(self) -> None:
        """Release the timer."""
        self.app.close()

"""Where the original reports anonymous usage; this engine sends nothing to anybody."""

from __future__ import annotations

import logging

from engine.core.modules import AnyModuleConfig, Module

logger = logging.getLogger(__name__)


class TelemetryModule(Module):
    """Keeps configs that name it valid, whatever options they give it, and does nothing."""

    class_path = "modules::telemetry::TelemetryModule"
    aliases = ("iii-telemetry",)
    Config = AnyModuleConfig

    async def start(self) -> None:
        """Say once that there is nothing to opt out of."""
        logger.debug("usage reporting does not exist in this engine")

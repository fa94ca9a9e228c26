"""The engine: builds registries, router and modules from a config, starts them, stops them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import engine as package
from engine.core.channels import Channels
from engine.core.errors import StartError
from engine.core.function_queue import FunctionQueue
from engine.core.functions import FunctionRegistration, FunctionRegistry, Handler
from engine.core.invocations import InvocationRouter, Reply
from engine.core.listeners import Listener
from engine.core.protocol import encode
from engine.core.session import SERVICE_RESTART
from engine.core.triggers import Trigger, TriggerJournal, TriggerRegistry, TriggerType
from engine.core.workers import WorkerRegistry

if TYPE_CHECKING:
    from engine.core.config import EngineConfig
    from engine.core.modules import Module

logger = logging.getLogger(__name__)

Service = TypeVar("Service")

# How often a stopping engine looks whether the running calls have ended.
DRAIN_INTERVAL_S: Final = 0.01


class Engine:
    """One running engine, free of Django and of servers.

    Attributes:
        config: what the YAML file says.
        data_dir: where everything durable lives; None for engines that keep nothing.
        function_queue: keeps calls with `action: enqueue`; None without a queue module.
    """

    def __init__(
        self,
        config: EngineConfig,
        *,
        data_dir: Path | None = None,
        journal: TriggerJournal | None = None,
    ) -> None:
        self.config = config
        self.data_dir = data_dir
        self.version = package.__version__
        self.functions = FunctionRegistry()
        self.triggers = TriggerRegistry(journal)
        self.workers = WorkerRegistry()
        self.invocations = InvocationRouter(self.functions)
        self.channels = Channels()
        self.function_queue: FunctionQueue | None = None
        self.modules: list[Module] = [entry.build(self) for entry in config.modules]
        self._started: list[Module] = []
        self._services: dict[type, object] = {}
        self._watched: dict[str, Callable[[], dict[str, Any]]] = {}

    # --- for modules --------------------------------------------------------------------------

    def provide(self, service: object, kind: type | None = None) -> None:
        """Offer the modules something of the process, such as its database.

        Args:
            service: what they get.
            kind: the class by which they ask for it; its own if not given.
        """
        self._services[kind or type(service)] = service

    def service(self, kind: type[Service]) -> Service:
        """Return what was provided under a class.

        Raises:
            StartError: this engine runs without it.
        """
        found = self._services.get(kind)
        if not isinstance(found, kind):
            raise StartError(f"this engine has no {kind.__name__}")
        return found

    def register_function(
        self,
        function_id: str,
        handler: Handler,
        *,
        description: str = "",
        request_format: Mapping[str, Any] | None = None,
        response_format: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        aliases: tuple[str, ...] = (),
        failure_code: str = "",
        is_internal: bool = False,
    ) -> None:
        """Install a built-in function.

        Args:
            function_id: its canonical id, listed.
            handler: takes a `Call`, gives JSON text or None, at once or awaitable; what it raises
                as EngineError is answered with its code.
            description: for listings.
            request_format: JSON Schema of the payload.
            response_format: JSON Schema of the result.
            metadata: for listings and filters.
            aliases: other accepted spellings, hidden from listings.
            failure_code: of its answer when what it keeps its data in fails.
            is_internal: only the engine (`invoke_internal`) and its Celery processes find it.
        """
        registration = FunctionRegistration(
            id=function_id,
            owner=None,
            handler=handler,
            description=description,
            request_format=encode(request_format) if request_format is not None else b"",
            response_format=encode(response_format) if response_format is not None else b"",
            metadata=encode(metadata) if metadata is not None else b"",
            failure_code=failure_code,
            is_internal=is_internal,
        )
        self.functions.add_builtin(registration, aliases)

    def register_trigger_type(self, trigger_type: TriggerType) -> None:
        """Install the trigger type of a module."""
        self.triggers.add_builtin_type(trigger_type)

    def invoke(
        self,
        function_id: str,
        data: bytes,
        *,
        traceparent: str | None = None,
        baggage: str | None = None,
        metadata: bytes | None = None,
        namespace: str | None = None,
    ) -> asyncio.Future[bytes | None]:
        """Call a function in the engine's own name, see `InvocationRouter.invoke`."""
        return self.invocations.invoke(
            function_id,
            data,
            traceparent=traceparent,
            baggage=baggage,
            metadata=metadata or b"",
            namespace=namespace,
        )

    def invoke_internal(self, function_id: str, data: bytes) -> asyncio.Future[bytes | None]:
        """Call an internal function, which `invoke` does not find: ids there come from workers."""
        return self.invocations.invoke_internal(function_id, data)

    def fire(
        self,
        trigger: Trigger,
        data: bytes,
        *,
        traceparent: str | None = None,
        baggage: str | None = None,
    ) -> asyncio.Future[bytes | None]:
        """Call the function of a trigger, in its owner's namespace and with its metadata."""
        return self.invocations.invoke(
            trigger.function_id,
            data,
            traceparent=traceparent,
            baggage=baggage,
            metadata=trigger.metadata or b"",
            namespace=trigger.namespace,
            sender_namespace=trigger.owner_namespace,
        )

    def fire_and_reply(
        self,
        trigger: Trigger,
        data: bytes,
        reply: Reply,
        traceparent: str | None,
        baggage: str | None,
    ) -> None:
        """Do what `fire` does, without a future; see `InvocationRouter.call` for `reply`."""
        self.invocations.call(
            trigger.function_id,
            data,
            reply,
            traceparent,
            baggage,
            trigger.metadata or b"",
            trigger.namespace,
            trigger.owner_namespace,
        )

    def watch(self, component: str, health: Callable[[], dict[str, Any]]) -> None:
        """Let `health` tell of a part of the process that is no module.

        Args:
            component: its name.
            health: gives `{status, details}`; the status is `healthy`, or the engine is not.
        """
        self._watched[component] = health

    def health(self) -> dict[str, Any]:
        """Say how the engine is: `{status, components, timestamp, version}`; timestamp in ms.

        The status is `healthy`, or `degraded` if one of the components is not.
        """
        components = {
            module.class_path.rsplit("::", 1)[-1]: {"status": "healthy", "details": {}}
            for module in self._started
            if module.built
        } | {name: health() for name, health in self._watched.items()}
        is_healthy = all(each["status"] == "healthy" for each in components.values())
        return {
            "status": "healthy" if is_healthy else "degraded",
            "components": components,
            "timestamp": time.time_ns() // 1_000_000,
            "version": self.version,
        }

    # --- life ---------------------------------------------------------------------------------

    def listeners(self) -> Sequence[Listener]:
        """Return every port that the modules want."""
        return [listener for module in self.modules for listener in module.listeners()]

    async def start(self) -> None:
        """Start the modules in the order of the file; what was started stops if one fails."""
        try:
            for module in self.modules:
                await module.start()
                self._started.append(module)
        except BaseException:
            await self._stop_modules()
            raise

    async def stop(self, grace_s: float) -> None:
        """Let running calls finish for up to `grace_s` seconds, then end everything."""
        for module in self._started:
            module.wind_down()
        await self._drain(grace_s)
        self.invocations.cancel_builtins()
        for session in self.workers.connections:
            session.close()
            session.outbox.close(SERVICE_RESTART, "engine stops")
        self.channels.close()
        await self._stop_modules()

    async def _drain(self, grace_s: float) -> None:
        deadline = time.monotonic() + grace_s
        while self.running_calls and time.monotonic() < deadline:  # noqa: ASYNC110
            # Counting calls on the hot path to be woken here would cost every call something.
            await asyncio.sleep(DRAIN_INTERVAL_S)
        if self.running_calls:
            logger.warning("%d calls did not finish in time", self.running_calls)

    @property
    def running_calls(self) -> int:
        """How many calls wait for an answer now."""
        executing = sum(len(session.executing) for session in self.workers.connections)
        return executing + self.invocations.running_builtins

    async def _stop_modules(self) -> None:
        for module in reversed(self._started):
            try:
                await module.stop()
            except Exception:
                logger.exception("module did not stop cleanly: %s", module.class_path)
        self._started.clear()

"""The queue module: its store, its functions, its trigger type, its life cycle."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Final

from engine.core.functions import Call
from engine.core.modules import Module, ModuleConfig
from engine.core.payloads import reader
from engine.core.tasks import TaskSender
from engine.modules.queue.adapters.base import (
    QueueKind,
    QueueName,
    QueueStore,
    Subscription,
)
from engine.modules.queue.administration import QueueAdministration
from engine.modules.queue.arguments import DrainArguments
from engine.modules.queue.config import QUEUE_ADAPTERS, QueueConfig, adapter_policy
from engine.modules.queue.consumer import Consumer
from engine.modules.queue.drains import Drains
from engine.modules.queue.messages import NamedQueues, Sender
from engine.modules.queue.opening import open_store
from engine.modules.queue.schemas import DESCRIPTIONS, ENQUEUE_SCHEMA, FAILURE_CODES
from engine.modules.queue.subscriptions import Subscriptions
from engine.modules.queue.targets import NamedTarget
from engine.modules.queue.trigger import QueueTriggerType
from engine.modules.queue.upkeep import QueueUpkeep

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from engine.core.engine import Engine
    from engine.core.functions import Handler

logger = logging.getLogger(__name__)

PREFIXES: Final = ("engine::queue::", "iii::queue::")

_read_drain = reader(DrainArguments)


class QueueModule(Module):
    """Messages that are kept until they are handled: by topic, or as queued calls by name."""

    class_path = "modules::queue::QueueModule"
    aliases = ("modules::event::EventModule", "iii-queue", "queue")
    Config: ClassVar[type[ModuleConfig]] = QueueConfig
    adapters = QUEUE_ADAPTERS
    on_by_default = True

    config: QueueConfig

    def __init__(self, engine: Engine, config: QueueConfig) -> None:
        super().__init__(engine, config)
        self._named = config.named_queues()
        self._drains: Drains | None = None
        self._subscriptions: Subscriptions | None = None
        self._upkeep: QueueUpkeep | None = None

    async def start(self) -> None:
        """Open the store, install functions and trigger type, take up what waits."""
        engine = self.engine
        store = open_store(self, self.config.adapter.config)
        tasks = engine.service(TaskSender)  # type: ignore[type-abstract]  # only looked up by it
        drains = self._drains = Drains(tasks)
        known = await store.start()
        subscriptions = self._subscriptions = Subscriptions(store, drains)
        if not store.is_shared:
            subscriptions.found(known)
        sender = Sender(store, drains)
        engine.function_queue = NamedQueues(sender, self._named)
        engine.register_function(
            "enqueue",
            sender.enqueue,
            description=DESCRIPTIONS["enqueue"],
            request_format=ENQUEUE_SCHEMA,
            aliases=("iii::durable::publish", "event.emit"),
            failure_code=FAILURE_CODES["enqueue"],
        )
        self._register_administration(store, drains, known)
        policy = adapter_policy(self.config.adapter.config)
        engine.register_trigger_type(QueueTriggerType(engine, subscriptions, policy))
        await self._attach_named(store, drains)
        self._upkeep = QueueUpkeep(store, drains, subscriptions)
        self._upkeep.start()

    def wind_down(self) -> None:
        """Claim and start nothing more."""
        if self._drains is not None:
            self._drains.close()
            for consumer in self._drains.consumers:
                consumer.wind_down()

    async def stop(self) -> None:
        """Give back what was not started, and store the outcomes that are there."""
        if self._upkeep is not None:
            await self._upkeep.stop()
        self.wind_down()
        if self._subscriptions is not None:
            self._subscriptions.close()
        if self._drains is not None:
            await self._drains.finish()
        self.engine.function_queue = None

    async def _attach_named(self, store: QueueStore, drains: Drains) -> None:
        for name, config in self._named.items():
            subscription = await store.subscribe(
                QueueName(QueueKind.NAMED, name), "", config.policy
            )
            consumer = Consumer(store, subscription, drains)
            drains.add(consumer)
            consumer.set_target(NamedTarget(self.engine, name))

    def _register_administration(
        self, store: QueueStore, drains: Drains, known: Sequence[Subscription]
    ) -> None:
        former = {each.queue.name for each in known if each.queue.kind is QueueKind.NAMED}
        for name in sorted(former - self._named.keys()):
            logger.warning(
                "%s: queue `%s` is not in `queue_configs` any more: what waits in it stays there",
                self.class_path,
                name,
            )
        functions = QueueAdministration(store, drains, former | self._named.keys())
        handlers: dict[tuple[str, ...], Handler] = {
            ("list",): functions.queues,
            ("list_topics",): functions.list_topics,
            ("topic_stats", "stats"): functions.stats,
            ("dlq_topics",): functions.dlq_topics,
            ("dlq_messages",): functions.dlq_messages,
            ("redrive",): functions.redrive,
            ("redrive_message",): functions.redrive_message,
            ("discard",): functions.discard,
            ("discard_message",): functions.discard_message,
            ("pause",): functions.pause,
            ("resume",): functions.resume,
        }
        for names, handler in handlers.items():
            spellings = [prefix + name for name in names for prefix in PREFIXES]
            self.engine.register_function(
                spellings[0],
                handler,
                description=DESCRIPTIONS[names[0]],
                aliases=tuple(spellings[1:]),
                failure_code=FAILURE_CODES[names[0]],
            )

        def drain(call: Call) -> Awaitable[bytes]:
            return drains.drain(_read_drain(call).subscriptions)

        for name, internal in (("drain", drain), ("take_outbox", functions.take_outbox)):
            self.engine.register_function(PREFIXES[0] + name, internal, is_internal=True)

"""The cron module: its store, its functions, its trigger type, its life cycle."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from engine.core.functions import Call
from engine.core.modules import Module, ModuleConfig
from engine.core.tasks import TaskSender
from engine.modules.cron.administration import CronAdministration
from engine.modules.cron.claiming import Claiming
from engine.modules.cron.clock_watch import ClockWatch
from engine.modules.cron.config import CRON_ADAPTERS, CronConfig
from engine.modules.cron.manual import ManualRuns
from engine.modules.cron.opening import open_store
from engine.modules.cron.outcomes import Outcomes
from engine.modules.cron.runner import Runner
from engine.modules.cron.schedules import LocalSchedules
from engine.modules.cron.schemas import DESCRIPTIONS, REQUEST_SCHEMAS
from engine.modules.cron.trigger import CronTriggerType
from engine.modules.cron.upkeep import CronUpkeep, Retention

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from engine.core.engine import Engine
    from engine.core.functions import Handler

PREFIXES: Final = ("engine::cron::", "iii::cron::")

CLOCK: Final = "Schedules"
"""The component of `/health` that tells whether something plans."""

DAY_MS: Final = 24 * 3_600_000


class CronModule(Module):
    """Functions called by the clock, and what has become of each time that they were due."""

    class_path = "modules::cron::CronModule"
    aliases = ("iii-cron", "cron")
    Config: ClassVar[type[ModuleConfig]] = CronConfig
    adapters = CRON_ADAPTERS
    on_by_default = True

    config: CronConfig

    def __init__(self, engine: Engine, config: CronConfig) -> None:
        super().__init__(engine, config)
        self._schedules: LocalSchedules | None = None
        self._outcomes: Outcomes | None = None
        self._claiming: Claiming | None = None
        self._runner: Runner | None = None
        self._upkeep: CronUpkeep | None = None

    async def start(self) -> None:
        """Open the store, install functions and trigger type."""
        engine = self.engine
        store = open_store(self, self.config.adapter.config)
        tasks = engine.service(TaskSender)  # type: ignore[type-abstract]  # only looked up by it
        await store.start()
        schedules = self._schedules = LocalSchedules(engine, store)
        outcomes = self._outcomes = Outcomes(store)
        runner = self._runner = Runner(schedules, outcomes)
        claiming = self._claiming = Claiming(store, runner, schedules.can_run, tasks)

        def look_again() -> None:
            tasks.wake_clock()
            claiming.want()  # what came due while its worker was away

        schedules.on_known = runner.note
        schedules.on_change = look_again
        manual = ManualRuns(store, claiming, outcomes)
        functions = CronAdministration(store, manual, runner.note, look_again)
        self._register(functions, claiming)
        engine.register_trigger_type(CronTriggerType(schedules))
        retention = Retention(
            self.config.tick_retention_days * DAY_MS, self.config.tick_retention_count
        )
        clock_watch = ClockWatch()
        engine.watch(CLOCK, clock_watch.health)
        self._upkeep = CronUpkeep(store, claiming, schedules.can_run, clock_watch, retention)
        self._upkeep.start()

    def wind_down(self) -> None:
        """Claim and begin nothing more, and give back what was not begun."""
        if self._claiming is not None:
            self._claiming.close()
        if self._runner is not None:
            self._runner.wind_down()

    async def stop(self) -> None:
        """Store the outcomes that are there."""
        if self._schedules is not None:
            self._schedules.close()
        if self._upkeep is not None:
            await self._upkeep.stop()
        self.wind_down()
        if self._claiming is not None:
            await self._claiming.finish()
        if self._outcomes is not None:
            await self._outcomes.flush()

    def _register(self, functions: CronAdministration, claiming: Claiming) -> None:
        handlers: dict[str, Handler] = {
            "list": functions.list,
            "next": functions.next,
            "ticks": functions.ticks,
            "run_now": functions.run_now,
            "pause": functions.pause,
            "resume": functions.resume,
            "skip_next": functions.skip_next,
        }
        canonical, *others = PREFIXES
        for name, handler in handlers.items():
            self.engine.register_function(
                canonical + name,
                handler,
                description=DESCRIPTIONS[name],
                request_format=REQUEST_SCHEMAS[name],
                aliases=tuple(prefix + name for prefix in others),
                failure_code=f"{name}_failed",
            )

        def run_ticks(call: Call) -> Awaitable[bytes]:
            return claiming.run_ticks()

        internal: dict[str, Handler] = {
            "plan": functions.plan,
            "run_ticks": run_ticks,
            "save": functions.save,
            "remove": functions.remove,
        }
        for name, handler in internal.items():
            self.engine.register_function(
                canonical + name, handler, failure_code=f"{name}_failed", is_internal=True
            )

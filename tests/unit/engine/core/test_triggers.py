"""Triggers and trigger types: built-in, provided by workers, and waiting for a provider."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from engine.core import triggers
from engine.core.engine import Engine
from engine.core.errors import TriggerRegistrationFailed
from engine.core.triggers import Trigger, TriggerRegistry, TriggerState, TriggerType
from tests.fakes import FakeWorker, JournalOfNames, make_engine

Connect = Callable[..., FakeWorker]


class Doorbell(TriggerType):
    """A built-in type that refuses the config `"bad"`."""

    id = "doorbell"
    aliases = ("bell",)

    def __init__(self) -> None:
        self.triggers: list[Trigger] = []

    def add(self, trigger: Trigger) -> None:
        if trigger.config == b'"bad"':
            raise TriggerRegistrationFailed("config: bad")
        self.triggers.append(trigger)

    def remove(self, trigger: Trigger) -> None:
        self.triggers.remove(trigger)


@pytest.fixture
def doorbell(engine: Engine) -> Doorbell:
    trigger_type = Doorbell()
    engine.register_trigger_type(trigger_type)
    return trigger_type


def provide(worker: FakeWorker, type_id: str = "webhook") -> None:
    worker.send("registertriggertype", id=type_id, description="")


async def test_every_spelling_means_the_same_type(connect: Connect, doorbell: Doorbell) -> None:
    worker = connect()

    worker.trigger("t1", "doorbell", "f")
    worker.trigger("t2", "bell", "f")

    assert [each.trigger_type for each in doorbell.triggers] == ["doorbell", "bell"]
    assert worker.take() == []


async def test_a_refused_trigger_is_told_to_its_owner_and_kept(
    connect: Connect, engine: Engine, doorbell: Doorbell
) -> None:
    worker = connect()

    worker.trigger("t", "bell", "f", config="bad")

    assert worker.take_one() == {
        "type": "triggerregistrationresult",
        "id": "t",
        "trigger_type": "bell",
        "function_id": "f",
        "error": {"code": "trigger_registration_failed", "message": "config: bad"},
    }
    binding = engine.triggers.binding(engine.triggers.by_id("t")[0])
    assert binding is not None
    assert binding.state is TriggerState.FAILED
    worker.leave()
    assert doorbell.triggers == []


async def test_the_same_id_from_the_same_worker_replaces(
    connect: Connect, doorbell: Doorbell
) -> None:
    worker = connect()

    worker.trigger("t", "bell", "old")
    worker.trigger("t", "bell", "new")

    assert [each.function_id for each in doorbell.triggers] == ["new"]


async def test_absent_config_is_null(connect: Connect, doorbell: Doorbell) -> None:
    connect().send("registertrigger", id="t", trigger_type="bell", function_id="f")

    assert doorbell.triggers[0].config == b"null"


@pytest.mark.parametrize("trigger_type", [None, "bell", "wrong"])
async def test_unregistering_goes_by_id_alone(
    connect: Connect, doorbell: Doorbell, trigger_type: str | None
) -> None:
    worker = connect()
    worker.trigger("t", "bell", "f")

    worker.send("unregistertrigger", id="t", trigger_type=trigger_type)

    assert doorbell.triggers == []


async def test_only_the_owner_unregisters_a_trigger(connect: Connect, doorbell: Doorbell) -> None:
    owner, stranger = connect(), connect()
    owner.trigger("t", "bell", "f")

    stranger.send("unregistertrigger", id="t")

    assert len(doorbell.triggers) == 1


class Letterbox(Doorbell):
    """A type that keeps the triggers of workers that have gone."""

    id = "letterbox"

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[str] = []

    def detach(self, trigger: Trigger) -> None:
        self.remove(trigger)
        self.kept.append(trigger.id)


async def test_a_type_learns_whether_an_owner_has_gone_or_taken_its_trigger_back(
    connect: Connect, engine: Engine
) -> None:
    letterbox = Letterbox()
    engine.register_trigger_type(letterbox)
    worker = connect()
    worker.trigger("taken back", "letterbox", "f")
    worker.trigger("left", "letterbox", "f")

    worker.send("unregistertrigger", id="taken back")
    worker.leave()

    assert (letterbox.kept, letterbox.triggers) == (["left"], [])


async def test_a_provider_is_handed_the_trigger_word_for_word(connect: Connect) -> None:
    provider, owner = connect(), connect()
    provide(provider)

    owner.trigger("t", "webhook", "f", config={"url": "x"}, metadata={"team": "shop"})

    assert provider.take_one() == {
        "type": "registertrigger",
        "id": "t",
        "trigger_type": "webhook",
        "function_id": "f",
        "config": {"url": "x"},
        "metadata": {"team": "shop"},
    }
    owner.send("unregistertrigger", id="t")
    assert provider.take_one() == {
        "type": "unregistertrigger",
        "id": "t",
        "trigger_type": "webhook",
        "function_id": "f",
        "config": {"url": "x"},
        "metadata": {"team": "shop"},
    }


async def test_a_trigger_waits_for_a_provider_that_comes_later(
    connect: Connect, engine: Engine
) -> None:
    owner, provider = connect(), connect()
    owner.trigger("t", "webhook", "f")
    assert owner.take() == []

    provide(provider)
    assert provider.take_one()["id"] == "t"
    provider.send("triggerregistrationresult", id="t", trigger_type="webhook", function_id="f")

    binding = engine.triggers.binding(engine.triggers.by_id("t")[0])
    assert binding is not None
    assert binding.state is TriggerState.ACTIVE


async def test_the_next_provider_gets_the_triggers_of_one_that_left(connect: Connect) -> None:
    owner, first, second = connect(), connect(), connect()
    provide(first)
    owner.trigger("t", "webhook", "f")

    first.leave()
    provide(second)

    assert second.take_one()["id"] == "t"


async def test_the_newest_provider_is_in_charge_alone(connect: Connect) -> None:
    owner, first, second = connect(), connect(), connect()
    provide(first)
    owner.trigger("t", "webhook", "f")
    first.take()

    provide(second)
    assert [each["type"] for each in first.take()] == ["unregistertrigger"]
    assert [each["type"] for each in second.take()] == ["registertrigger"]

    second.leave()
    assert [each["type"] for each in first.take()] == ["registertrigger"]


async def test_a_withdrawn_type_leaves_its_triggers_waiting(
    connect: Connect, engine: Engine
) -> None:
    owner, provider, stranger = connect(), connect(), connect()
    provide(provider)
    owner.trigger("t", "webhook", "f")

    stranger.send("unregistertriggertype", id="webhook")
    assert engine.triggers.find_type("webhook") is not None
    provider.send("unregistertriggertype", id="webhook", description="")

    binding = engine.triggers.binding(engine.triggers.by_id("t")[0])
    assert binding is not None
    assert binding.state is TriggerState.PENDING


async def test_a_providers_refusal_reaches_the_owner_and_is_tried_again(
    connect: Connect,
) -> None:
    provider, owner, stranger = connect(), connect(), connect()
    provide(provider)
    owner.trigger("t", "webhook", "f")
    error = {"code": "trigger_registration_failed", "message": "bad url"}

    stranger.send("triggerregistrationresult", id="t", error=error)
    assert owner.take() == []
    provider.send("triggerregistrationresult", id="t", error=error)
    assert owner.take_one()["error"] == error

    provider.take()
    provide(provider)
    assert provider.take_one()["type"] == "registertrigger"


async def test_a_provider_is_not_told_of_a_stale_connection_of_the_same_trigger(
    connect: Connect,
) -> None:
    provider, stale, fresh = connect(), connect(), connect()
    provide(provider)
    stale.trigger("t", "webhook", "f")
    fresh.trigger("t", "webhook", "f")
    provider.take()

    stale.leave()
    assert provider.take() == []

    fresh.leave()
    assert provider.take_one()["type"] == "unregistertrigger"


async def test_a_new_provider_gets_its_triggers_when_it_has_settled(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triggers, "PROVIDER_SETTLING_S", 0.001)
    provider, owner = connect(), connect()
    owner.trigger("early", "webhook", "f")

    provide(provider)
    owner.trigger("fresh", "webhook", "f")
    owner.trigger("brief", "webhook", "f")
    owner.send("unregistertrigger", id="brief")
    assert provider.take() == []
    async with asyncio.timeout(5):
        while not (frames := provider.take()):
            await asyncio.sleep(0.001)

    assert [(each["type"], each["id"]) for each in frames] == [
        ("registertrigger", "early"),
        ("registertrigger", "fresh"),
    ]
    owner.send("unregistertrigger", id="early")
    assert provider.take_one()["type"] == "unregistertrigger"


async def test_a_worker_may_provide_the_type_of_its_own_trigger(connect: Connect) -> None:
    worker = connect()
    provide(worker)

    worker.trigger("t", "webhook", "f")

    assert worker.take_one()["id"] == "t"
    worker.leave()


async def test_a_type_is_found_in_the_owners_namespace_first(connect: Connect) -> None:
    default, team, owner = connect(), connect(), connect()
    for worker in (team, owner):
        worker.void("engine::workers::register", {"name": "w", "namespace": "team"})
    provide(default)
    owner.trigger("t", "webhook", "f")
    assert default.take_one()["id"] == "t"

    owner.trigger("u", "mail", "f")
    provide(team, "mail")

    assert team.take_one()["id"] == "u"


async def test_what_happens_is_written_down() -> None:
    journal = JournalOfNames()
    engine = make_engine(journal=journal)
    await engine.start()
    owner, provider = FakeWorker(engine), FakeWorker(engine)

    owner.trigger("t", "webhook", "f")
    provide(provider)
    provider.send("triggerregistrationresult", id="t")
    owner.trigger("u", "webhook", "f")
    owner.send("unregistertrigger", id="u")
    owner.leave()

    assert journal.entries == [
        ("pending", "t"),
        ("offered", "t"),
        ("active", "t"),
        ("offered", "u"),
        ("removed", "u"),
        ("detached", "t"),
    ]
    await engine.stop(0)


def test_the_nearest_spelling_of_an_unknown_type_is_known() -> None:
    registry = TriggerRegistry()
    registry.add_builtin_type(Doorbell())

    assert registry.nearest_type("dorbell") == "doorbell"
    assert registry.nearest_type("cron") is None

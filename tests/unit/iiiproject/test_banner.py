from __future__ import annotations

import engine
from engine.core.config import ConfiguredModule, EngineConfig
from engine.core.listeners import Listener
from engine.core.modules import Module
from iiiproject.banner import banner


class HereModule(Module):
    class_path = "modules::here::HereModule"


class LaterModule(Module):
    class_path = "modules::later::LaterModule"
    built = False


def listener(room: str, host: str | None, label: str) -> Listener:
    return Listener(room, host, 0, "http" if room == "http" else "websocket", label)


def config(*modules: type[Module]) -> EngineConfig:
    configured = (ConfiguredModule(each.class_path, each, each.Config()) for each in modules)
    return EngineConfig("iii.yaml", tuple(configured))


def test_the_banner_says_what_runs_where_and_what_to_try() -> None:
    listeners = {
        3111: listener("http", "0.0.0.0", "REST API"),
        49134: listener("workers", None, "workers"),
        3112: listener("streams", "::1", "streams"),
    }
    assert (
        banner(config(HereModule, LaterModule), listeners, "/data/engine.sqlite3", "in here")
        == f"""
  iii engine {engine.__version__}

  REST API        http://localhost:3111
  workers         ws://localhost:49134
  streams         ws://[::1]:3112
  data            /data/engine.sqlite3
  tasks           in here
  config          iii.yaml
  modules         HereModule
  not built yet   LaterModule

  try  curl http://localhost:3111/health
  try  iii trigger --port 49134 --function-id engine::functions::list
  Ctrl-C stops the engine.
"""
    )


def test_the_banner_leads_to_the_first_administrator() -> None:
    link = "http://localhost:3113/first-admin/x/"

    text = banner(config(), {3113: listener("http", None, "console")}, "/data", "here", link)

    assert f"Make the administrator's account, once:\n  {link}\n" in text
    assert "administrator" not in banner(config(), {}, "/data", "here")


def test_a_complete_engine_has_nothing_to_excuse() -> None:
    assert "not built yet" not in banner(config(HereModule), {}, "/data", "here")

"""What a wrong config is told: literal messages, with the place in the file."""

from __future__ import annotations

import pytest

from engine.core.errors import ConfigError
from tests.unit.engine.core.test_config import check

KNOWN = "modules::clock::ClockModule, modules::shell::ShellModule, modules::worker::WorkerModule"
CLOCK = "modules:\n  - class: iii-clock\n    config:\n      "

PROBLEMS = {
    "unknown class with a near one": (
        "modules:\n  - class: modules::clok::ClockModul",
        "iii.yaml:2:12: modules[0].class: Unknown module class: modules::clok::ClockModul "
        "(module class not found), did you mean `modules::clock::ClockModule`? "
        f"there are {KNOWN}",
    ),
    "unknown class without a near one": (
        "modules:\n  - class: modules::nope::Nope",
        "iii.yaml:2:12: modules[0].class: Unknown module class: modules::nope::Nope "
        f"(module class not found); there are {KNOWN}",
    ),
    "a container of newer engines": (
        "workers: [{name: acme, image: acme:1}]",
        "iii.yaml:1:18: workers[0].name: Unknown module class: acme (module class not found); "
        "this engine starts no containers: run the image beside it and remove the entry",
    ),
    "an image for a built-in module": (
        "workers: [{name: iii-clock, image: acme:1}]",
        "iii.yaml:1:29: workers[0].image: `image` is for external workers; iii-clock is built in",
    ),
    "unknown adapter": (
        CLOCK + "adapter: {class: 'modules::clock::FilStore'}",
        "iii.yaml:4:24: modules[0].config.adapter.class: "
        "Adapter factory 'modules::clock::FilStore' not found, "
        "did you mean `modules::clock::FileStore`? "
        "available: modules::clock::FileStore, modules::clock::MemoryStore",
    ),
    "adapter as a word": (
        CLOCK + "adapter: file",
        "iii.yaml:4:16: modules[0].config.adapter: expected a mapping with `class`, "
        'got the text "file"; write `{class: file}`',
    ),
    "adapter without a class": (
        CLOCK + "adapter: {}",
        "iii.yaml:4:16: modules[0].config.adapter: "
        "`class` (or `name`) is required: it says what this is",
    ),
    "unknown key of an adapter": (
        CLOCK + "adapter: {class: file, conf: {}}",
        "iii.yaml:4:30: modules[0].config.adapter.conf: unknown key `conf`, "
        "did you mean `config`? an adapter has class, name, config",
    ),
    "unknown option of an adapter": (
        CLOCK + "adapter: {class: file, config: {pat: x}}",
        "iii.yaml:4:39: modules[0].config.adapter.config.pat: unknown option `pat`, "
        "did you mean `path`? FileStore has path",
    ),
    "option of an adapter that has none": (
        CLOCK + "adapter: {class: 'modules::clock::MemoryStore', config: {pat: x}}",
        "iii.yaml:4:64: modules[0].config.adapter.config.pat: unknown option `pat`; "
        "MemoryStore has no options",
    ),
    "unknown option": (
        CLOCK + "prot: 1",
        "iii.yaml:4:7: modules[0].config.prot: unknown option `prot`, did you mean `port`? "
        "ClockModule has port, host, ratio, enabled, adapter",
    ),
    "unknown top-level key": (
        "moduls: []",
        "iii.yaml:1:1: moduls: unknown option `moduls`, did you mean `modules`? "
        "a config file has modules, workers, port, registration_namespace_grace_ms",
    ),
    "unknown key of an entry": (
        "modules: [{class: iii-clock, confg: {}}]",
        "iii.yaml:1:30: modules[0].confg: unknown key `confg`, did you mean `config`? "
        "a module entry has class, name, config, image",
    ),
    "a required option is missing": (
        "modules:\n  - class: modules::shell::ShellModule",
        "iii.yaml:2:5: modules[0].config: `exec` is required (the commands)",
    ),
    "text for a number": (
        CLOCK + "port: many",
        'iii.yaml:4:13: modules[0].config.port: expected a whole number, got the text "many"',
    ),
    "a boolean for a whole number": (
        CLOCK + "port: true",
        "iii.yaml:4:13: modules[0].config.port: expected a whole number, got true",
    ),
    "a boolean for a number": (
        CLOCK + "ratio: false",
        "iii.yaml:4:14: modules[0].config.ratio: expected a number, got false",
    ),
    "a broken number": (
        CLOCK + "port: 1.5",
        "iii.yaml:4:13: modules[0].config.port: expected a whole number, got the number 1.5",
    ),
    "nothing for a number": (
        CLOCK + "port:",
        "iii.yaml:4:12: modules[0].config.port: expected a whole number, got nothing",
    ),
    "a number for text": (
        CLOCK + "host: 12",
        "iii.yaml:4:13: modules[0].config.host: expected text, got the number 12 "
        "(put it in quotes)",
    ),
    "a word for a switch": (
        CLOCK + "enabled: perhaps",
        'iii.yaml:4:16: modules[0].config.enabled: expected true or false, got the text "perhaps"',
    ),
    "too large": (
        CLOCK + "port: 65536",
        "iii.yaml:4:13: modules[0].config.port: must be at most 65535, got the number 65536",
    ),
    "a number as key": (
        CLOCK + "5: 6",
        "iii.yaml:4:7: modules[0].config[5]: a key must be text",
    ),
    "options that are no mapping": (
        "modules: [{class: iii-clock, config: [1]}]",
        "iii.yaml:1:38: modules[0].config: expected a mapping of options, got a list",
    ),
    "an entry that is a word": (
        "modules:\n  - iii-clock",
        "iii.yaml:2:5: modules[0]: expected a mapping with `class`, "
        'got the text "iii-clock"; write `- class: iii-clock`',
    ),
    "an entry without a class": (
        "modules: [{config: {}}]",
        "iii.yaml:1:11: modules[0]: `class` (or `name`) is required: it says what this is",
    ),
    "two different names": (
        "modules: [{class: iii-clock, name: iii-cron}]",
        "iii.yaml:1:11: modules[0]: "
        "give `class` or `name`, not both: they are two words for one thing",
    ),
    "a class that is no text": (
        "modules: [{class: 5}]",
        "iii.yaml:1:19: modules[0].class: expected a class path, got the number 5",
    ),
    "modules as a mapping": (
        "modules: {rest_api: {port: 3000}}",
        "iii.yaml:1:10: modules: expected a list, got a mapping",
    ),
    "a list at the top": (
        "- class: iii-clock",
        "iii.yaml:1:1: expected a mapping with `modules:`, got a list; put `modules:` above the "
        "list",
    ),
    "a word at the top": (
        "hello",
        'iii.yaml:1:1: expected a mapping with `modules:`, got the text "hello"',
    ),
    "listed twice": (
        "modules: [{class: iii-clock}, {class: 'modules::clocks::ClockModule'}]",
        "iii.yaml:1:31: modules[1]: modules::clock::ClockModule is listed twice: "
        "a second one would claim the same ports, functions and trigger types",
    ),
    "two worker listeners": (
        "modules: [{class: iii-worker-manager}, {class: 'modules::worker::WorkerModule'}]",
        "iii.yaml:1:40: modules[1]: modules::worker::WorkerModule is listed twice: "
        "several worker listeners are not built yet",
    ),
    "two ports for one listener": (
        "port: 5000\nmodules: [{class: iii-worker-manager, config: {port: 5001}}]",
        "iii.yaml:1:7: port: the top-level `port` 5000 and the `port` 5001 of "
        "modules::worker::WorkerModule disagree: remove one of them",
    ),
    "a long text is cut": (
        CLOCK + f"port: {'x' * 50}",
        "iii.yaml:4:13: modules[0].config.port: expected a whole number, "
        f'got the text "{"x" * 40}…"',
    ),
}


@pytest.mark.parametrize(("source", "message"), PROBLEMS.values(), ids=PROBLEMS)
def test_a_problem_is_told_with_its_place_and_the_fix(source: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check(source)
    assert str(caught.value) == message


def test_all_problems_are_told_in_the_order_of_the_file() -> None:
    with pytest.raises(ConfigError) as caught:
        check("""\
port: true
modules:
  - class: modules::nope::Nope
  - class: iii-clock
    config:
      host: 1
      prot: 2
      adapter: {class: nope}
workers:
  - class: iii-clock
    config: {ratio: x}
""")
    assert [problem.path for problem in caught.value.problems] == [
        "port",
        "modules[0].class",
        "modules[1]",
        "modules[1].config.host",
        "modules[1].config.prot",
        "modules[1].config.adapter.class",
        "workers[0].config.ratio",
    ]


def test_a_place_is_that_in_the_file_as_it_was_written() -> None:
    """A value from the environment may be longer than its placeholder, or have lines."""
    with pytest.raises(ConfigError) as caught:
        check(
            "modules: [{class: '${CLASS}', config: {host: '${HOST}', prot: 1}}]",
            {"CLASS": "iii-clock", "HOST": "a\n\n  very long and broken value" * 9},
        )
    assert [problem.place for problem in caught.value.problems] == ["iii.yaml:1:57"]

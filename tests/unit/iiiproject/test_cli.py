from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import engine
from iiiproject.cli import build_parser, main

SAMPLE = Path(__file__).parents[2] / "data" / "iii-config.yaml"

USAGE_ERRORS = {
    "unknown flag": (["--colour"], "unrecognized arguments: --colour"),
    "unknown command": (["chek"], "invalid choice: 'chek'"),
    "abbreviated flag": (["--conf=x"], "unrecognized arguments: --conf=x"),
    "config and default": (
        ["--use-default-config", "-c", "x"],
        "--use-default-config and --config exclude each other",
    ),
    "config and default of a command": (
        ["check", "--use-default-config", "-c", "x"],
        "--use-default-config and --config exclude each other",
    ),
    "unknown server": (["--server", "granian"], "invalid choice: 'granian'"),
    "grace that is no number": (["--grace", "soon"], "'soon' is not a number of seconds"),
    "grace below zero": (["--grace", "-1"], "'-1' is not a number of seconds"),
    "endless grace": (["--grace", "inf"], "'inf' is not a number of seconds"),
    "payload that is not JSON": (
        ["trigger", "--function-id", "x", "--payload", "{"],
        "argument --payload: not JSON: ",
    ),
    "trigger without function": (
        ["trigger"],
        "the following arguments are required: --function-id",
    ),
    "port that is none": (
        ["trigger", "--function-id", "x", "--port", "70000"],
        "'70000' is not a port",
    ),
    "console port that is none": (["--console-port", "70000"], "'70000' is not a port"),
    "console that is off and has a port": (
        ["--no-console", "--console-port", "1"],
        "argument --console-port: not allowed with argument --no-console",
    ),
    "timeout that is none": (
        ["trigger", "--function-id", "x", "--timeout-ms", "0"],
        "'0' is not a number of milliseconds",
    ),
}


@pytest.mark.parametrize(("arguments", "message"), USAGE_ERRORS.values(), ids=USAGE_ERRORS)
def test_wrong_usage_ends_with_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["-v", "--version"])
def test_the_version_is_one_bare_line(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([flag])
    assert (caught.value.code, capsys.readouterr().out) == (0, f"{engine.__version__}\n")


@pytest.mark.parametrize(
    "arguments", [["-h"], ["--help"], *([name, "--help"] for name in ("check", "trigger"))]
)
def test_help_is_printed(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("usage: iii")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["-c", "x.yaml", "check"], {"config": Path("x.yaml"), "use_default_config": False}),
        (["check", "--config", "x.yaml"], {"config": Path("x.yaml"), "use_default_config": False}),
        (["check"], {"config": None, "use_default_config": False}),
        (["--use-default-config"], {"config": None, "use_default_config": True}),
        (["--data-dir", "d", "migrate"], {"data_dir": Path("d")}),
        (["migrate", "--data-dir", "d"], {"data_dir": Path("d")}),
        (["--no-update-check"], {"data_dir": None, "server": "picows", "grace": 10.0}),
        (["--grace", "0.5", "--host", "::"], {"grace": 0.5, "host": "::"}),
        (["--console-port", "0"], {"console_port": 0, "no_console": False}),
        (["--no-console"], {"console_port": None, "no_console": True}),
        (
            ["trigger", "--function-id", "a::b"],
            {
                "function_id": "a::b",
                "payload": {},
                "address": "localhost",
                "port": 49134,
                "timeout_ms": 30_000,
            },
        ),
    ],
)
def test_options_may_stand_before_or_behind_the_command(
    arguments: list[str], expected: dict[str, Any]
) -> None:
    options = vars(build_parser("iii").parse_args(arguments))
    assert {name: options[name] for name in expected} == expected


def test_a_good_config_is_summed_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "-c", str(SAMPLE)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"OK: {SAMPLE}: 12 modules, 4 of them not built yet"
    assert [line.split(maxsplit=1) for line in lines[1:4]] == [
        ["modules::stream::StreamModule", "port 3112"],
        ["modules::state::StateModule"],
        ["modules::api::RestApiModule", "port 3111"],
    ]


def test_everything_that_is_wrong_with_a_config_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "iii.yaml"
    file.write_text("modules:\n  - iii-http\n  - {class: iii-http, config: {port: x}}\n")
    assert main(["check", "-c", str(file)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        f'error: {file}:2:5: modules[0]: expected a mapping with `class`, got the text "iii-http"; '
        "write `- class: iii-http`",
        f'error: {file}:3:38: modules[1].config.port: expected a whole number, got the text "x"',
        "2 problems",
    ]


def test_without_a_file_the_default_config_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["check"]) == 0
    (tmp_path / "config.yaml").write_text("modules: []")
    assert main(["check"]) == 0
    (tmp_path / "iii-config.yaml").write_text("modules: 5")
    assert main(["check"]) == 1
    assert main(["check", "--use-default-config"]) == 0
    out, err = capsys.readouterr()
    assert [line.split(",")[0] for line in out.splitlines() if line.startswith("OK")] == [
        "OK: built-in default: 10 modules",
        "OK: config.yaml: 1 module",
        "OK: built-in default: 10 modules",
    ]
    assert err == "error: iii-config.yaml:1:10: modules: expected a list, got the number 5\n"


def test_all_modules_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["modules"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "* modules::state::StateModule iii-state, state" in lines
    assert "modules::telemetry::TelemetryModule iii-telemetry" in lines
    assert "modules::devtools::DevToolsModule" in lines


@pytest.mark.parametrize("name", ["modules::state::StateModule", "iii-state", "StateModule"])
def test_a_module_is_listed_with_its_options_and_adapters(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["modules", name]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "modules::state::StateModule"
    assert "max_value_bytes whole number none largest value, in bytes; no limit if absent" in lines
    assert "modules::state::adapters::KvStore (the default adapter)" in lines
    assert any(line.startswith("redis_url text redis://localhost:6379") for line in lines)


def test_options_inside_options_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["modules", "http"]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert {"cors.allowed_origins", "middleware[].function_id"} <= set(names)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("StatModule", ", did you mean modules::state::StateModule?"),
        ("zzz", "; `iii modules` lists them all"),
    ],
)
def test_an_unknown_module_cannot_be_listed(
    name: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["modules", name]) == 1
    assert capsys.readouterr().err == f"error: there is no module {name}{hint}\n"


def test_a_call_without_an_engine_says_so(
    unused_tcp_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--address", "127.0.0.1", "--port", str(unused_tcp_port)]
    assert main(["trigger", "--function-id", "a::b", *arguments]) == 1
    assert capsys.readouterr().err == (
        f"error: no engine listens at ws://127.0.0.1:{unused_tcp_port}/: "
        "start one with `iii`, or name its --address and --port\n"
    )


def test_an_interrupt_ends_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("iiiproject.check.check", interrupt)
    assert main(["check"]) == 130

"""The program `iii` as people start it: a process with arguments, files and signals."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

import engine
from tests.acceptance.processes import Process
from tests.services import find_postgres, running_postgres
from tests.waiting import wait_until

ROOT: Final = Path(__file__).parents[2]
MANAGE: Final = ROOT / "manage.py"
SAMPLE: Final = ROOT / "tests" / "data" / "iii-config.yaml"
LIMIT_S: Final = 30

# Services the machine may offer; the engines of these tests bring their own.
CLEAN: Final = {
    "DATABASE_URL": "",
    "REDIS_URL": "",
    "CELERY_BROKER_URL": "",
    "III_HOST": "",
    "III_DATA_DIR": "",
    "III_CONSOLE_PORT": "off",
}

NOBODY: Final = 65_534
AS_NOBODY: Final = (
    "import os, sys, iiiproject.cli, iiiproject.serve, kv.server, kv.state; "
    f"os.geteuid() or (os.setgid({NOBODY}), os.setuid({NOBODY})); "
    "sys.exit(iiiproject.cli.main(sys.argv[1:]))"
)
"""The interpreter may be out of reach for an unprivileged user: first import, then become one."""


def command(*arguments: str) -> list[str]:
    return [sys.executable, str(MANAGE), "runengine", *arguments]


def run(
    folder: Path, *arguments: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the program in a folder until it ends by itself."""
    return subprocess.run(
        command(*arguments),
        cwd=folder,
        env={**os.environ, **CLEAN, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


class Ports:
    """Free ports for one engine, and a config that names them."""

    def __init__(self) -> None:
        held = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        self.workers, self.http = (each.getsockname()[1] for each in held)
        for each in held:
            each.close()

    @property
    def config(self) -> str:
        return (
            f"port: {self.workers}\n"
            "modules:\n"
            "  - class: modules::api::RestApiModule\n"
            f"    config: {{port: {self.http}}}\n"
        )

    def are_open(self) -> bool:
        return all(is_open(port) for port in (self.workers, self.http))


def is_open(port: int, address: str = "127.0.0.1") -> bool:
    try:
        socket.create_connection((address, port), timeout=5).close()
    except OSError:
        return False
    return True


@pytest.fixture
def ports() -> Ports:
    return Ports()


Start = Callable[..., Process]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start the program; it is killed after the test if it still runs."""
    started: list[Process] = []

    def start(*arguments: str, environment: Mapping[str, str] | None = None) -> Process:
        name = f"iii-{len(started)}"
        process = Process(name, command(*arguments), tmp_path, {**CLEAN, **(environment or {})})
        started.append(process)
        process.start()
        return process

    yield start
    for process in started:
        process.kill()


def wait_until_up(process: Process) -> None:
    process.wait_for_line("  Ctrl-C stops", LIMIT_S)


def write_config(folder: Path, text: str) -> str:
    (folder / "iii-config.yaml").write_text(text)
    return str(folder / "iii-config.yaml")


# --- without an engine --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["runengine", "iii"])
def test_the_version_is_printed_and_nothing_opened(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(MANAGE), name, "--version"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, f"{engine.__version__}\n")
    assert list(tmp_path.iterdir()) == []


def test_help_is_printed(tmp_path: Path) -> None:
    done = run(tmp_path, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("usage: manage.py runengine [-h]")


def test_an_unknown_flag_is_wrong_usage(tmp_path: Path) -> None:
    done = run(tmp_path, "--colour")
    assert done.returncode == 2
    assert done.stderr.endswith("error: unrecognized arguments: --colour\n")


def test_the_sample_configuration_passes_the_check(tmp_path: Path) -> None:
    done = run(tmp_path, "check", "-c", str(SAMPLE))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"OK: {SAMPLE}: 12 modules")


BAD_CONFIGS: Final = {
    "unknown class": (
        "modules: [{class: modules::nope::Nope}]",
        ["Unknown module class: modules::nope::Nope", "module class not found"],
    ),
    "unknown adapter": (
        "modules: [{class: iii-state, config: {adapter: {class: modules::state::Nope}}}]",
        ["Adapter factory 'modules::state::Nope' not found"],
    ),
    "broken YAML": ("modules: [", ["iii-config.yaml:1:11: this is not valid YAML"]),
    "unset variable": (
        "modules: [{class: iii-http, config: {host: '${NOPE_TEST}'}}]",
        ["iii-config.yaml:1:45: the environment variable NOPE_TEST is not set"],
    ),
    "unknown option": (
        "modules: [{class: iii-http, config: {prot: 1}}]",
        ["modules[0].config.prot: unknown option `prot`, did you mean `port`?"],
    ),
}


@pytest.mark.parametrize(("config", "messages"), BAD_CONFIGS.values(), ids=BAD_CONFIGS)
def test_a_wrong_config_stops_the_engine_before_it_touches_anything(
    config: str, messages: list[str], tmp_path: Path
) -> None:
    write_config(tmp_path, config)
    done = run(tmp_path)
    assert done.returncode == 1
    assert [message for message in messages if message not in done.stderr] == []
    assert "Traceback" not in done.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["iii-config.yaml"]


def test_a_missing_config_file_is_an_error(tmp_path: Path) -> None:
    done = run(tmp_path, "-c", "none.yaml")
    assert done.returncode == 1
    assert done.stderr.startswith("error: none.yaml: there is no such file")


def test_a_taken_port_is_named(ports: Ports, tmp_path: Path) -> None:
    write_config(tmp_path, ports.config)
    with socket.create_server(("127.0.0.1", ports.http)):
        done = run(tmp_path)
    assert done.returncode == 1
    assert f"port {ports.http} (REST API) is taken" in done.stderr
    assert not is_open(ports.workers)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory(prefix="iii-tests-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_a_directory_that_an_unprivileged_user_cannot_write_is_named(
    open_folder: Path,
) -> None:
    closed = open_folder / "closed"
    closed.mkdir(mode=0o555)
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, "--use-default-config", "--data-dir", str(closed)],
        cwd=ROOT,
        env={**os.environ, **CLEAN},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    user = NOBODY if os.geteuid() == 0 else os.geteuid()
    assert done.returncode == 1
    assert done.stderr.startswith(
        f"error: the data directory {closed} is not writable for user {user}: "
    )


def test_a_damaged_database_is_named(ports: Ports, tmp_path: Path) -> None:
    write_config(tmp_path, ports.config)
    database = tmp_path / "iii-data" / "engine.sqlite3"
    database.parent.mkdir()
    database.write_text("this is no database " * 100)
    done = run(tmp_path)
    assert done.returncode == 1
    assert done.stderr == f"error: the database {database} cannot be used: file is not a database\n"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://localhost/x", "DATABASE_URL: 'mysql' is not known"),
        ("postgres://me@127.0.0.1:1/x", "PostgreSQL x at 127.0.0.1:1 cannot be used: connection"),
    ],
)
def test_a_database_that_cannot_be_used_is_named(
    url: str, message: str, ports: Ports, tmp_path: Path
) -> None:
    write_config(tmp_path, ports.config)
    done = run(tmp_path, environment={"DATABASE_URL": url})
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_package_with_a_broken_module_is_named(tmp_path: Path) -> None:
    package = tmp_path / "packages"
    information = package / "acme_iii-1.2.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-iii\nVersion: 1.2\n")
    (information / "entry_points.txt").write_text("[iii.modules]\nacme = acme_iii:AcmeModule\n")
    (package / "acme_iii.py").write_text("import nothing_of_that_name\n")
    done = run(tmp_path, "check", environment={"PYTHONPATH": str(package)})
    assert done.returncode == 1
    assert done.stderr == (
        "error: the package acme-iii 1.2 brings the module 'acme' (acme_iii:AcmeModule), which "
        "cannot be used: ModuleNotFoundError: No module named 'nothing_of_that_name'. "
        "Repair the package or uninstall it\n"
    )


def test_the_module_of_an_installed_package_can_be_configured(tmp_path: Path) -> None:
    package = tmp_path / "packages"
    information = package / "acme_iii-1.2.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-iii\nVersion: 1.2\n")
    (information / "entry_points.txt").write_text("[iii.modules]\nacme = acme_iii:AcmeModule\n")
    (package / "acme_iii.py").write_text(
        "from engine.core.modules import Module\n"
        "class AcmeModule(Module):\n"
        "    class_path = 'acme::AcmeModule'\n"
    )
    write_config(tmp_path, "modules: [{class: acme::AcmeModule}]")
    done = run(tmp_path, "check", environment={"PYTHONPATH": str(package)})
    assert done.returncode == 0, done.stderr
    assert "acme::AcmeModule" in done.stdout


# --- a running engine ---------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_engine_and_closes_its_ports(
    number: signal.Signals, start: Start, ports: Ports, tmp_path: Path
) -> None:
    write_config(tmp_path, ports.config)
    process = start()
    wait_until_up(process)
    assert ports.are_open()
    assert httpx.get(f"http://localhost:{ports.http}/health").status_code == 200

    os.kill(process.pid, number)
    wait_until(lambda: not process.is_running, "the engine ends")
    assert process.terminate() == 0, process.output
    assert not is_open(ports.workers)
    assert not is_open(ports.http)


def test_the_banner_says_where_everything_is(start: Start, ports: Ports, tmp_path: Path) -> None:
    write_config(tmp_path, ports.config + "  - class: modules::observability::OtelModule\n")
    process = start("--data-dir", "here/data")
    wait_until_up(process)
    lines = [" ".join(line.split()) for line in process.output.splitlines()]
    assert [line for line in lines if line][:8] == [
        f"iii engine {engine.__version__}",
        f"REST API http://localhost:{ports.http}",
        f"workers ws://localhost:{ports.workers}",
        f"data {tmp_path}/here/data/engine.sqlite3",
        "tasks in this process",
        "config iii-config.yaml",
        "modules RestApiModule, WorkerModule",
        "not built yet OtelModule",
    ]
    assert not (tmp_path / "iii-data").exists()


def test_the_sample_configuration_starts_with_all_its_ports(
    start: Start, ports: Ports, tmp_path: Path
) -> None:
    """Only the ports differ from the file to the letter, so that tests can run side by side."""
    text = SAMPLE.read_text().replace("port: 3111", f"port: {ports.http}")
    write_config(tmp_path, f"port: {ports.workers}\n{text}")
    streams = Ports().http
    process = start(environment={"STREAMS_PORT": str(streams)})
    wait_until_up(process)
    assert ports.are_open()
    assert is_open(streams)
    place = {"subscriptionId": "s", "streamName": "chat", "groupId": "g"}
    with connect(f"ws://127.0.0.1:{streams}/any/path") as client:
        client.send(json.dumps({"type": "join", "data": place}))
        assert json.loads(client.recv(timeout=10))["event"] == {"type": "sync", "data": []}


def test_a_configured_path_is_told_with_where_the_data_really_is(
    start: Start, ports: Ports, tmp_path: Path
) -> None:
    entry = "modules::kv_server::KvServer, config: {file_path: '${NOPE_TEST:./data/a:b}'}"
    write_config(tmp_path, f"{ports.config}  - {{class: {entry}}}\n")
    process = start()
    wait_until_up(process)
    assert (
        "modules::kv_server::KvServer: file_path ./data/a:b (saved every 5000 ms) is accepted "
        "without effect: everything stored is a row in the engine's database, "
        f"{tmp_path}/iii-data/engine.sqlite3"
    ) in process.output
    assert not (tmp_path / "data").exists()


def test_every_module_starts_by_another_name(start: Start, ports: Ports, tmp_path: Path) -> None:
    write_config(
        tmp_path,
        f"""\
workers:
  - name: iii-engine-functions
  - name: iii-worker-manager
    config: {{port: {ports.workers}}}
  - name: iii-http
    config: {{port: '${{P_TEST:{ports.http}}}'}}
modules:
  - {{class: modules::streams::StreamModule, config: {{port: 0}}}}
  - {{class: state}}
  - {{class: modules::event::EventModule}}
  - {{class: pubsub}}
  - {{class: cron}}
  - {{class: modules::observability::ObservabilityModule}}
  - {{class: iii-bridge}}
  - {{class: iii-exec, config: {{exec: ['true']}}}}
  - {{class: iii-exec, config: {{exec: ['true']}}}}
  - {{class: iii-http-functions}}
  - {{class: iii-telemetry}}
  - {{class: configuration}}
  - {{class: modules::devtools::DevToolsModule, config: {{api_prefix: /x}}}}
""",
    )
    other_port = Ports().http
    process = start(environment={"P_TEST": str(other_port)})
    wait_until_up(process)
    assert is_open(ports.workers)
    assert httpx.get(f"http://localhost:{other_port}/health").status_code == 200
    assert not is_open(ports.http)


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [(["--host", "127.0.0.2"], {"III_HOST": "::1"}), ([], {"III_HOST": "127.0.0.2"})],
)
def test_the_address_comes_from_the_command_line_or_the_environment(
    arguments: list[str],
    environment: dict[str, str],
    start: Start,
    ports: Ports,
    tmp_path: Path,
) -> None:
    write_config(tmp_path, ports.config)
    wait_until_up(start(*arguments, environment=environment))
    assert is_open(ports.http, "127.0.0.2")
    assert not is_open(ports.http, "127.0.0.1")


def test_a_second_engine_on_the_same_data_is_refused(
    start: Start, ports: Ports, tmp_path: Path
) -> None:
    write_config(tmp_path, ports.config)
    first = start()
    wait_until_up(first)
    done = run(tmp_path, environment={"III_DATA_DIR": "./iii-data"})
    assert done.returncode == 1
    assert done.stderr.startswith(
        f"error: another engine (process {first.pid}) uses the data directory {tmp_path}/iii-data:"
    )
    first.kill()
    wait_until_up(start())


def test_machines_get_json_lines_and_no_banner(start: Start, ports: Ports, tmp_path: Path) -> None:
    write_config(tmp_path, ports.config)
    process = start("--log-format", "json")
    wait_until(lambda: "engine is up" in process.output, "the engine is up", LIMIT_S)
    records = [json.loads(line) for line in process.output.splitlines()]
    (up,) = (each for each in records if each["message"] == "engine is up")
    assert up["urls"] == {
        "http": f"http://localhost:{ports.http}",
        "workers": f"ws://localhost:{ports.workers}",
    }


# --- calls --------------------------------------------------------------------------------------


@contextmanager
def worker(ports: Ports, function_id: str) -> Iterator[ClientConnection]:
    """Connect a worker that offers one function and answers nothing by itself."""
    with connect(f"ws://localhost:{ports.workers}/", proxy=None) as connection:
        connection.send(json.dumps({"type": "registerfunction", "id": function_id}))
        yield connection


def next_call(connection: ClientConnection) -> dict[str, Any]:
    while True:
        frame: dict[str, Any] = json.loads(connection.recv(timeout=LIMIT_S))
        if frame["type"] == "invokefunction":
            return frame


def answer(connection: ClientConnection, call: dict[str, Any], **members: Any) -> None:
    frame = {
        "type": "invocationresult",
        "invocation_id": call["invocation_id"],
        "function_id": call["function_id"],
        **members,
    }
    connection.send(json.dumps(frame))


def close_code(connection: ClientConnection) -> int | None:
    try:
        while True:
            connection.recv(timeout=LIMIT_S)
    except ConnectionClosed as error:
        return error.rcvd.code if error.rcvd else None


def trigger(ports: Ports, function_id: str, *arguments: str) -> list[str]:
    port = ["--port", str(ports.workers)]
    return ["trigger", "--function-id", function_id, *port, *arguments]


def test_a_call_from_the_command_line_prints_the_result(
    start: Start, ports: Ports, tmp_path: Path
) -> None:
    write_config(tmp_path, ports.config)
    wait_until_up(start())
    with worker(ports, "shop::price") as shop:
        caller = start(*trigger(ports, "shop::price", "--payload", '{"item": "tea"}'))
        call = next_call(shop)
        assert call["data"] == {"item": "tea"}
        answer(shop, call, result={"price": 3, "note": "grün"})
        wait_until(lambda: not caller.is_running, "the call ends")
        assert caller.terminate() == 0
        assert caller.output == '{\n  "price": 3,\n  "note": "grün"\n}\n'


def test_a_call_from_the_command_line_fails_with_the_reason(
    start: Start, ports: Ports, tmp_path: Path
) -> None:
    write_config(tmp_path, ports.config)
    wait_until_up(start())
    unknown = run(tmp_path, *trigger(ports, "shop::price"))
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert unknown.stderr.startswith("error: function_not_found: ")
    with worker(ports, "shop::price") as shop:
        silent = run(tmp_path, *trigger(ports, "shop::price", "--timeout-ms", "300"))
        assert (silent.returncode, silent.stderr) == (
            1,
            "error: shop::price did not answer within 0.3 s\n",
        )
        next_call(shop)
    http = run(tmp_path, "trigger", "--function-id", "x", "--port", str(ports.http))
    assert http.stderr == (
        f"error: what listens at ws://localhost:{ports.http}/ is no worker port of an engine\n"
    )


def test_a_stopping_engine_lets_running_calls_finish(
    start: Start, ports: Ports, tmp_path: Path
) -> None:
    write_config(tmp_path, ports.config)
    process = start("--grace", "30")
    wait_until_up(process)
    with worker(ports, "shop::price") as shop:
        caller = start(*trigger(ports, "shop::price"))
        call = next_call(shop)
        os.kill(process.pid, signal.SIGTERM)
        wait_until(lambda: not is_open(ports.workers), "the port closes")
        answer(shop, call, result="done")
        wait_until(lambda: not caller.is_running, "the call ends")
        assert (caller.terminate(), caller.output) == (0, '"done"\n')
        assert close_code(shop) == 1012
    wait_until(lambda: not process.is_running, "the engine ends")
    assert process.terminate() == 0, process.output


def test_a_second_signal_ends_running_calls_at_once(
    start: Start, ports: Ports, tmp_path: Path
) -> None:
    write_config(tmp_path, ports.config)
    process = start("--grace", "600")
    wait_until_up(process)
    with worker(ports, "shop::price") as shop:
        caller = start(*trigger(ports, "shop::price"))
        next_call(shop)
        os.kill(process.pid, signal.SIGINT)
        wait_until(lambda: "stopping" in process.output, "the first signal is seen")
        os.kill(process.pid, signal.SIGINT)
        wait_until(lambda: not process.is_running, "the engine ends")
        assert process.terminate() == 0, process.output
        wait_until(lambda: not caller.is_running, "the call ends")
        assert caller.terminate() == 1
        assert close_code(shop) == 1012


# --- PostgreSQL ---------------------------------------------------------------------------------


def test_postgresql_is_migrated_by_its_own_command_only(
    start: Start, ports: Ports, tmp_path: Path
) -> None:
    binaries = find_postgres()
    assert binaries is not None, "tests/install-packages installs PostgreSQL"
    write_config(tmp_path, ports.config)
    with running_postgres(binaries) as url:
        environment = {"DATABASE_URL": url}
        refused = run(tmp_path, environment=environment)
        assert refused.returncode == 1
        assert "migrations are not applied to PostgreSQL postgres at 127.0.0.1:" in refused.stderr
        assert refused.stderr.endswith("run `iii migrate` first\n")

        assert run(tmp_path, "migrate", environment=environment).returncode == 0
        process = start(environment=environment)
        wait_until_up(process)
        assert process.terminate() == 0, process.output


def test_migrate_prepares_every_embedded_database(tmp_path: Path) -> None:
    done = run(tmp_path, "migrate", "--data-dir", "data")
    assert done.returncode == 0, done.stderr
    names = {each.name for each in (tmp_path / "data").iterdir()}
    assert {"engine.sqlite3", "system.sqlite3"} <= names
    again = run(tmp_path, "migrate", "--data-dir", "data")
    assert again.stdout.count("No migrations to apply.") == 2

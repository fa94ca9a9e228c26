"""The program `iii`: starts an engine, or does one of the small jobs around it.

Nothing heavy is imported before it is known what is wanted: `--version` and `--help` need neither
Django nor a config file.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import engine

DEFAULT_GRACE_S: Final = 10.0
SERVERS: Final = ("picows", "uvicorn", "daphne")
"""The same as `engine.server.base.SERVER_NAMES`, which takes longer to import."""

LOG_LEVELS: Final = ("trace", "debug", "info", "warning", "error")

FAILED: Final = 1
INTERRUPTED: Final = 130

EPILOG: Final = """\
Without a command the engine starts. It reads --config FILE, else ./iii-config.yaml, else
./config.yaml, else runs with the default modules. Environment: III_DATA_DIR, III_HOST,
III_CONSOLE_PORT, DATABASE_URL, REDIS_URL, SECRET_KEY, and whatever the config file names as
${NAME:default}.
"""


Command: TypeAlias = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None, *, prog: str = "iii") -> int:
    """Run the program; return its exit code: 0, 1 for failure, 2 for wrong usage."""
    options = build_parser(prog).parse_args(arguments)
    if options.use_default_config and options.config is not None:
        options.parser.error("--use-default-config and --config exclude each other")
    run: Command = options.run
    try:
        return run(options)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has had enough (`iii modules | head`). Python would complain
        # once more when it flushes at exit.
        sys.stdout = None
        return FAILED


def build_parser(prog: str) -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="An iii engine: workers connect, register functions and call each other.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=_serve, parser=parser, **SHARED_DEFAULTS)
    parser.add_argument("-v", "--version", action="version", version=engine.__version__)
    _add_config_options(parser)
    _add_data_dir(parser)
    parser.add_argument(
        "--host", metavar="ADDRESS", help="bind every port here, whatever the config says"
    )
    _add_console_options(parser)
    parser.add_argument(
        "--server", choices=SERVERS, default=SERVERS[0], help="what serves (default: %(default)s)"
    )
    parser.add_argument(
        "--grace",
        metavar="SECONDS",
        type=_seconds,
        default=DEFAULT_GRACE_S,
        help="time for running calls to finish at the end (default: %(default)g)",
    )
    parser.add_argument("--log-level", choices=LOG_LEVELS, default="info", help="least level shown")
    parser.add_argument("--log-format", choices=("text", "json"), default="text")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add_check(commands)
    _add_modules(commands)
    _add_trigger(commands)
    _add_migrate(commands)
    _add_backup(commands)
    _add_restore(commands)
    return parser


SHARED_DEFAULTS: Final[dict[str, Any]] = {
    "config": None,
    "use_default_config": False,
    "data_dir": None,
}
"""What options mean that may stand before or behind a command, when they stand nowhere."""


def _add_config_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-c",
        "--config",
        metavar="FILE",
        type=Path,
        default=argparse.SUPPRESS,
        help="the config file",
    )
    parser.add_argument(
        "--use-default-config",
        action="store_true",
        default=argparse.SUPPRESS,
        help="run the default modules even if there is a config file",
    )
    parser.add_argument(
        "--no-update-check",
        action="store_true",
        help="accepted for compatibility: this engine never calls home",
    )


def _add_data_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data-dir",
        metavar="DIR",
        type=Path,
        default=argparse.SUPPRESS,
        help="where databases live (default: $III_DATA_DIR, else ./iii-data)",
    )


def _add_console_options(parser: argparse.ArgumentParser) -> None:
    console = parser.add_mutually_exclusive_group()
    console.add_argument(
        "--console-port",
        metavar="PORT",
        type=_port_or_any,
        help="port of the console, 0 for any free one (default: $III_CONSOLE_PORT, else 3113)",
    )
    console.add_argument("--no-console", action="store_true", help="do not serve the console")


def _add_check(commands: Any) -> None:
    text = "say everything that is wrong with a config file; start nothing"
    parser = commands.add_parser("check", help=text, description=text, allow_abbrev=False)
    _add_config_options(parser)
    parser.set_defaults(run=_check)


def _add_modules(commands: Any) -> None:
    text = "list modules, their class paths, options and adapters"
    parser = commands.add_parser("modules", help=text, description=text, allow_abbrev=False)
    parser.add_argument("module", nargs="?", metavar="CLASS", help="only this one, with options")
    parser.set_defaults(run=_modules)


def _add_trigger(commands: Any) -> None:
    text = "call one function of a running engine and print its result"
    parser = commands.add_parser("trigger", help=text, description=text, allow_abbrev=False)
    parser.add_argument("--function-id", required=True, metavar="ID")
    parser.add_argument(
        "--payload", type=_json, default={}, metavar="JSON", help="(default: an empty object)"
    )
    parser.add_argument("--address", default="localhost", help="(default: %(default)s)")
    parser.add_argument("--port", type=_port, default=49134, help="(default: %(default)s)")
    parser.add_argument(
        "--timeout-ms", type=_milliseconds, default=30_000, help="(default: %(default)s)"
    )
    parser.set_defaults(run=_trigger)


def _add_migrate(commands: Any) -> None:
    text = "bring the tables of every database up to date"
    parser = commands.add_parser("migrate", help=text, description=text, allow_abbrev=False)
    _add_data_dir(parser)
    parser.set_defaults(run=_migrate)


def _add_backup(commands: Any) -> None:
    text = "write what the engine keeps into one file, while it runs"
    parser = commands.add_parser("backup", help=text, description=text, allow_abbrev=False)
    parser.add_argument("file", type=Path, metavar="FILE", help="a SQLite file, made anew")
    parser.add_argument("--force", action="store_true", help="replace FILE if it exists")
    _add_data_dir(parser)
    parser.set_defaults(run=_backup)


def _add_restore(commands: Any) -> None:
    text = "fill the database of an engine that is stopped from a file of `iii backup`"
    parser = commands.add_parser("restore", help=text, description=text, allow_abbrev=False)
    parser.add_argument("file", type=Path, metavar="FILE", help="made by `iii backup`")
    parser.add_argument(
        "--force", action="store_true", help="replace what the database holds already"
    )
    _add_data_dir(parser)
    parser.set_defaults(run=_restore)


# --- commands: each imports what it needs, and nothing else does ------------------------------


def _serve(options: argparse.Namespace) -> int:
    from iiiproject.serve import ServeOptions, serve

    return serve(
        ServeOptions(
            config_file=options.config,
            uses_default_config=options.use_default_config,
            data_dir=options.data_dir,
            host=options.host,
            console_port=options.console_port,
            has_console=not options.no_console,
            server=options.server,
            grace_s=options.grace,
            log_level=options.log_level,
            log_format=options.log_format,
        )
    )


def _check(options: argparse.Namespace) -> int:
    from iiiproject.check import check

    return check(options.config, uses_default_config=options.use_default_config)


def _modules(options: argparse.Namespace) -> int:
    from iiiproject.module_list import list_modules

    return list_modules(options.module)


def _trigger(options: argparse.Namespace) -> int:
    from iiiproject.call import call

    return call(
        options.function_id,
        options.payload,
        address=options.address,
        port=options.port,
        timeout_s=options.timeout_ms / 1000,
    )


def _migrate(options: argparse.Namespace) -> int:
    from iiiproject.serve import migrate

    return migrate(options.data_dir)


def _backup(options: argparse.Namespace) -> int:
    from iiiproject.backup import backup

    return backup(options.file, data_dir=options.data_dir, replaces=options.force)


def _restore(options: argparse.Namespace) -> int:
    from iiiproject.restore import restore

    return restore(options.file, data_dir=options.data_dir, replaces=options.force)


# --- values -----------------------------------------------------------------------------------


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return seconds


def _milliseconds(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of milliseconds")
    return int(text)


def _port(text: str) -> int:
    port = _port_or_any(text)
    if port == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port")
    return port


def _port_or_any(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port")
    return int(text)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"not JSON: {error}") from error


if __name__ == "__main__":
    sys.exit(main())

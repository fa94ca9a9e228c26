"""The published SDK versions under test, and the environment each of them runs in.

An environment is a folder of the cache (`.cache/sdks` in the repository root, or
`$III_TEST_CACHE`) that holds one version, installed by the ordinary client of its language.
A finished environment carries a mark, so that the next run starts at once.

`python -m tests.acceptance.sdks` prepares all of them ahead of the tests.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Literal

WORKERS: Final = Path(__file__).parent / "workers"
TOUR: Final = WORKERS / "tour"

# A cold `cargo build` of both Rust workers takes two to four minutes on two cores.
INSTALL_LIMIT_S: Final = 1200

_MARK: Final = ".ready"


class InstallationFailed(Exception):
    """An SDK could not be installed; the message is what its client printed."""


@dataclass(frozen=True, slots=True)
class Sdk:
    """One published version of the SDK of one language."""

    language: Literal["node", "python", "rust"]
    version: str

    def __str__(self) -> str:
        return f"{self.language}-{self.version}"

    @property
    def release(self) -> tuple[int, ...]:
        return tuple(int(part) for part in self.version.split("."))

    @property
    def has_list_helpers(self) -> bool:
        """`list_functions` and `list_workers`; later versions call the engine functions by id."""
        return self.release < (0, 11, 4)

    @property
    def has_list_triggers(self) -> bool:
        """`list_triggers`, which came later than the other list helpers and went with them."""
        first = (0, 3, 0) if self.language == "rust" else (0, 9, 0)
        return self.has_list_helpers and self.release >= first

    @property
    def has_functions_available(self) -> bool:
        """`on_functions_available`, dropped together with the list helpers."""
        return self.release < (0, 11, 4)

    @property
    def opens_second_worker_connection(self) -> bool:
        """Its telemetry goes over a silent connection of its own to the workers' path."""
        if self.language == "node":
            return self.release < (0, 11, 0)
        return self.release in _PYTHON_WITH_TELEMETRY_EXTRA

    @property
    def unregisters_functions(self) -> bool:
        """A function can be taken back while its worker stays connected."""
        if self.language == "rust":
            return self.release > (0, 3, 0)
        return self.release > (0, 2, 0)

    @property
    def hears_unregistered_triggers(self) -> bool:
        """A provider is told when a trigger of its type goes away."""
        if self.language == "python":
            return self.release >= (0, 19, 0)
        if self.language == "node":
            return self.release >= (0, 22, 0)
        return self.release > (0, 3, 0)

    @property
    def has_channels(self) -> bool:
        """Data channels."""
        return self.release >= (0, 4, 0)

    @property
    def has_http_helper(self) -> bool:
        """`http()`, which turns a handler's two channels into a request and a response."""
        return self.release >= (0, 9, 0) and self.language != "rust"

    @property
    def has_own_streams(self) -> bool:
        """A worker may keep the items of a stream itself: `createStream`, `create_stream`."""
        if self.language == "node":
            return True
        return self.language == "python" and self.release >= (0, 9, 0)

    @property
    def has_enqueue_action(self) -> bool:
        """A call may be put into a named queue: `TriggerAction.Enqueue`."""
        return self.release >= (0, 9, 0)

    @property
    def reattaches(self) -> bool:
        """A reconnecting worker names its former connection, so that it is dropped at once."""
        return self.release >= (0, 21, 8)


NODE: Final = tuple(
    Sdk("node", version)
    for version in ("0.2.1", "0.3.0", "0.9.0", "0.11.2", "0.11.6", "0.22.0", "0.22.1")
)
PYTHON: Final = tuple(
    Sdk("python", version)
    for version in (
        "0.0.2", "0.1.0", "0.2.0", "0.4.1", "0.8.0", "0.9.0", "0.11.6", "0.21.8", "0.22.1",
        "0.24.0", "0.25.0",
    )
)  # fmt: skip
RUST: Final = tuple(Sdk("rust", version) for version in ("0.3.0", "0.25.0"))

# Under the Elastic License 2.0: they are installed for the tests, and used as they come.
STREAM_CLIENTS: Final = {"node": "0.17.6-beta.187", "browser": "0.17.14-beta.196"}

EVERY_SDK: Final = (*NODE, *PYTHON, *RUST)
NEWEST: Final = (NODE[-1], PYTHON[-1], RUST[-1])
OLDEST: Final = (NODE[0], PYTHON[0], RUST[0])

# Telemetry is an extra of these Python versions; with it they open a second, silent connection.
_PYTHON_WITH_TELEMETRY_EXTRA: Final = {(0, 4, 1), (0, 8, 0), (0, 9, 0)}


def cache_folder() -> Path:
    """Return the folder that keeps the environments between runs."""
    configured = os.environ.get("III_TEST_CACHE")
    root = Path(__file__).parents[2]
    return Path(configured).resolve() if configured else root / ".cache" / "sdks"


def worker_command(sdk: Sdk) -> list[str]:
    """Return the command that runs the acceptance worker of this version.

    Raises:
        InstallationFailed: the version could not be installed or built.
    """
    match sdk.language:
        case "node":
            return ["node", str(_node_environment(sdk) / "worker.mjs")]
        case "python":
            script = "iii_url.py" if sdk.release < (0, 9, 0) else "register_worker.py"
            python = _python_environment(str(sdk), _python_requirement(sdk))
            return [str(python), str(WORKERS / "python" / script)]
        case "rust":
            minor = sdk.release[1]
            return [str(_rust_environment() / "target" / "release" / f"worker-0-{minor}")]


def tour_commands() -> dict[str, tuple[list[str], Path]]:
    """Return how the workers of the README's tour are started: command and folder, by language.

    Raises:
        InstallationFailed: their dependencies could not be installed.
    """
    folder = _tour_environment()
    requirements = (TOUR / "requirements.txt").read_text().strip()
    python = _python_environment("tour-python", requirements)
    return {
        "typescript": (["npx", "tsx", "worker.ts"], folder),
        "python": ([str(python), "worker.py"], TOUR),
    }


def stream_client_command() -> list[str]:
    """Return the command that follows a stream with the published stream client for Node.

    Raises:
        InstallationFailed: it could not be installed.
    """
    return ["node", str(_stream_client_environment("node") / "node.mjs")]


def stream_client_pages() -> Path:
    """Return a folder with `browser.html`, and all that it loads, for a browser.

    Raises:
        InstallationFailed: the stream client for browsers could not be installed.
    """
    return _stream_client_environment("browser")


def _python_requirement(sdk: Sdk) -> str:
    extra = "[otel]" if sdk.release in _PYTHON_WITH_TELEMETRY_EXTRA else ""
    return f"iii-sdk{extra}=={sdk.version}"


@cache
def _node_environment(sdk: Sdk) -> Path:
    manifest = {"private": True, "type": "module", "dependencies": {"iii-sdk": sdk.version}}
    with _environment(str(sdk), json.dumps(manifest)) as (folder, is_ready):
        if not is_ready:
            (folder / "package.json").write_text(json.dumps(manifest))
            _npm_install(folder)
        # Node resolves packages from the folder of the script, so the script goes there.
        script = "init.mjs" if sdk.release < (0, 9, 0) else "register_worker.mjs"
        shutil.copyfile(WORKERS / "node" / script, folder / "worker.mjs")
        return folder


@cache
def _tour_environment() -> Path:
    manifest = (TOUR / "package.json").read_text()
    with _environment("tour-node", manifest) as (folder, is_ready):
        if not is_ready:
            (folder / "package.json").write_text(manifest)
            _npm_install(folder)
        shutil.copyfile(TOUR / "worker.ts", folder / "worker.ts")
        return folder


@cache
def _stream_client_environment(kind: Literal["node", "browser"]) -> Path:
    dependencies = {f"@motiadev/stream-client-{kind}": STREAM_CLIENTS[kind]}
    manifest = json.dumps({"private": True, "type": "module", "dependencies": dependencies})
    with _environment(f"stream-client-{kind}", manifest) as (folder, is_ready):
        if not is_ready:
            (folder / "package.json").write_text(manifest)
            _npm_install(folder)
        for script in (WORKERS / "stream_client").iterdir():
            shutil.copyfile(script, folder / script.name)
        return folder


def _npm_install(folder: Path) -> None:
    _install(
        ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"],
        folder,
    )


@cache
def _python_environment(name: str, requirement: str) -> Path:
    installer = _pip()
    with _environment(name, f"{requirement} on {sys.version}") as (folder, is_ready):
        python = folder / "bin" / "python"
        if not is_ready:
            venv.create(folder, with_pip=False, symlinks=True)
            options = ["--quiet", "--no-compile", "--disable-pip-version-check"]
            _install(
                [*installer, "--python", str(python), "install", *options, requirement], folder
            )
        return python


@cache
def _pip() -> tuple[str, ...]:
    """Return the command of a pip that can fill other environments."""
    with _environment("pip", sys.version) as (folder, is_ready):
        if not is_ready:
            _install([sys.executable, "-m", "venv", str(folder)], folder)
        return (str(folder / "bin" / "python"), "-m", "pip")


@cache
def _rust_environment() -> Path:
    sources = sorted(
        path for path in (WORKERS / "rust").rglob("*") if path.suffix in {".rs", ".toml"}
    )
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    with _environment("rust", digest, keep="target") as (folder, is_ready):
        if not is_ready:
            for path in sources:
                copy = folder / path.relative_to(WORKERS / "rust")
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)
            target = {"CARGO_TARGET_DIR": str(folder / "target")}
            _install(["cargo", "build", "--release", "--quiet"], folder, target)
        return folder


@contextmanager
def _environment(name: str, content: str, keep: str | None = None) -> Iterator[tuple[Path, bool]]:
    """Yield the folder of an environment and whether it already holds `content`.

    A folder that is unfinished or holds something else is emptied first, but for `keep`. It is
    marked as finished when the block ends well. Other processes wait meanwhile.
    """
    root = cache_folder()
    root.mkdir(parents=True, exist_ok=True)
    folder = root / name
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        mark = folder / _MARK
        is_ready = mark.is_file() and mark.read_text() == content
        if not is_ready:
            _empty(folder, keep)
        yield folder, is_ready
        mark.write_text(content)


def _empty(folder: Path, keep: str | None) -> None:
    folder.mkdir(exist_ok=True)
    for entry in folder.iterdir():
        if entry.name == keep:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _install(command: Sequence[str], folder: Path, extra: Mapping[str, str] | None = None) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **(extra or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=INSTALL_LIMIT_S,
            check=False,
        )
    except FileNotFoundError as error:
        raise InstallationFailed(f"{command[0]} is not on PATH: install it first") from error
    except subprocess.TimeoutExpired as error:
        raise InstallationFailed(f"{' '.join(command)}: no end after {error.timeout} s") from error
    if done.returncode != 0:
        raise InstallationFailed(
            f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}"
        )


def main() -> int:
    """Prepare every environment, say how long each took, and return an exit code."""
    failures = 0
    for sdk in EVERY_SDK:
        started = time.monotonic()
        try:
            worker_command(sdk)
        except InstallationFailed as error:
            failures += 1
            print(f"{sdk}: {error}")
        else:
            print(f"{sdk}: ready after {time.monotonic() - started:.1f} s", flush=True)
    others = {
        "tour": tour_commands,
        "stream client for Node": stream_client_command,
        "stream client for browsers": stream_client_pages,
    }
    for name, prepare in others.items():
        try:
            prepare()
        except InstallationFailed as error:
            failures += 1
            print(f"{name}: {error}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

"""Builds the wheel; the modules of the hot path are compiled, where there is a C compiler.

A checkout and an editable installation run the sources as they are. So does a wheel that was built
without a compiler: it does the same, only slower. CONTRIBUTING.md says what a module must heed to
be compiled. Environment:

- III_COMPILE: 0 never compiles, 1 takes nothing less.
- III_COMPILE_CACHE: a directory that keeps what need not be compiled again.
"""

from __future__ import annotations

import os
import shutil
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

TOOLS = ["mypy>=2.4,<3", "setuptools"]
"""What compiles: mypyc is a part of mypy."""

GROUP = "iii_engine"
"""The compiled modules are parts of one library of this name, so that they call each other in C."""


class CompileHook(BuildHookInterface):  # type: ignore[type-arg]
    """Adds the compiled modules to a wheel, beside their sources."""

    _temporary: Path | None = None

    def dependencies(self) -> list[str]:
        """Return what the build environment needs."""
        return TOOLS if _missing() is None else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and have the results packed."""
        if version == "editable" or os.environ.get("III_COMPILE") == "0":
            return
        if (missing := _missing()) is not None:
            if os.environ.get("III_COMPILE") == "1":
                raise SystemExit(f"III_COMPILE=1, but there is {missing}")
            self.app.display_warning(f"There is {missing}: the engine is not compiled, and slower.")
            return
        self.app.display_info("Compiling the hot path (two minutes) …")
        kept = os.environ.get("III_COMPILE_CACHE")
        directory = Path(kept or tempfile.mkdtemp(prefix="iii-compile-")).resolve()
        self._temporary = None if kept else directory
        for library in _compile(self.config["modules"], Path(self.root), directory):
            inside = library.relative_to(directory / "lib")
            build_data["force_include"][str(library)] = str(inside)
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was packed."""
        if self._temporary is not None:
            shutil.rmtree(self._temporary)


def _missing() -> str | None:
    """Return what is not there to compile with."""
    command = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    compiler = command.split()[0]
    if shutil.which(compiler) is None:
        return f"no C compiler ({compiler})"
    header = Path(sysconfig.get_path("include")) / "Python.h"
    return None if header.exists() else f"no {header} (Debian: python3-dev)"


def _compile(modules: list[str], root: Path, directory: Path) -> list[Path]:
    """Compile modules; return the libraries, below `directory`/lib as they belong into a wheel.

    Raises:
        SystemExit: a module cannot be compiled; why was printed.
    """
    from mypyc.build import mypycify
    from setuptools import Distribution

    options = [
        f"--cache-dir={directory / 'mypy'}",
        "--config-file=",
        "--no-site-packages",
        "--ignore-missing-imports",
        "--follow-imports=silent",
    ]
    was_at = Path.cwd()
    os.chdir(root)
    try:
        distribution = Distribution(
            {
                "name": GROUP,
                "ext_modules": mypycify(
                    [*options, *modules],
                    opt_level="3",
                    debug_level="0",
                    target_dir=str(directory / "c"),
                    group_name=GROUP,
                ),
            }
        )
        command = distribution.get_command_obj("build_ext")
        command.build_lib = str(directory / "lib")
        command.build_temp = str(directory / "objects")
        command.ensure_finalized()
        command.run()
    finally:
        os.chdir(was_at)
    return [Path(path) for path in command.get_outputs()]

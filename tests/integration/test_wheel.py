"""The wheel: without a compiler it is built too, of the sources alone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias
from zipfile import ZipFile

import pytest

ROOT: Final = Path(__file__).parents[2]

Build: TypeAlias = Callable[[dict[str, str]], subprocess.CompletedProcess[str]]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    def build(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "build", "--wheel", "--no-isolation"]
        settings = {name: value for name, value in os.environ.items() if name != "III_COMPILE"}
        return subprocess.run(
            [*command, "--outdir", str(tmp_path), str(ROOT)],
            env=settings | environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    return build


def test_without_a_compiler_it_is_of_the_sources_and_says_so(build: Build, tmp_path: Path) -> None:
    done = build({"CC": "no-such-compiler"})
    assert done.returncode == 0, done.stderr
    assert "no C compiler (no-such-compiler): the engine is not compiled" in done.stderr
    [wheel] = tmp_path.glob("*.whl")
    assert wheel.name.endswith("-py3-none-any.whl")
    names = ZipFile(wheel).namelist()
    assert "engine/core/invocations.py" in names
    assert [name for name in names if name.endswith(".so")] == []


def test_it_is_not_compiled_if_that_is_not_wanted(build: Build, tmp_path: Path) -> None:
    assert build({"III_COMPILE": "0"}).returncode == 0
    [wheel] = tmp_path.glob("*.whl")
    assert wheel.name.endswith("-py3-none-any.whl")


def test_it_is_not_built_if_it_has_to_be_compiled_and_cannot(build: Build, tmp_path: Path) -> None:
    done = build({"III_COMPILE": "1", "CC": "no-such-compiler"})
    assert done.returncode != 0
    assert "III_COMPILE=1, but there is no C compiler (no-such-compiler)" in done.stderr
    assert list(tmp_path.glob("*.whl")) == []

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.core.errors import StartError
from iiiproject.data_dir import locked


def test_the_directory_is_made_and_holds_the_process_id(tmp_path: Path) -> None:
    directory = tmp_path / "deep" / "data"
    with locked(directory):
        assert (directory / "engine.lock").read_text() == f"{os.getpid()}\n"


def test_a_second_engine_is_refused_and_told_who_runs(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(StartError) as caught, locked(tmp_path):
        pass
    assert caught.value.message == (
        f"another engine (process {os.getpid()}) uses the data directory {tmp_path}: "
        "stop it, or give this one a directory of its own with --data-dir"
    )


def test_the_directory_is_free_again_afterwards(tmp_path: Path) -> None:
    (tmp_path / "engine.lock").write_text("a longer text that a dead engine left behind\n")
    with pytest.raises(ZeroDivisionError), locked(tmp_path):
        raise ZeroDivisionError
    with locked(tmp_path):
        assert (tmp_path / "engine.lock").read_text() == f"{os.getpid()}\n"


def test_a_path_that_cannot_be_a_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartError) as caught, locked(tmp_path / "file"):
        pass
    assert caught.value.message == (
        f"the data directory {tmp_path}/file cannot be used (File exists): "
        "name another with --data-dir or III_DATA_DIR, or change its owner"
    )

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from helpers import ROOT

from busi_demo.training.recipe import main
from busi_demo.types import InputError


@pytest.fixture(autouse=True)
def handler():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def status_of(train, resumable: bool = False) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(train, resumable)
    return stopped.value.code


def test_an_input_error_is_one_line_and_status_2(capsys):
    def train() -> None:
        raise InputError("There is no such folder.")

    assert status_of(train) == 2
    assert capsys.readouterr().err == "error: There is no such folder.\n"


FULL = OSError(28, "No space left on device", "run/best.pt")


@pytest.mark.parametrize(("error", "resumable", "message"), [
    (FloatingPointError("The loss is nan."), True, "The loss is nan."),
    (FULL, True, "Stopped (No space left on device at run/best.pt): mend this, and repeat the command with --resume."),
    (FULL, False, "Stopped (No space left on device at run/best.pt): mend this, and repeat the command."),
])  # fmt: skip
def test_an_error_of_the_system_is_one_line(capsys, error, resumable, message):
    def train() -> None:
        raise error

    assert status_of(train, resumable) == 2
    assert capsys.readouterr().err == f"error: {message}\n"


def test_an_error_of_the_program_is_not_hidden():
    def train() -> None:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        main(train)


def test_sigterm_ends_a_run_like_ctrl_c():
    """In a process of its own: a signal that arrives late would end the one that runs the tests."""
    script = """
import os, signal, time
from busi_demo.training.recipe import main

def train():
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)

main(train)
"""
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, timeout=50, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")

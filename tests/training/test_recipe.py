from __future__ import annotations

import os
import signal
import time

import pytest

from busi_demo.training.recipe import main
from busi_demo.types import InputError


@pytest.fixture(autouse=True)
def handler():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def status_of(train) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(train)
    return stopped.value.code


def test_an_input_error_is_one_line_and_status_2(capsys):
    def train() -> None:
        raise InputError("There is no such folder.")

    assert status_of(train) == 2
    assert capsys.readouterr().err == "error: There is no such folder.\n"


@pytest.mark.parametrize("error", [FloatingPointError("The loss is nan."), OSError(28, "No space left on device")])
def test_an_error_of_the_system_is_one_line(capsys, error):
    def train() -> None:
        raise error

    assert status_of(train) == 2
    assert capsys.readouterr().err == f"error: {error}\n"


def test_an_error_of_the_program_is_not_hidden():
    def train() -> None:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        main(train)


def test_sigterm_ends_a_run_like_ctrl_c():
    def train() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
        pytest.fail("went on")

    assert status_of(train) == 130

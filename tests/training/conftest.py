"""Simulated images are made once for all tests of training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from members import make_member

from busi_demo.data import phantom


@pytest.fixture(scope="session", autouse=True)
def phantoms_made_once() -> Iterator[None]:
    """The same samples are read by most runs; their pixels depend on class, seed and size alone."""
    make = cache(phantom.make_phantom)

    def copied(*arguments: object) -> phantom.Phantom:
        made = make(*arguments)
        return replace(made, image=made.image.copy(), mask=made.mask.copy())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phantom, "make_phantom", copied)
        yield


@pytest.fixture
def members(tmp_path) -> list[Path]:
    """Folders of two networks, see `members.make_member`: of fold 3, then of fold 0."""
    return [make_member(tmp_path / str(fold), fold) for fold in (3, 0)]

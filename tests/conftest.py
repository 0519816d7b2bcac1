"""Fixtures of the whole suite: a model and a weights folder for each approach, made once."""

from __future__ import annotations

import os
import runpy
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import ROOT, fill_weights, write_busi

from busi_demo import imaging
from busi_demo.data import facts, splits
from busi_demo.data.duplicates import fingerprint
from busi_demo.evaluation import evaluate
from busi_demo.gallery import real
from busi_demo.imaging import apart
from busi_demo.imaging.preprocess import Preprocess
from busi_demo.inference.predictor import Predictor, load_predictor
from busi_demo.models import APPROACHES, create_model
from busi_demo.models.base import ApproachModel
from busi_demo.training import sources
from busi_demo.weights import known_images
from busi_demo.weights import store as weights
from busi_demo.weights.known_images import hash_text
from busi_demo.weights.store import save_weights

# For such small inputs several threads are slower than one, here and in the scripts that tests start.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["BUSI_ENGINE"] = "eager"  # compiling such small networks takes longer than running them

TESTS = Path(__file__).parent
SLOW = ("training", "cli", "ui", "publishing", "test_deploy.py", "test_fifth_approach.py", "test_packaging.py",
        "test_privacy.py", "test_read_only.py", "test_readme.py", "test_same_answer.py", "test_security.py",
        "weights/test_shipped.py",
        "inference/test_consensus_predictor.py", "evaluation/card/test_card.py")  # fmt: skip
"""Folders and files, relative to `tests`, that train, start processes or the app, or run the networks at full size."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests by folder. The longest files start first, so that no process waits for the other one at the end;
    `--dist loadfile` keeps those of a file in one process, so that no fixture of a module is made twice."""
    for item in items:
        place = item.path.relative_to(TESTS)
        if place.parts[0] == "browser":
            item.add_marker("browser")
        elif place.as_posix() in SLOW or place.parts[0] in SLOW:
            item.add_marker("slow")
    items.sort(key=lambda item: (not item.get_closest_marker("browser"), not item.get_closest_marker("slow")))


@pytest.fixture(scope="session")
def models() -> dict[str, ApproachModel]:
    """Every approach in evaluation mode, with the weights of `fill_weights`. Copy a model before changing it."""
    return {key: fill_weights(create_model(key)).eval() for key in APPROACHES}


@pytest.fixture(scope="session")
def weights_folder(models: dict[str, ApproachModel], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained weights of every approach for inputs of 64 px, saved as training saves them."""
    folder = tmp_path_factory.mktemp("weights")
    for key, model in models.items():
        save_weights(folder / key, model, Preprocess(size=64), facts={"metrics": {}, "data": {}, "training": {}})
    return folder


@pytest.fixture
def stand_in_weights(weights_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Untrained weights in place of those of the project. Predictors are kept by folder, so tests share them."""
    monkeypatch.setattr(weights, "WEIGHTS_FOLDER", weights_folder)


@pytest.fixture(scope="session")
def predictors(weights_folder: Path) -> dict[str, Predictor]:
    """Every approach of `weights_folder`, ready to answer."""
    return {key: load_predictor(key, weights_folder) for key in APPROACHES}


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The path of every file that is decoded from now on, in order."""
    paths: list[str] = []
    decode = imaging.decode

    def count(source: imaging.Undecoded, *frame: int | None) -> Any:
        if isinstance(source, str | Path):  # arrays, such as a mirrored image, are not decoded
            paths.append(str(source))
        return decode(source, *frame)

    monkeypatch.setattr(imaging, "decode", count)
    return paths


@pytest.fixture
def put_on_list(monkeypatch: pytest.MonkeyPatch) -> Callable[..., known_images.KnownImage]:
    """Make a picture the only known image: put_on_list(pixels, split)."""

    def put(pixels: np.ndarray, split: str = "train") -> known_images.KnownImage:
        phash = hash_text(known_images.image_hashes(pixels)[0])
        known = known_images.KnownImage("benign (1).png", "BUSI", "benign", split, phash)
        monkeypatch.setattr(known_images, "load_known", lambda folder: known_images.KnownImages((known,)))
        return known

    return put


@pytest.fixture
def publish(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Make a picture one of the published images, none of which are known else: publish(pixels, label, name, **columns
    of the notes)."""
    notes: dict[str, dict[str, str]] = {}
    locked: dict[str, dict[str, str]] = {}

    def add(pixels: np.ndarray, label: str, name: str, is_locked: bool = False, **columns: str) -> None:
        phash = hash_text(fingerprint(pixels).hashes[0])
        empty = {"known_group": name, "label_conflict": "0", "several_masks": "0"}
        notes[name] = {"image": name, "class": label, "phash": phash, **empty, **columns}
        if is_locked:
            locked[name] = {"class": label, "phash": phash}
        facts._hashed_notes.cache_clear()

    monkeypatch.setattr(facts, "image_notes", lambda: notes)
    for module in (facts, splits, sources, real, evaluate):
        monkeypatch.setattr(module, "locked_test", lambda: locked)
    facts._hashed_notes.cache_clear()
    yield add
    facts._hashed_notes.cache_clear()


@pytest.fixture
def busi(tmp_path: Path) -> Path:
    """A folder in BUSI layout: 4 benign, 3 malignant, 2 normal images of 72 x 96 pixels."""
    return write_busi(tmp_path / "busi", {"benign": 4, "malignant": 3, "normal": 2})


@pytest.fixture
def noise() -> torch.Tensor:
    """float32 (3, 1, 64, 64): three different inputs of a network."""
    return torch.randn(3, 1, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.fixture(params=list(APPROACHES))
def approach(request: pytest.FixtureRequest) -> str:
    """The key of each approach in turn."""
    return request.param


@pytest.fixture
def run_script(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple]:
    """Run a script of the project as `python SCRIPT ARGUMENTS...` would, in this process (it need not import torch
    anew); returns its exit status, standard output and standard error."""

    def run(script: str, *arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
        folder = ROOT if Path(script).name == "__main__.py" else (ROOT / script).parent
        monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
        on_terminate, status = signal.getsignal(signal.SIGTERM), 0
        try:
            runpy.run_path(str(ROOT / script), run_name="__main__")
        except SystemExit as stopped:
            status = stopped.code or 0
        finally:
            signal.signal(signal.SIGTERM, on_terminate)
            apart.decode_here()
        return status, *capsys.readouterr()

    return run

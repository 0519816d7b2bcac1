"""The app on a read-only file system, where only the temporary folder can be written, as in a hardened container."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from gradio_client import Client, handle_file
from helpers import ROOT, picture, save_grey
from PIL import Image
from serving import serve_app

# Run a command in a mount namespace in which only $TMPDIR can be written, started in the project.
READ_ONLY = ["unshare", "--map-root-user", "--mount", "sh", "-c",
             'mount --bind "$TMPDIR" "$TMPDIR" && mount --rbind / / && mount -o remount,bind,ro / && cd "$0" && '
             '! touch busi_demo/written 2>/dev/null && touch "$TMPDIR/written" && exec "$@"', str(ROOT)]  # fmt: skip
NOWHERE = "/proc/no/such/place"  # not even root can create it
CACHES = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "HF_HOME", "MPLCONFIGDIR", "TORCH_HOME", "GRADIO_TEMP_DIR")


@pytest.fixture
def environment(tmp_path) -> dict[str, str]:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    kept = {name: value for name, value in os.environ.items() if name not in CACHES}
    return {**kept, "HOME": NOWHERE, "TMPDIR": str(temporary), "PYTHONDONTWRITEBYTECODE": "1"}


def answers(url: str, folder: Path) -> bool:
    """Whether the endpoint returns figure, probabilities and numbers."""
    scan = save_grey(folder / "scan.png", picture(1))
    client = Client(url, verbose=False, download_files=str(folder))
    figure, probabilities, record = client.predict(handle_file(scan), "multitask_cnn", api_name="/analyse")[:3]
    with Image.open(figure) as image:
        wide = image.width > 1000
    return wide and probabilities["label"] == record["predicted_class"]


def test_it_starts_and_answers_on_a_read_only_file_system(environment, weights_folder, tmp_path):
    if subprocess.run([*READ_ONLY, "true"], env=environment, capture_output=True).returncode:
        pytest.skip("this machine does not allow mounts, not even in a separate namespace")
    with serve_app(tmp_path, {**environment, "BUSI_DEMO_WEIGHTS": str(weights_folder)}, before=READ_ONLY) as url:
        assert answers(url, tmp_path)
    assert "Traceback" not in (tmp_path / "log.txt").read_text()


def test_it_starts_and_answers_without_a_home_for_caches(environment, weights_folder, tmp_path):
    places = {name: NOWHERE for name in CACHES if name != "GRADIO_TEMP_DIR"}
    with serve_app(tmp_path, {**environment, **places, "BUSI_DEMO_WEIGHTS": str(weights_folder)}) as url:
        assert answers(url, tmp_path)
    assert "Traceback" not in (tmp_path / "log.txt").read_text()

"""Two copies of the app behind nginx, as deploy/nginx.conf describes it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml
from gradio_client import Client, handle_file
from helpers import ROOT, picture, save_grey
from serving import free_port, serve_app

from busi_demo.ui.limits import LARGEST_REQUEST_MB

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


@pytest.fixture
def behind_nginx(tmp_path: Path, weights_folder: Path) -> Iterator[tuple[str, list[str]]]:
    """The address of nginx, and those of the two copies behind it."""
    if NGINX is None:
        pytest.skip("nginx is not installed")
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    settings = [
        {**os.environ, "BUSI_DEMO_WEIGHTS": str(weights_folder), "GRADIO_TEMP_DIR": str(folder / "files")}
        for folder in folders
    ]
    with serve_app(folders[0], settings[0]) as one, serve_app(folders[1], settings[1]) as two:
        port, text = free_port(), (ROOT / "deploy" / "nginx.conf").read_text()
        for old, new in (("7860", port), ("7861", httpx.URL(one).port), ("7862", httpx.URL(two).port)):
            assert f"127.0.0.1:{old}" in text
            text = text.replace(f"127.0.0.1:{old}", f"127.0.0.1:{new}")
        (tmp_path / "nginx.conf").write_text(text)
        words = [NGINX, "-c", str(tmp_path / "nginx.conf"), "-p", str(tmp_path), "-g", "daemon off;"]
        process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
        try:
            end = time.monotonic() + 30
            while time.monotonic() < end:
                try:
                    httpx.get(f"http://127.0.0.1:{port}/", timeout=30)
                    break
                except httpx.TransportError:
                    time.sleep(0.1)
            yield f"http://127.0.0.1:{port}/", [one, two]
        finally:
            process.terminate()
            process.wait()


def test_people_stay_with_one_copy_and_are_spread_over_both(behind_nginx, tmp_path, predictors):
    url, copies = behind_nginx
    image = save_grey(tmp_path / "scan.png", picture(3, 72, 96))

    figure, _, record = Client(url, verbose=False).predict(
        handle_file(image), "multitask_cnn", api_name="/analyse"
    )  # a program, without cookies
    expected = predictors["multitask_cnn"].predict(image)
    assert record["probabilities"] == pytest.approx(expected.probabilities, abs=1e-6)
    assert Path(figure).stat().st_size > 1000

    kept = []
    for _ in range(12):
        with httpx.Client(base_url=url) as person:
            page = person.get("/")
            assert "person" in page.cookies
            examples = re.findall(r'"path":"(/[^"]+\.(?:png|webp))"', page.text)
            assert examples and person.get(f"gradio_api/file={examples[0]}").status_code == 200
            with image.open("rb") as file:
                (path,) = person.post("gradio_api/upload", files={"files": ("scan.png", file)}).json()
            assert person.get(f"gradio_api/file={path}").status_code == 200  # the copy that has the upload
            kept.append([httpx.get(f"{copy}gradio_api/file={path}").status_code == 200 for copy in copies])
    assert all(sum(row) == 1 for row in kept) and {row.index(True) for row in kept} == {0, 1}


def test_the_files_for_containers_name_what_there_is():
    services = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"]
    ports = {str(service["command"][-1]) for name, service in services.items() if name != "nginx"}
    text = (ROOT / "deploy" / "nginx.conf").read_text()
    assert f"client_max_body_size {LARGEST_REQUEST_MB}m;" in text
    assert all(f"server 127.0.0.1:{port} " in text for port in ports) and len(ports) == 2
    copied = [line.split()[1:-1] for line in (ROOT / "deploy" / "Dockerfile").read_text().splitlines()
              if line.startswith("COPY requirements")]  # fmt: skip
    assert all((ROOT / name).is_file() for names in copied for name in names) and copied

"""What people upload: who can read it, and that nothing of it stays when the server ends, however it ends."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from gradio_client import Client, handle_file
from helpers import ROOT, picture, save_grey, wait_until_ended
from serving import free_port

from busi_demo.types import InputError
from busi_demo.ui.accounts import read_accounts

NAME = "Jane_Doe_1961.png"


def _heed_ctrl_c() -> None:
    """A shell ignores SIGINT for what it runs in the background, and children of the tests would inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def server(base: Path, weights: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The app with its files below `base`; yields the process and its address."""
    environment = {**os.environ, "GRADIO_TEMP_DIR": str(base), "BUSI_DEMO_WEIGHTS": str(weights)}
    port = free_port()
    words = [sys.executable, str(ROOT / "app.py"), "--port", str(port)]
    with (base.parent / "log.txt").open("a") as log:
        process = subprocess.Popen(
            words, env=environment, stdout=log, stderr=subprocess.STDOUT, text=True, preexec_fn=_heed_ctrl_c
        )
    try:
        end = time.monotonic() + 120
        while not (found := re.findall(r"runs at (http://\S+) until", (base.parent / "log.txt").read_text())):
            assert process.poll() is None and time.monotonic() < end, (base.parent / "log.txt").read_text()
            time.sleep(0.1)
        yield process, found[-1]
    finally:
        process.kill()
        process.wait()


def test_with_accounts_only_those_who_know_a_password_enter(base, weights_folder, tmp_path, monkeypatch):
    (tmp_path / "accounts.txt").write_text("ada:secret:word\n\n")
    monkeypatch.setenv("BUSI_AUTH_FILE", str(tmp_path / "accounts.txt"))
    with server(base, weights_folder) as (_, url), httpx.Client(base_url=url) as person:
        assert person.get("config").status_code == 401
        files = {"files": ("a.png", b"1")}
        assert person.post("gradio_api/upload", files=files).status_code == 401
        assert person.post("login", data={"username": "ada", "password": "secret"}).status_code == 400
        assert person.post("login", data={"username": "ada", "password": "secret:word"}).status_code == 200
        assert person.get("config").status_code == 200


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])  # with a byte order mark, as Notepad writes it
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_names_and_passwords_are_what_the_file_says(start, end, tmp_path, monkeypatch):
    monkeypatch.setenv("BUSI_AUTH_FILE", str(tmp_path / "accounts.txt"))
    lines = [b" ada : two  words ", b"", b"b\xc3\xa9a:\xe2\x80\xa8x\x0c"]
    (tmp_path / "accounts.txt").write_bytes(start + end.join(lines) + end)
    assert read_accounts() == [("ada", " two  words "), ("béa", "\u2028x\x0c")]


@pytest.mark.parametrize(("content", "sentence"), [
    ("ada\n", "Line 1 of the file that $BUSI_AUTH_FILE names is not NAME:PASSWORD."),
    ("ada:one\n:two\n", "Line 2 of"),
    ("\n", "holds no NAME:PASSWORD: nobody could enter."),
    (None, "cannot be read (No such file or directory)."),
])  # fmt: skip
def test_a_bad_file_of_accounts_gets_one_sentence(content, sentence, tmp_path, monkeypatch):
    monkeypatch.setenv("BUSI_AUTH_FILE", str(tmp_path / "accounts.txt"))
    if content is not None:
        (tmp_path / "accounts.txt").write_text(content)
    with pytest.raises(InputError, match=re.escape(sentence)) as error:
        read_accounts()
    assert "ada" not in str(error.value) and "two" not in str(error.value)


def folders(base: Path) -> list[Path]:
    return sorted(base.glob("busi_demo_uploads_*"))


def decoders(server: int) -> list[int]:
    """The processes that decode files for a server."""
    found = []
    for thread in Path(f"/proc/{server}/task").iterdir():
        with suppress(OSError):  # threads and processes end in the meantime
            for child in (thread / "children").read_text().split():
                if b"imaging.apart" in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.append(int(child))
    return found


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "files").mkdir()
    return tmp_path / "files"


def test_uploads_are_private_and_gone_when_the_server_ends(base, weights_folder, tmp_path):
    image = save_grey(tmp_path / NAME, picture(1, 72, 96))
    for number in (signal.SIGINT, signal.SIGTERM):
        with server(base, weights_folder) as (process, url):
            (folder,) = folders(base)
            Client(url, verbose=False).predict(handle_file(image), "multitask_cnn", api_name="/analyse")
            assert list(folder.rglob(NAME)) and stat.S_IMODE(folder.stat().st_mode) == 0o700
            process.send_signal(number)
            assert process.wait(60) == 0  # though networks are still compiled
        assert folders(base) == []
        (tmp_path / "log.txt").write_text((tmp_path / "log.txt").read_text().replace("runs at", "ran at"))
    assert NAME not in (tmp_path / "log.txt").read_text()


def test_what_a_killed_server_left_is_removed_by_the_next_one_and_what_a_running_one_has_stays(
    base, weights_folder, tmp_path
):
    with server(base, weights_folder) as (process, url):
        with save_grey(tmp_path / NAME, picture(1, 72, 96)).open("rb") as file:
            httpx.post(f"{url}gradio_api/upload", files={"files": (NAME, file)}).raise_for_status()
        (decoder,) = decoders(process.pid)
        process.kill()
        process.wait()
    (left,) = folders(base)
    assert list(left.rglob(NAME))
    script = (
        "from busi_demo.ui.uploads import keep_files_private as keep; import tempfile, time; "
        "print(keep(), flush=True); print(tempfile.gettempdir(), flush=True); "
    )
    words = [sys.executable, "-c", f"{script}time.sleep(60)"]
    environment = {**os.environ, "GRADIO_TEMP_DIR": str(base)}
    running = subprocess.Popen(words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        first = Path(running.stdout.readline().strip())  # type: ignore[union-attr]
        assert folders(base) == [first]
        assert Path(running.stdout.readline().strip()) == first  # type: ignore[union-attr]
        done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True)
        assert Path(done.stdout.splitlines()[0]) != first and folders(base) == [first]
    finally:
        running.kill()
        running.wait()
    wait_until_ended(decoder)

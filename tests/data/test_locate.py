from __future__ import annotations

from pathlib import Path

import kagglehub
import pytest
from helpers import write_busi

from busi_demo.__main__ import main
from busi_demo.data.locate import KAGGLE_DATASET, DataNotFoundError, data_at_hand, find_data, find_further, find_sets
from busi_demo.types import InputError


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Work in an empty folder, without $BUSI_DATA and without a network."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.delenv("BUSI_DATA", raising=False)

    def offline(name: str) -> str:
        raise ConnectionError("Name or service not known\nand much more")

    monkeypatch.setattr(kagglehub, "dataset_download", offline)


def data_set(path: Path) -> Path:
    return write_busi(path, {"benign": 1, "malignant": 1, "normal": 1})


@pytest.fixture
def all_four(tmp_path, monkeypatch):
    """A data set in each of the four places."""
    places = {name: data_set(tmp_path / name) for name in ("option", "environment", "download")}
    places["default"] = data_set(Path("data/Dataset_BUSI_with_GT"))
    monkeypatch.setenv("BUSI_DATA", str(places["environment"]))
    monkeypatch.setattr(kagglehub, "dataset_download", lambda name: str(places["download"]))
    return places


def test_the_order_of_the_four_ways(all_four, monkeypatch):
    assert find_data(all_four["option"]) == all_four["option"]
    assert find_data() == all_four["environment"]
    monkeypatch.delenv("BUSI_DATA")
    assert find_data() == all_four["default"]
    all_four["default"].rename("away")
    assert find_data() == all_four["download"]


def test_the_download_asks_for_busi(tmp_path, monkeypatch):
    asked = []
    root = data_set(tmp_path / "cache" / "Dataset_BUSI_with_GT")
    monkeypatch.setattr(kagglehub, "dataset_download", lambda name: asked.append(name) or str(root.parent))
    assert find_data() == root
    assert asked == [KAGGLE_DATASET] == ["aryashah2k/breast-ultrasound-images-dataset"]


def test_missing_data_give_one_message_that_names_all_four_ways():
    with pytest.raises(DataNotFoundError) as caught:
        find_data()
    message = str(caught.value)
    for way in ("--data DIR", "$BUSI_DATA", "data/Dataset_BUSI_with_GT", "kagglehub", "--data phantoms"):
        assert way in message
    assert "Name or service not known" in message and "\n" not in message


def test_the_parent_folder_is_accepted(tmp_path):
    root = data_set(tmp_path / "archive" / "Dataset_BUSI_with_GT")
    assert find_data(tmp_path / "archive") == root


def test_a_home_folder_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    root = data_set(tmp_path / "busi")
    assert find_data("~/busi") == root


def test_a_given_folder_that_is_missing_is_not_skipped(all_four, tmp_path):
    with pytest.raises(InputError, match=r"nowhere \(from --data\) is not a folder"):
        find_data(tmp_path / "nowhere")


def test_a_wrong_folder_in_the_environment_is_not_skipped(all_four, tmp_path, monkeypatch):
    (tmp_path / "pictures").mkdir()
    monkeypatch.setenv("BUSI_DATA", str(tmp_path / "pictures"))
    with pytest.raises(InputError, match=r"pictures \(from \$BUSI_DATA\) is not .*in BUSI layout"):
        find_data()


def test_the_data_at_hand_are_never_downloaded(all_four, tmp_path, monkeypatch):
    assert data_at_hand() == all_four["environment"]
    monkeypatch.delenv("BUSI_DATA")
    all_four["default"].rename("away")
    assert data_at_hand() is None


def test_a_wrong_folder_in_the_environment_is_named_before_the_gallery_is_filled(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("BUSI_DATA", str(tmp_path / "nowhere"))
    assert main(["examples"]) == 2
    assert "nowhere (from $BUSI_DATA) is not a folder" in capsys.readouterr().err


def test_data_sets_are_told_apart_by_name(tmp_path):
    first, second = data_set(tmp_path / "one" / "scans"), data_set(tmp_path / "two" / "others")
    assert find_further([first, second], main="BUSI") == {"scans": first, "others": second}
    assert list(find_sets(second, [first]).items()) == [("others", second), ("scans", first)]
    for again, main_name in ((data_set(tmp_path / "two" / "scans"), "BUSI"), (second, "scans"),
                        (data_set(tmp_path / "phantoms"), "BUSI")):  # fmt: skip
        with pytest.raises(
            InputError, match=r"\(from --extra\) has the name of another data set, .*: rename the folder"
        ):
            find_further([first, again], main_name)
    with pytest.raises(InputError, match=r"nowhere \(from --elsewhere\) is not a folder"):
        find_further(["nowhere"], "BUSI", "--elsewhere")

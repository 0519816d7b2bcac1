from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from helpers import ROOT, forget_mirrored
from safetensors.torch import load_file, save_file

from busi_demo.imaging.preprocess import Preprocess
from busi_demo.models import APPROACHES, approach_class, create_model
from busi_demo.models.ensemble import Ensemble
from busi_demo.models.two_stage import TwoStage
from busi_demo.types import CLASSES, InputError
from busi_demo.weights import store
from busi_demo.weights.calibration import Calibration
from busi_demo.weights.config import DetectorReference
from busi_demo.weights.start import identity, load_encoder, load_part
from busi_demo.weights.store import (
    CONFIG_FILE,
    MODEL_FILE,
    approach_folder,
    available_approaches,
    keep_previous,
    load_weights,
    read_config,
    reinitialised,
    save_weights,
    why_left_out,
)

KEY = "multitask_cnn"
TINY = {"decoder_width": 4, "class_width": 4, "dropout": 0.1}


@pytest.fixture
def saved(tmp_path):
    """A weights folder with one very small network."""
    torch.manual_seed(0)
    save_weights(
        tmp_path / KEY,
        create_model(KEY, **TINY),
        Preprocess(size=96, mean=0.3),
        threshold=0.4,
        calibration=Calibration(1.7, (0.1, 0.0, -0.2)),
        facts={"metrics": {"validation": {"accuracy": 0.9}}},
    )
    return tmp_path


def edit_config(folder: Path, **values) -> None:
    path = folder / KEY / CONFIG_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def edit_tensors(folder: Path, change) -> None:
    """Change the stored tensors and make the config describe the new file."""
    path = folder / KEY / MODEL_FILE
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    edit_config(folder, sha256=hashlib.sha256(path.read_bytes()).hexdigest())


def test_identity_names_the_file_and_follows_imagenet_over_several_trainings(saved):
    digest = hashlib.sha256((saved / KEY / MODEL_FILE).read_bytes()).hexdigest()
    found = identity(saved / KEY)
    assert (found["approach"], found["sha256"], found["imagenet"]) == (KEY, digest, None)
    edit_config(saved, training={"encoder_weights": "imagenet"})
    assert identity(saved / KEY)["imagenet"]
    edit_config(saved, training={"encoder_weights": None}, learnt_from={"init_from": identity(saved / KEY)})
    assert identity(saved / KEY)["imagenet"]
    edit_config(saved, learnt_from={"teacher": {"approach": KEY, "sha256": digest, "git_commit": None}})
    assert identity(saved / KEY)["imagenet"] is None
    edit_config(saved, learnt_from={})
    assert identity(saved / KEY)["imagenet"] is False


def test_every_approach_comes_back_the_same_up_to_float16(models, weights_folder, approach, noise):
    loaded = load_weights(weights_folder / approach).model
    assert not loaded.training
    for name, tensor in models[approach].state_dict().items():
        if tensor.is_floating_point():
            expected, found = tensor.half().float(), loaded.state_dict()[name]
            assert found.dtype == torch.float32 and torch.equal(found, expected), name
    with torch.no_grad():
        before, after = models[approach](noise[:1]), loaded(noise[:1])
    torch.testing.assert_close(after.class_logits, before.class_logits, rtol=0.02, atol=0.02)


def test_what_belongs_to_the_weights_travels_with_them(saved):
    weights = load_weights(saved / KEY)
    assert weights.preprocess == Preprocess(size=96, mean=0.3)
    assert (weights.threshold, weights.calibration) == (0.4, Calibration(1.7, (0.1, 0.0, -0.2)))
    assert weights.model.config == {**TINY, "scales": [1.0], "mirrored": []}
    config = read_config(saved / KEY)
    assert config == weights.config
    assert json.loads((saved / KEY / CONFIG_FILE).read_text()) == config.to_json()
    assert config.to_json()["classes"] == list(CLASSES)
    assert config.facts["metrics"]["validation"]["accuracy"] == 0.9
    assert config.parameters == weights.model.parameter_count()
    assert config.sha256 == hashlib.sha256((saved / KEY / MODEL_FILE).read_bytes()).hexdigest()


def test_they_are_stored_in_float16_and_whole(saved):
    tensors = load_file(saved / KEY / MODEL_FILE)
    assert {t.dtype for t in tensors.values() if t.is_floating_point()} == {torch.float16}
    assert sorted(p.name for p in (saved / KEY).iterdir()) == [CONFIG_FILE, MODEL_FILE]


def test_weights_that_float16_cannot_hold_are_not_saved(tmp_path):
    model = create_model(KEY, **TINY)
    with torch.no_grad():
        model.head[-1].weight[0, 0] = 1e6
    with pytest.raises(ValueError, match=r"head\.3\.weight has values that float16 cannot hold"):
        save_weights(tmp_path / KEY, model, Preprocess(), facts={})
    assert not (tmp_path / KEY).exists()


def test_a_changed_file_is_refused(saved):
    path = saved / KEY / MODEL_FILE
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=rf"^{KEY}/model\.safetensors is not the file that config\.json describes"):
        load_weights(saved / KEY)


@pytest.mark.parametrize("name", [CONFIG_FILE, MODEL_FILE])
def test_a_missing_file_is_named_with_a_remedy(saved, name, caplog):
    """The sentence is shown on a page; where the server looked, only its log tells."""
    caplog.set_level("INFO")
    (saved / KEY / name).unlink()
    with pytest.raises(InputError, match=rf"weights of multitask_cnn are missing \({name} is not in .*train") as caught:
        load_weights(saved / KEY)
    assert str(saved / KEY / name) in caplog.text and str(saved) not in str(caught.value)


def test_an_unreadable_config_is_named(saved):
    (saved / KEY / CONFIG_FILE).write_text("{")
    with pytest.raises(InputError, match=rf"^{KEY}/config\.json is not valid JSON"):
        read_config(saved / KEY)


@pytest.mark.parametrize("change", [
    {"architecture": {"ensemble_of": TINY, "folds": [0, 1], "depth": 3}},
    {"architecture": {"depth": 3}}, {"architecture": [3]}, {"preprocess": {"mode": "RGB"}},
    {"preprocess": {"size": 90}}, {"threshold": 1}, {"min_area": -0.1}, {"temperature": 0}, {"class_bias": [0.1]},
    {"sha256": "abc"}, {"detector": {"approach": "multitask_unet"}},
])  # fmt: skip
def test_a_config_with_a_wrong_value_is_refused(saved, change):
    edit_config(saved, **change)
    with pytest.raises(InputError, match=rf"^{KEY}/config\.json does not fit this version"):
        load_weights(saved / KEY)


@pytest.mark.parametrize("content", [b"", b"no tensors", b"\xff" * 64])
def test_a_damaged_model_file_with_the_right_hash_is_named(saved, content):
    (saved / KEY / MODEL_FILE).write_bytes(content)
    edit_config(saved, sha256=hashlib.sha256(content).hexdigest())
    with pytest.raises(InputError, match=rf"^{KEY}/model\.safetensors is damaged .*: fetch it again\.$"):
        load_weights(saved / KEY)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_tensors_must_be_finite(saved, value):
    edit_tensors(saved, lambda tensors: tensors["head.3.bias"].fill_(value))
    with pytest.raises(InputError, match=r"has values that are not finite numbers, in head\.3\.bias: fetch it again"):
        load_weights(saved / KEY)


def test_a_config_of_nested_brackets_is_named(saved):
    (saved / KEY / CONFIG_FILE).write_text("[" * 100_000)
    with pytest.raises(InputError, match=rf"^{KEY}/config\.json is not valid JSON"):
        read_config(saved / KEY)


def test_the_detector_must_be_an_approach(saved):
    edit_config(saved, detector={"approach": "../multitask_unet", "sha256": "0" * 64})
    with pytest.raises(InputError, match=r"There is no approach '\.\./multitask_unet': choose one of"):
        load_weights(saved / KEY)


def test_the_earlier_weights_are_kept_beside_the_new(saved):
    assert keep_previous(saved / "two_stage") is None
    before = (saved / KEY / MODEL_FILE).read_bytes()
    assert keep_previous(saved / KEY) == saved / f"{KEY}.previous"
    assert (saved / f"{KEY}.previous" / MODEL_FILE).read_bytes() == before
    (saved / KEY / MODEL_FILE).write_bytes(b"new")
    keep_previous(saved / KEY)
    assert (saved / f"{KEY}.previous" / MODEL_FILE).read_bytes() == b"new"


@pytest.mark.parametrize(("change", "reason"), [
    ({"parameters": -1}, "parameters must not be negative, got -1"),
    ({"data": {"fold": "x"}}, "fold in data must be an integer or null, got 'x'"),
    ({"class_bias": [True, 0, 0]}, r"class_bias must be a list of numbers, got \[True, 0, 0\]"),
    ({"preprocess": {"size": 960_000_000, "mean": 0.2, "std": 0.2}},
     "size must lie between 32 and 2048 and be a multiple of 32, got 960000000"),
    ({"preprocess": {"size": 64, "mean": float("nan"), "std": 0.2}}, "mean must be finite, got nan"),
    ({"threshold": "high"}, "threshold must be a number, got 'high'"),
    ({"threshold": True}, "threshold must be a number, got True"),
    ({"parameters": "1000"}, "parameters must be an integer, got '1000'"),
    ({"data": [1]}, r"data must be an object, got \[1\]"),
    ({"members": {}}, "members must be a list, got {}"),
    ({"class_bias": ["0", "0", "0"]}, r"class_bias must be a list of numbers, got \['0', '0', '0'\]"),
    ({"preprocess": {"size": 64}}, "preprocess must have size, mean, std, got size"),
    ({"preprocess": {"size": "64", "mean": 0, "std": 1}}, "size in preprocess must be of type int, got '64'"),
    ({"detector": {"approach": 3, "sha256": "0"}}, "approach in detector must be of type str, got 3"),
])  # fmt: skip
def test_a_config_with_a_wrong_type_says_which_field(saved, change, reason):
    edit_config(saved, **change)
    with pytest.raises(InputError, match=rf"config\.json does not fit this version of the project \({reason}\): fetch"):
        load_weights(saved / KEY)


def test_a_config_that_is_no_object_is_refused(saved):
    (saved / KEY / CONFIG_FILE).write_text("[]")
    with pytest.raises(InputError, match=r"config\.json must hold a JSON object, it holds another value: fetch"):
        read_config(saved / KEY)


@pytest.mark.parametrize(("change", "found"), [({}, 1), ({"format": 3}, 3)])
def test_weights_of_another_format_are_refused_with_what_to_do(saved, change, found):
    path = saved / KEY / CONFIG_FILE
    config = json.loads(path.read_text())
    del config["format"]
    path.write_text(json.dumps(config | change))
    with pytest.raises(
        InputError,
        match=rf"^{KEY}/config\.json has the format {found}, this .* reads format 2: fetch .* or train .* again\.$",
    ):
        load_weights(saved / KEY)


def test_a_config_without_a_needed_field_is_refused(saved):
    path = saved / KEY / CONFIG_FILE
    config = json.loads(path.read_text())
    del config["sha256"]
    path.write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"config\.json does not fit this version.*sha256"):
        load_weights(saved / KEY)


def test_other_classes_are_refused(saved):
    edit_config(saved, classes=["benign", "normal", "malignant"])
    with pytest.raises(InputError, match=rf"^{KEY}/config.json is of weights for the classes .*'normal', 'malignant'"):
        load_weights(saved / KEY)


@pytest.mark.parametrize("change", [
    lambda tensors: tensors.pop("head.3.bias"),
    lambda tensors: tensors.update(surplus=torch.zeros(1)),
    lambda tensors: tensors.update({"head.3.bias": torch.zeros(7)}),
], ids=["missing", "surplus", "other shape"])  # fmt: skip
def test_tensors_must_fit_to_the_last_one(saved, change):
    edit_tensors(saved, change)
    with pytest.raises(
        InputError, match=r"^multitask_cnn/model\.safetensors does not fit .*\(.*(head.3.bias|surplus).*: fetch"
    ):
        load_weights(saved / KEY)


def test_an_unknown_approach_is_refused(saved):
    shutil.copytree(saved / KEY, saved / "multitask_vit")
    with pytest.raises(InputError, match="no approach 'multitask_vit'"):
        approach_folder("multitask_vit", saved)
    edit_config(saved, approach="multitask_vit")
    with pytest.raises(InputError, match="no approach 'multitask_vit'"):
        load_weights(saved / KEY)


def test_the_config_names_the_approach_not_the_folder(saved):
    edit_config(saved, threshold=0.7)
    shutil.copytree(saved / KEY, saved / f"{KEY}.previous")
    edit_config(saved, threshold=0.3)
    previous = load_weights(saved / f"{KEY}.previous")
    assert (previous.model.key, previous.threshold) == (KEY, 0.7)
    assert identity(saved / f"{KEY}.previous")["approach"] == KEY


def test_load_part_starts_a_part_from_the_same_part(saved):
    stored = load_file(saved / KEY / MODEL_FILE)
    torch.manual_seed(1)
    fresh = create_model(KEY, **TINY)
    head_before = fresh.head[-1].weight.clone()
    load_part(saved / KEY, "decoder", fresh.decoder)
    for name, tensor in fresh.decoder.state_dict().items():
        assert torch.equal(tensor, stored[f"decoder.{name}"].to(tensor.dtype)), name
    assert torch.equal(fresh.head[-1].weight, head_before)


def test_load_part_of_everything(saved):
    fresh = create_model(KEY, **TINY)
    load_part(saved / KEY, "", fresh)
    loaded = load_weights(saved / KEY).model.state_dict()
    assert all(torch.equal(tensor, loaded[name]) for name, tensor in fresh.state_dict().items())


def test_load_part_is_strict(saved):
    wider = create_model(KEY, **TINY | {"decoder_width": 8})
    with pytest.raises(InputError, match=r"have no decoder\.lateral\.0\.weight of shape \(8, 24, 1, 1\)"):
        load_part(saved / KEY, "decoder", wider.decoder)
    with pytest.raises(InputError, match=r"have no encoder\."):
        load_part(saved / KEY, "encoder", wider.decoder)


def test_load_part_names_an_approach_that_was_not_expected(weights_folder):
    model = create_model("multitask_unet")
    with pytest.raises(InputError, match=r"holds weights of multitask_cnn, expected those of multitask_unet: give oth"):
        load_part(weights_folder / KEY, "", model, approach="multitask_unet")
    with pytest.raises(InputError, match=r"of multitask_cnn have no head\.weight .*: give weights of the same"):
        load_part(weights_folder / KEY, "head", torch.nn.Linear(2, 2))


def test_load_part_of_a_missing_file_says_so(tmp_path):
    with pytest.raises(InputError, match="weights of multitask_cnn are missing"):
        load_part(tmp_path / KEY, "", create_model(KEY, **TINY))


@pytest.mark.parametrize(("source", "target"), [
    ("multitask_unet", KEY), (KEY, "multitask_unet"), ("multitask_resnet50", "two_stage"),
])  # fmt: skip
def test_an_encoder_starts_from_that_of_another_approach(weights_folder, source, target):
    torch.manual_seed(1)
    model, trained = create_model(target), load_weights(weights_folder / source).model
    before = deepcopy(model.state_dict())
    load_encoder(weights_folder / source, model)
    encoder = trained.get_submodule(trained.encoder_part).state_dict()
    for name, tensor in model.state_dict().items():
        inside = name.removeprefix(f"{model.encoder_part}.")
        assert torch.equal(tensor, before[name] if inside == name else encoder[inside]), name


def test_an_encoder_of_an_ensemble_is_that_of_the_network_that_held_out_the_fold(tmp_path):
    members = [create_model(KEY, **TINY) for _ in range(2)]
    save_weights(tmp_path / KEY, Ensemble(members, (3, 1)), Preprocess(size=64), facts={"data": {}})
    model = create_model("multitask_unet")
    load_encoder(tmp_path / KEY, model, fold=1)
    for name, tensor in members[1].encoder.state_dict().items():
        torch.testing.assert_close(model.unet.encoder.state_dict()[name], tensor, atol=2e-3, rtol=2e-3)  # float16
    assert not torch.equal(members[0].encoder.model.conv_stem.weight, members[1].encoder.model.conv_stem.weight)
    with pytest.raises(InputError, match=r"All networks in .* were trained on fold 0: train another fold, of \[3, 1\]"):
        load_encoder(tmp_path / KEY, model, fold=0)


def test_an_approach_without_an_encoder_has_none_to_start_from(weights_folder, monkeypatch):
    monkeypatch.setattr(approach_class(KEY), "encoder_part", None)
    with pytest.raises(InputError, match=r"^multitask_cnn has no encoder .*: leave --encoder-from out\.$"):
        load_encoder(weights_folder / "multitask_unet", create_model(KEY))
    with pytest.raises(InputError, match=r"^multitask_cnn has no encoder"):
        load_encoder(weights_folder / KEY, create_model("multitask_unet"))


def test_an_encoder_of_another_architecture_is_refused(weights_folder):
    with pytest.raises(InputError, match=r"of multitask_resnet50 have no encoder\..*: give weights of the same archi"):
        load_encoder(weights_folder / "multitask_resnet50", create_model(KEY))


def test_reinitialised_weights_are_random_but_all_else_stays(weights_folder, approach):
    trained = load_weights(weights_folder / approach)
    before, state = {n: t.clone() for n, t in trained.model.state_dict().items()}, torch.get_rng_state()
    one, same, other = (reinitialised(trained, seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert not one.model.training and one.model.config == trained.model.config
    assert (one.preprocess, one.threshold, one.calibration) == (
        trained.preprocess, trained.threshold, trained.calibration)  # fmt: skip
    for name in (n for n, p in trained.model.named_parameters() if p.ndim > 1):
        assert torch.equal(one.model.state_dict()[name], same.model.state_dict()[name])
        assert not torch.equal(one.model.state_dict()[name], other.model.state_dict()[name])
        assert not torch.equal(one.model.state_dict()[name], before[name])
    assert all(torch.equal(tensor, before[name]) for name, tensor in trained.model.state_dict().items())


def test_available_approaches_have_weights(saved, weights_folder, tmp_path):
    assert available_approaches(saved) == [KEY]
    assert available_approaches(weights_folder) == list(APPROACHES) and why_left_out(weights_folder) is None
    (saved / KEY / MODEL_FILE).unlink()
    assert available_approaches(saved) == []
    assert available_approaches(tmp_path / "none") == []


def test_the_environment_names_the_folder_of_the_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for named, folder in (("~/w", tmp_path / "w"), (str(tmp_path), tmp_path), ("", ROOT / "weights")):
        monkeypatch.setenv("BUSI_DEMO_WEIGHTS", named)
        assert store.default_folder() == folder
    monkeypatch.delenv("BUSI_DEMO_WEIGHTS")
    assert store.default_folder() == ROOT / "weights"


def test_the_environment_with_a_folder_that_is_not_there_is_an_input_error(tmp_path, monkeypatch):
    monkeypatch.delenv("BUSI_WEIGHTS_REPO", raising=False)
    monkeypatch.setenv("BUSI_DEMO_WEIGHTS", str(tmp_path / "nowhere"))
    monkeypatch.setattr(store, "WEIGHTS_FOLDER", store.default_folder())
    for use in (lambda: load_weights(approach_folder(KEY)), available_approaches):
        with pytest.raises(InputError, match=r"^\$BUSI_DEMO_WEIGHTS names a folder that does not exist, expected") as e:
            use()
        assert "nowhere" not in str(e.value)  # a page may show it
    with pytest.raises(InputError, match="weights of multitask_cnn are missing"):
        load_weights(tmp_path / "elsewhere" / KEY)


@pytest.fixture
def referring(tmp_path):
    """Weights of two_stage with two detectors, those of the multitask_unet beside."""
    torch.manual_seed(0)
    unet = Ensemble([create_model("multitask_unet", width=4) for _ in range(2)], (2, 0))
    config = save_weights(tmp_path / "multitask_unet", unet, Preprocess(size=64), facts={})
    model = TwoStage(detector=unet, detector_head=True)
    with torch.no_grad():
        model.detector_head.heads[0][-1].bias += 1  # its own head, which differs from that of the detector
    reference = DetectorReference("multitask_unet", config.sha256)
    save_weights(tmp_path / "two_stage", model, Preprocess(size=64), detector=reference, facts={})
    return tmp_path, model.eval()


def test_a_detector_is_referred_to_and_not_stored_again(referring, noise):
    folder, model = referring
    names = load_file(folder / "two_stage" / MODEL_FILE).keys()
    assert not any(name.startswith("detector.") for name in names) and any("detector_head" in name for name in names)
    loaded = load_weights(folder / "two_stage")
    assert (loaded.outline_key, loaded.model.folds) == ("multitask_unet", (2, 0))
    assert load_weights(folder / "multitask_unet").outline_key == "multitask_unet"
    with torch.no_grad():
        for one, other in ((loaded.model, model), (loaded.held_out(0).model, model.held_out(0))):
            torch.testing.assert_close(one(noise).class_logits, other(noise).class_logits, rtol=0.02, atol=0.02)


def test_a_missing_or_other_detector_is_an_input_error(referring, saved):
    folder, _ = referring
    other = create_model("multitask_unet", width=4)
    save_weights(folder / "multitask_unet", other, Preprocess(size=64), facts={})
    with pytest.raises(
        InputError, match=r"^two_stage needs as its detector the weights of multitask_unet with the sha"
    ):
        load_weights(folder / "two_stage")
    shutil.rmtree(folder / "multitask_unet")
    with pytest.raises(InputError, match=r"^two_stage needs the weights of multitask_unet as its detector\. .*missing"):
        load_weights(folder / "two_stage")


def test_a_detector_with_other_settings_is_an_input_error(referring):
    """Other sizes change the answers and no tensor."""
    folder, _ = referring
    path = folder / "multitask_unet" / CONFIG_FILE
    before = path.read_text()
    for part, name, value in (("architecture", "scales", [1.0, 0.5]), ("preprocess", "size", 96)):
        config = json.loads(before)
        (config["architecture"]["ensemble_of"] if part == "architecture" else config[part])[name] = value
        path.write_text(json.dumps(config))
        with pytest.raises(InputError, match=r"and unchanged settings, .* train/replace_detector\.py"):
            load_weights(folder / "two_stage")


@pytest.mark.parametrize("older", ["two_stage", "multitask_unet"])
def test_a_detector_from_before_a_setting_was_added_is_the_same_one(referring, older):
    folder, _ = referring
    forget_mirrored(folder / older, *(["detector"] if older == "two_stage" else []), "ensemble_of")
    assert load_weights(folder / "two_stage").model.detector.config["mirrored"] == []


@pytest.mark.parametrize("recorded", ["x", None, {"ensemble_of": 3}])
def test_a_record_without_a_detector_is_an_input_error(referring, recorded):
    folder, _ = referring
    path = folder / "two_stage" / CONFIG_FILE
    config = json.loads(path.read_text())
    config["architecture"]["detector"] = recorded
    path.write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"^two_stage needs as its detector the weights of multitask_unet .*unchanged"):
        load_weights(folder / "two_stage")


def test_tensors_of_a_detector_that_is_referred_to_are_surplus(referring):
    folder, _ = referring
    path = folder / "two_stage" / MODEL_FILE
    tensors = load_file(path)
    tensors["detector.members.0.head.3.bias"] = torch.zeros(3)
    save_file(tensors, path)
    config = json.loads((folder / "two_stage" / CONFIG_FILE).read_text())
    config["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / "two_stage" / CONFIG_FILE).write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"does not fit the architecture of two_stage \(detector\.members"):
        load_weights(folder / "two_stage")


def test_an_approach_without_the_weights_of_its_detector_is_not_available(weights_folder, tmp_path):
    for key in (KEY, "two_stage", "multitask_unet"):
        shutil.copytree(weights_folder / key, tmp_path / key)
    refer(tmp_path / "two_stage", "multitask_unet")
    assert set(available_approaches(tmp_path)) == {KEY, "two_stage", "multitask_unet"}
    (tmp_path / "multitask_unet" / "model.safetensors").unlink()
    assert available_approaches(tmp_path) == [KEY]
    assert why_left_out(tmp_path) == (
        "because there are no weights: multitask_resnet50, multitask_unet; because the weights of its detector "
        "multitask_unet are missing: two_stage"
    )


@pytest.mark.parametrize("key", [KEY, "multitask_unet"])
def test_a_detector_that_refers_to_a_detector_is_an_input_error(weights_folder, tmp_path, key):
    for name in {KEY, key}:
        shutil.copytree(weights_folder / name, tmp_path / name)
    refer(tmp_path / KEY, key)
    refer(tmp_path / key, KEY)
    with pytest.raises(InputError, match="refer to a detector too: fetch the weights folder again"):
        load_weights(tmp_path / KEY)


def test_a_config_that_is_no_text_is_an_input_error(weights_folder, tmp_path):
    shutil.copytree(weights_folder / KEY, tmp_path / KEY)
    (tmp_path / KEY / "config.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(InputError, match=rf"^{KEY}/config\.json is not valid JSON"):
        load_weights(tmp_path / KEY)


def refer(folder: Path, key: str) -> None:
    """Let the weights in a folder refer to those of an approach beside it as their detector."""
    path = folder / "config.json"
    config = json.loads(path.read_text()) | {"detector": {"approach": key, "sha256": "0" * 64}}
    path.write_text(json.dumps(config))


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("new", [False, True])
@pytest.mark.parametrize("first", [0, 1, 2, 3])
def test_killed_at_any_step_of_saving_the_old_or_the_new_weights_load(tmp_path, monkeypatch, first, new):
    """Files appear by `os.replace` alone. Saves that are killed before one of these, or after the last."""
    monkeypatch.setattr(store, "git_commit", lambda: None)  # a process each time
    model = create_model(KEY, **TINY)

    def save(value: float, killed_at: int | None = None) -> None:
        steps, replace = iter(range(10)), os.replace

        def step(*names: Path) -> None:
            if next(steps) == killed_at:
                raise Killed
            replace(*names)

        with torch.no_grad():
            for parameter in model.parameters():
                parameter.fill_(value)
        with monkeypatch.context() as patch, contextlib.suppress(Killed):
            patch.setattr(os, "replace", step)
            save_weights(tmp_path / KEY, model, Preprocess(size=64), facts={"data": {"value": value}})

    def loaded() -> float:
        weights = load_weights(tmp_path / KEY)
        values = {value.item() for part in weights.model.parameters() for value in (part.min(), part.max())}
        assert values == {weights.config.data["value"]} and available_approaches(tmp_path) == [KEY]
        assert identity(tmp_path / KEY)["sha256"] == weights.config.sha256
        return values.pop()

    if not new:
        save(1.0)
    save(2.0, first)
    if new and first < 2:  # before there is a config.json
        assert available_approaches(tmp_path) == []
    else:
        assert loaded() == (1.0 if first < 2 else 2.0)
        for second in range(4):
            save(3.0 + second, second)
            loaded()
    save(9.0)
    assert loaded() == 9.0
    names = sorted(path.name for path in (tmp_path / KEY).iterdir() if not path.name.startswith("."))
    assert names == [CONFIG_FILE, MODEL_FILE]


@pytest.mark.parametrize(
    "values", [{"approach": "multitask_cno"}, {"detector": {"approach": "unet", "sha256": "0" * 64}}]
)
def test_an_approach_that_there_is_not_is_told_with_the_file_that_names_it(saved, values):
    edit_config(saved, **values)
    with pytest.raises(InputError, match=rf"^{KEY}/config.json does not fit .*There is no approach .*: fetch"):
        load_weights(saved / KEY)

from __future__ import annotations

import argparse
import dataclasses
import json

import pytest

from busi_demo.models import APPROACHES, DEFAULT_APPROACH
from busi_demo.training.config import TrainConfig, add_arguments, config_from
from busi_demo.types import InputError


def parse(*words: str, **fixed) -> TrainConfig:
    parser = argparse.ArgumentParser()
    add_arguments(parser, TrainConfig())
    return config_from(parser.parse_args(words), **fixed)


@pytest.mark.parametrize(("values", "message"), [
    ({"approach": "vit"}, "no approach 'vit': choose one of"),
    ({"epochs": 0}, "--epochs must be at least 1, got 0"),
    ({"batch_size": 1}, "--batch-size must be at least 2, got 1"),
    ({"learning_rate": 2.0}, "--learning-rate must be between 1e-07 and 1.0, got 2.0"),
    ({"learning_rate": float("nan")}, "--learning-rate must be between 1e-07 and 1.0, got nan"),
    ({"image_size": 100}, "--image-size must be a multiple of 32, got 100"),
    ({"start_size": 72}, "--start-size must be a multiple of 32, got 72"),
    ({"image_size": 64, "start_size": 96}, r"--start-size \(96\) must not exceed --image-size \(64\)"),
    ({"start_size": 128, "end_size": 96}, r"--start-size \(128\) must not exceed --end-size \(96\)"),
    ({"image_size": 128, "end_size": 160}, r"--end-size \(160\) must not exceed --image-size \(128\)"),
    ({"end_size": 100}, "--end-size must be a multiple of 32, got 100"),
    ({"keep": "first"}, "--keep must be one of .* got 'first'"),
    ({"fold": 5}, "--fold must be between 0 and 4, got 5"),
    ({"phantoms": 3}, "--phantoms must be at least 10, got 3"),
    ({"phantom_share": 1.5}, "--phantom-share must be between 0.0 and 1.0, got 1.5"),
    ({"w_seg": float("inf")}, "--w-seg must be between 0.0 and 1000.0, got inf"),
    ({"w_cls": float("nan")}, "--w-cls must be between 0.0 and 1000.0, got nan"),
    ({"w_seg": 0.0, "w_cls": 0.0}, "--w-seg or --w-cls must be above 0, got 0 for both: nothing would be trained"),
    ({"seed": 10**30}, "--seed must be between 0 and 2147483647, got 10{30}"),
    ({"precision": "fp16"}, "--precision must be one of .* got 'fp16'"),
    ({"encoder_weights": "coco"}, "--encoder-weights must be one of .* got 'coco'"),
])  # fmt: skip
def test_a_wrong_value_is_named_with_its_range(values, message):
    with pytest.raises(InputError, match=message):
        TrainConfig(**values)


def test_without_options_the_defaults_hold():
    assert parse() == TrainConfig()
    assert TrainConfig().approach == DEFAULT_APPROACH
    assert (TrainConfig().w_seg, TrainConfig().w_cls) == (1.0, 1.0)


def test_every_setting_has_an_option_of_its_name_and_a_help():
    parser = argparse.ArgumentParser()
    add_arguments(parser, TrainConfig())
    options = {action.dest: action for action in parser._actions}
    for field in dataclasses.fields(TrainConfig):
        assert options[field.name].option_strings == ["--" + field.name.replace("_", "-")]
        assert options[field.name].help
    parser.format_help()


def test_options_arrive_with_their_types():
    config = parse("--approach", "multitask_cnn", "--epochs", "3", "--learning-rate", "2e-3", "--extra", "a", "b",
                   "--data", "busi", "--encoder-weights", "imagenet")  # fmt: skip
    assert (config.approach, config.epochs, config.learning_rate) == ("multitask_cnn", 3, 0.002)
    assert (config.extra, config.data, config.encoder_weights) == (("a", "b"), "busi", "imagenet")


def test_fixed_values_take_precedence():
    assert parse("--epochs", "3", epochs=7).epochs == 7


def test_omitted_options_are_unknown():
    parser = argparse.ArgumentParser()
    add_arguments(parser, TrainConfig(), omit=("approach",))
    with pytest.raises(SystemExit):
        parser.parse_args(["--approach", "multitask_cnn"])
    assert config_from(parser.parse_args([]), approach="two_stage").approach == "two_stage"


@pytest.mark.parametrize("key", APPROACHES)
def test_it_is_json(key):
    values = json.loads(json.dumps(TrainConfig(approach=key, extra=("a",)).to_dict()))
    assert TrainConfig(**values | {"extra": tuple(values["extra"])}) == TrainConfig(approach=key, extra=("a",))

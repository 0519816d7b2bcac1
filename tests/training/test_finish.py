from __future__ import annotations

from busi_demo.imaging.preprocess import Preprocess
from busi_demo.models import create_model
from busi_demo.training.config import TrainConfig
from busi_demo.training.finish import finish
from busi_demo.training.sources import load_training_data
from busi_demo.weights.store import read_config

KEY = "multitask_cnn"


def test_the_validation_images_run_through_the_network_once(tmp_path):
    preprocess = Preprocess(size=64)
    config = TrainConfig(approach=KEY, data="phantoms", phantoms=10, image_size=64, start_size=64)
    data = load_training_data(config, preprocess)
    model, images = create_model(KEY, decoder_width=8, class_width=8), []
    model.register_forward_hook(lambda _, inputs, output: images.append(len(inputs[0])))
    finish(model, data, preprocess, config, [{"epoch": 1.0, "train_loss": 1.0, "val_score": 0.5}], tmp_path)
    assert sum(images) == len(data.validation) == read_config(tmp_path / KEY).facts["metrics"]["validation"]["n"]

"""Engines: their answers agree with PyTorch's, and one that fails or does not agree is not used."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers import picture

from busi_demo.inference import accelerate as module
from busi_demo.inference.accelerate import ENGINE_VARIABLE, accelerate, choice_of, engine_of, run_plan
from busi_demo.inference.engines import EAGER, ENGINES, Engine, find_engine
from busi_demo.inference.predictor import Predictor
from busi_demo.models import create_model
from busi_demo.types import InputError
from busi_demo.weights.store import load_weights

SEVERAL = {key: engine for key, engine in ENGINES.items() if key not in (EAGER, "inductor")}


@pytest.fixture
def predictor(weights_folder, approach) -> Predictor:
    return Predictor(load_weights(weights_folder / approach))


@pytest.fixture
def plan(models):
    return models["multitask_cnn"].plan(torch.rand(1, 1, 64, 64))


@pytest.fixture(autouse=True)
def no_engine_is_kept_or_named(monkeypatch):
    monkeypatch.delenv(ENGINE_VARIABLE)
    monkeypatch.setattr(module, "_compiled", type(module._compiled)())


def offer(monkeypatch, **engines: Engine) -> None:
    monkeypatch.setattr(module, "ENGINES", {EAGER: ENGINES[EAGER], **engines})


def changed(amount: float, seconds: float = 0.0) -> Engine:
    """PyTorch with something added to its mask logits."""

    def compile(network, inputs, threads):
        return [lambda x: (network.tensors(x)[0] + amount, *network.tensors(x)[1:]) for _ in inputs]

    return Engine("changed", compile)


def timed(monkeypatch, **milliseconds: float) -> None:
    monkeypatch.setattr(module, "estimate", lambda plan, keys: milliseconds)


@pytest.mark.parametrize("key", SEVERAL)
def test_every_engine_gives_the_answer_of_pytorch(predictor, key):
    if not ENGINES[key].available:
        pytest.skip(f"{ENGINES[key].needs} is not there")
    images = [picture(seed, 72, 96) for seed in range(3)]
    plain = [predictor.predict(image) for image in images]
    assert predictor.accelerate(images[0], key).engine == predictor.engine.engine == key
    with ThreadPoolExecutor(3) as pool:
        fast = list(pool.map(predictor.predict, images))
    for one, other in zip(plain, fast, strict=True):
        assert one.predicted_class == other.predicted_class
        assert np.array(list(one.probabilities.values())) == pytest.approx(list(other.probabilities.values()), abs=1e-4)
        np.testing.assert_allclose(one.mask_probability, other.mask_probability, atol=1e-4)
        np.testing.assert_allclose(one.cam, other.cam, atol=1e-3)


def test_an_image_and_its_mirror_image_have_a_function_each(monkeypatch):
    """They have one network and one shape, and a compiled function runs once at a time."""
    ran: list[int] = []

    def compile(network, inputs, threads):
        def run(place, x):
            ran.append(place)
            return network.tensors(x)

        return [partial(run, place) for place, _ in enumerate(inputs)]

    offer(monkeypatch, numbered=Engine("Numbered", compile))
    model = create_model("multitask_cnn", decoder_width=4, class_width=4, mirrored=(1.0,)).eval()
    plan = model.plan(torch.rand(1, 1, 64, 64))
    timed(monkeypatch, eager=2, numbered=1)
    assert accelerate(plan).engine == engine_of(plan) == "numbered"
    ran.clear()
    output = run_plan(plan)
    assert sorted(ran) == [0, 1]
    torch.testing.assert_close(output.class_logits, plan.run().class_logits)


@pytest.mark.parametrize("approach", ["multitask_cnn"], indirect=True)
def test_the_same_engine_gives_the_same_answer_bit_for_bit(predictor):
    key = "openvino" if ENGINES["openvino"].available else "channels_last"
    predictor.accelerate(picture(0, 72, 96), key)
    answers = [predictor.predict(picture(1, 72, 96)) for _ in range(3)]
    assert all(one.probabilities == answers[0].probabilities for one in answers)
    assert all(np.array_equal(one.mask_probability, answers[0].mask_probability) for one in answers)


def test_the_fastest_engine_that_agrees_is_used(plan, monkeypatch):
    offer(monkeypatch, wrong=changed(0.5), right=changed(1e-4), slow=changed(0))
    timed(monkeypatch, eager=3, wrong=1, right=2, slow=4)
    choice = accelerate(plan)
    assert (choice.engine, choice.milliseconds["wrong"]) == ("right", 1)
    expected = plan.run()
    torch.testing.assert_close(run_plan(plan).mask_logits, expected.mask_logits + 1e-4)
    assert accelerate(plan) is choice  # chosen once


def test_pytorch_stays_where_nothing_is_faster_or_agrees(plan, monkeypatch):
    offer(monkeypatch, wrong=changed(0.5), slow=changed(0))
    timed(monkeypatch, eager=3, wrong=1, slow=4)
    assert accelerate(plan).engine == engine_of(plan) == EAGER
    torch.testing.assert_close(run_plan(plan).mask_logits, plan.run().mask_logits, rtol=0, atol=0)


def test_an_engine_that_fails_is_left_out_and_logged(plan, monkeypatch, caplog):
    def fail(network, inputs, threads):
        raise RuntimeError("no such operator")

    offer(monkeypatch, broken=Engine("Broken", fail))
    with caplog.at_level(logging.WARNING):
        assert accelerate(plan).engine == EAGER
    assert "broken cannot run the networks (RuntimeError: no such operator)" in caplog.text
    monkeypatch.setitem(ENGINES, "broken", Engine("Broken", fail))
    assert accelerate(plan, "broken").reason == "Broken failed: RuntimeError."


def test_inputs_of_another_shape_run_in_pytorch(models, plan, monkeypatch):
    offer(monkeypatch, right=changed(1e-4))
    timed(monkeypatch, eager=3, right=2)
    accelerate(plan)
    other = models["multitask_cnn"].plan(torch.rand(1, 1, 96, 96))
    assert engine_of(plan) == "right" and engine_of(other) == EAGER
    torch.testing.assert_close(run_plan(other).mask_logits, other.run().mask_logits, rtol=0, atol=0)


def test_the_variable_names_the_engine(plan, models, monkeypatch):
    monkeypatch.setenv(ENGINE_VARIABLE, "channels_last")
    choice = accelerate(plan)
    assert choice.engine == "channels_last" and ENGINE_VARIABLE in choice.reason and not choice.milliseconds
    assert choice_of(models["multitask_cnn"]) is choice


def test_an_unknown_engine_and_one_that_is_not_installed_get_a_sentence(plan, monkeypatch):
    with pytest.raises(InputError, match="There is no engine 'warp': choose one of eager, channels_last, openvino"):
        accelerate(plan, "warp")
    monkeypatch.setitem(ENGINES, "openvino", replace(ENGINES["openvino"], needs="no_such_package"))
    with pytest.raises(InputError, match="needs the package no_such_package: install it, or choose another one"):
        find_engine("openvino")


def test_engines_are_timed(plan, monkeypatch):
    offer(monkeypatch, several=replace(ENGINES[EAGER], side_by_side=True), hidden=replace(changed(0), by_default=False))
    times = module.estimate(plan, module.ENGINES)
    assert set(times) == {EAGER, "several", "hidden"} and all(value > 0 for value in times.values())
    assert "hidden" not in accelerate(plan).milliseconds


def test_forward_passes_that_cannot_be_taken_apart_take_turns_as_each_uses_all_cores():
    running, most = [], []

    def run() -> str:
        running.append(1)
        time.sleep(0.02)
        most.append(len(running))
        running.pop()
        return "output"

    plan = SimpleNamespace(passes=(), run=run)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(run_plan, [plan] * 8)) == ["output"] * 8
    assert most == [1] * 8


def test_passes_run_side_by_side_where_there_are_several_threads(predictor, monkeypatch):
    model, x = predictor.network(picture(1, 64, 64))
    with torch.no_grad():
        plan = model.outline_network.plan(x)
        expected, seen = plan.run(), set()
        monkeypatch.setattr(module, "_threads", lambda: 2)
        monkeypatch.setattr(module, "_pools", {})
        tensors = type(plan.passes[0].network).tensors

        def noted(network, x):
            seen.add((threading.current_thread().name, torch.get_num_threads(), torch.is_grad_enabled()))
            return tensors(network, x)

        monkeypatch.setattr(type(plan.passes[0].network), "tensors", noted)
        output = run_plan(plan)
    assert torch.equal(output.mask_logits, expected.mask_logits)
    if len(plan.passes) == 1:
        assert {name for name, _, _ in seen} == {"networks_0"}
    else:
        assert {name for name, _, _ in seen} <= {"passes_0", "passes_1"} and {(n, g) for _, n, g in seen} == {
            (1, False)
        }

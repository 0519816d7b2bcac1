"""The ways to run a network: PyTorch as it is, and compilers that make the same network faster on this machine.

Every way takes the network and the shapes of its inputs, and gives one function an input. All compute in float32 unless
their title says otherwise.
"""

from __future__ import annotations

import copy
import io
import threading
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import nn

from busi_demo.models.base import ApproachModel
from busi_demo.types import InputError

Tensors = tuple[torch.Tensor, ...]
Run = Callable[[torch.Tensor], Tensors]
Compile = Callable[[ApproachModel, Sequence[torch.Tensor], int], list[Run]]

EAGER = "eager"


@dataclass(frozen=True)
class Engine:
    """A way to run networks.

    Attributes:
        title: what people call it.
        compile: network, example inputs and number of threads -> a function for each input.
        needs: package that must be installed; `None`: no further one.
        side_by_side: whether passes run at the same time, each with its share of the threads, where there are several.
        by_default: whether it is tried when an engine is chosen; otherwise only the benchmark does.
    """

    title: str
    compile: Compile
    needs: str | None = None
    side_by_side: bool = False
    by_default: bool = True

    @property
    def available(self) -> bool:
        """Whether this machine can run it."""
        if self.needs == "cuda":
            return torch.cuda.is_available()
        return self.needs is None or find_spec(self.needs) is not None


class _Tensors(nn.Module):
    """`ApproachModel.tensors` as the forward pass of a module, which is what compilers take."""

    def __init__(self, network: ApproachModel) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> Tensors:
        return self.network.tensors(x)


def _eager(network: ApproachModel, inputs: Sequence[torch.Tensor], threads: int) -> list[Run]:
    return [network.tensors for _ in inputs]  # with the threads that PyTorch has where it is called


def _channels_last(network: ApproachModel, inputs: Sequence[torch.Tensor], threads: int) -> list[Run]:
    moved = copy.deepcopy(network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def run(x: torch.Tensor) -> Tensors:
        return tuple(t.contiguous() for t in moved.tensors(x.contiguous(memory_format=torch.channels_last)))

    return [run for _ in inputs]


def _cuda(network: ApproachModel, inputs: Sequence[torch.Tensor], threads: int, half: bool = False) -> list[Run]:
    moved = copy.deepcopy(network).to("cuda", memory_format=torch.channels_last)  # type: ignore[call-overload]

    def run(x: torch.Tensor) -> Tensors:
        with torch.autocast("cuda", torch.bfloat16, enabled=half):
            outputs = moved.tensors(x.to("cuda", memory_format=torch.channels_last))
        return tuple(t.float().contiguous().cpu() for t in outputs)

    return [run for _ in inputs]


def _inductor(network: ApproachModel, inputs: Sequence[torch.Tensor], threads: int) -> list[Run]:
    compiled = torch.compile(_Tensors(network))
    return [compiled for _ in inputs]


def _openvino(network: ApproachModel, inputs: Sequence[torch.Tensor], threads: int) -> list[Run]:
    # openvino.convert_model reports its use to a server; its front end alone does not
    from openvino import Core
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the tracer: sizes are constants of the graph
        decoder = TorchScriptPythonDecoder(_Tensors(network), example_input=(inputs[0],), shared_memory=True)
        front_end = FrontEndManager().load_by_framework("pytorch")
        model = front_end.convert(front_end.load(decoder))
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "ENABLE_CPU_PINNING": False}
    runs = []
    for x in inputs:
        model.reshape({model.inputs[0]: list(x.shape)})
        request = Core().compile_model(model, "CPU", settings).create_infer_request()
        runs.append(_locked(partial(_run_request, request)))
    return runs


def _onnxruntime(network: ApproachModel, inputs: Sequence[torch.Tensor], threads: int) -> list[Run]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    runs = []
    for x in inputs:
        file = io.BytesIO()
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            graph = _Frozen(torch.export.export(_Tensors(network), (x,)).module())  # its sizes are numbers
            torch.onnx.export(graph, (x,), file, input_names=["x"], dynamo=False)  # type: ignore[arg-type]
        session = onnxruntime.InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])
        runs.append(_locked(partial(_run_session, session)))
    return runs


class _Frozen(nn.Module):
    """An exported graph, hidden from `train` and `eval`, which it does not have."""

    def __init__(self, graph: nn.Module) -> None:
        super().__init__()
        self.graph = [graph]

    def forward(self, x: torch.Tensor) -> Tensors:
        return self.graph[0](x)


def _run_session(session: Any, array: np.ndarray) -> Any:
    return session.run(None, {"x": array})


def _run_request(request: Any, array: np.ndarray) -> Any:
    return request.infer([array], share_inputs=True).values()


def _locked(run: Callable[[np.ndarray], Any]) -> Run:
    """A function of tensors from one of arrays; one call at a time, because its outputs may be used again."""
    lock = threading.Lock()

    def tensors(x: torch.Tensor) -> Tensors:
        with lock:
            return tuple(torch.from_numpy(np.array(output)) for output in run(x.contiguous().numpy()))

    return tensors


ENGINES: dict[str, Engine] = {
    EAGER: Engine("PyTorch", _eager, side_by_side=True),
    "channels_last": Engine("PyTorch, channels last", _channels_last, side_by_side=True),
    "openvino": Engine("OpenVINO", _openvino, needs="openvino", side_by_side=True),
    # its export takes ten times as long as that of OpenVINO, and its passes are no faster
    "onnxruntime": Engine("ONNX Runtime", _onnxruntime, needs="onnxruntime", side_by_side=True, by_default=False),
    "inductor": Engine("torch.compile", _inductor, by_default=False),
    "cuda": Engine("PyTorch on a GPU", _cuda, needs="cuda"),
    "cuda_bf16": Engine("PyTorch on a GPU, bfloat16", partial(_cuda, half=True), needs="cuda"),
}
"""Key -> way to run networks."""


def find_engine(key: str) -> Engine:
    """The engine of a key.

    Raises:
        InputError: there is none, or its package is not installed.
    """
    if key not in ENGINES:
        raise InputError(f"There is no engine {key!r}: choose one of {', '.join(ENGINES)}.")
    engine = ENGINES[key]
    if not engine.available:
        what = "a GPU that PyTorch can use" if engine.needs == "cuda" else f"the package {engine.needs}"
        raise InputError(f"The engine {key} needs {what}: install it, or choose another one.")
    return engine

"""Other programs that run the same models: ONNX Runtime, OpenVINO and llama.cpp.

The first two are called as transformers' model is, which is exported once and kept beside its
checkpoint; llama.cpp reads files that Temper writes.
"""

import json
import warnings
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import BertForSequenceClassification

# Token ids of texts, from which OpenVINO learns the range of activations.
CALIBRATION = "calibration.json"
# Beside the checkpoint.
PLAIN = "model.onnx"
ONNX_INT8 = "model.int8.onnx"
OPENVINO_INT8 = "model.int8.xml"

Arrays = dict[str, NDArray[np.int64]]


class Engine:
    """A program with a model, called as transformers' model is."""

    device = torch.device("cpu")

    def __init__(self, run: Callable[[Arrays], NDArray[np.float32]]) -> None:
        """Keep what computes logits."""
        self.run = run

    def eval(self) -> "Engine":
        """Do nothing: an exported model is never in training."""
        return self

    def __call__(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> SimpleNamespace:
        """Compute the logits of a batch."""
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        arrays = {"input_ids": input_ids.numpy(), "attention_mask": mask.numpy()}
        return SimpleNamespace(logits=torch.from_numpy(self.run(arrays)))


class Logits(torch.nn.Module):
    """The model as it is exported: two inputs, one output."""

    def __init__(self, model: BertForSequenceClassification) -> None:
        """Keep the model."""
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Compute the logits."""
        return self.model(input_ids=input_ids, attention_mask=attention_mask).logits


def prepare(folder: Path) -> None:
    """Export the checkpoint to ONNX and quantise it, unless that was done before."""
    plain = folder / PLAIN
    if not plain.exists():
        export(folder, plain)
    quantized = folder / ONNX_INT8
    if not quantized.exists():
        from onnxruntime.quantization import QuantType, quantize_dynamic

        # Ranges of activations are found batch by batch; each channel of a weight has its scale.
        quantize_dynamic(plain, quantized, weight_type=QuantType.QInt8, per_channel=True)
    quantized = folder / OPENVINO_INT8
    if not quantized.exists():
        import nncf
        import openvino

        rows = json.loads((folder / CALIBRATION).read_text(encoding="utf-8"))
        model = nncf.quantize(
            openvino.Core().read_model(plain),
            nncf.Dataset(rows, calibrating_batch),
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(rows),
        )
        openvino.save_model(model, quantized, compress_to_fp16=False)


def export(folder: Path, path: Path) -> None:
    """Export the checkpoint to ONNX, for any number of rows and tokens."""
    model = BertForSequenceClassification.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    )
    # Rows and tokens that no other size of the model equals.
    ids = torch.randint(1000, 2000, (3, 37))
    batch, length = torch.export.Dim("batch", max=512), torch.export.Dim("length", max=512)
    with warnings.catch_warnings(action="ignore"):
        torch.onnx.export(
            Logits(model).eval(),
            (ids, torch.ones_like(ids)),
            path,
            input_names=["input_ids", "attention_mask"],
            output_names=["logits"],
            dynamic_shapes=({0: batch, 1: length}, {0: batch, 1: length}),
            external_data=False,
            verbose=False,
        )


def onnxruntime(folder: Path, precision: str, threads: int) -> Engine:
    """Load the exported model into ONNX Runtime."""
    from onnxruntime import InferenceSession, SessionOptions

    path = folder / (ONNX_INT8 if precision == "int8" else PLAIN)
    options = SessionOptions()
    options.intra_op_num_threads = threads
    session = InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return Engine(lambda arrays: session.run(["logits"], arrays)[0])


def openvino(folder: Path, precision: str, threads: int) -> Engine:
    """Load the exported model into OpenVINO."""
    from openvino import Core

    path = folder / (OPENVINO_INT8 if precision == "int8" else PLAIN)
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
    }
    compiled = Core().compile_model(path, "CPU", settings)
    return Engine(lambda arrays: compiled(arrays)["logits"])


def calibrating_batch(ids: list[int]) -> Arrays:
    """Make a batch of one row."""
    row = np.array([ids], dtype=np.int64)
    return {"input_ids": row, "attention_mask": np.ones_like(row)}


def llama_tokens(file: str, prompt: list[int], count: int, threads: int) -> Callable[[], list[int]]:
    """Load a file into llama.cpp; return what generates tokens with it, one by one."""
    from llama_cpp import Llama

    model = Llama(file, n_threads=threads, n_threads_batch=threads, verbose=False)

    def tokens() -> list[int]:
        model.reset()
        return list(islice(model.generate(prompt, temp=0.0), count))

    return tokens


ENGINES = {"onnxruntime": onnxruntime, "openvino": openvino}

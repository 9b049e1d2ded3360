"""Write what PyTorch computes where Temper has fused operations of its own.

Every case of `kernels.safetensors` holds its random inputs (`CASE/input.NAME`), the
output, the gradient that comes in and the gradients of the inputs
(`CASE/gradient.NAME`); `adamw` holds a few steps. A second run writes the same bytes.
"""

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers.models.t5.modeling_t5 import T5Attention

from training import clip_and_step

SEED = 4
ROWS, INPUTS, OUTPUTS = 15, 22, 19
# Ragged, with a single token; queries of cross-attention have other lengths.
LENGTHS = (5, 1, 9)
QUERY_LENGTHS = (3, 4, 1)
HEADS, HEAD = 4, 6
WINDOW = 3
BUCKETS, MAX_DISTANCE = 8, 6
EPSILON = 1e-5
STEPS = 3
MAX_GRAD_NORM = 1.0

Operation = Callable[..., Tensor]
Record = dict[str, Tensor]


class Recorder:
    """Draws inputs and collects what operations make of them."""

    def __init__(self) -> None:
        """Restart the generator."""
        self.generator = torch.Generator().manual_seed(SEED)
        self.record: Record = {}

    def draw(self, *shape: int) -> Tensor:
        """Draw numbers from the standard normal distribution."""
        return torch.randn(shape, generator=self.generator)

    def case(self, name: str, operation: Operation, **shapes: tuple[int, ...]) -> None:
        """Call the operation on inputs of these shapes and record both of its passes."""
        inputs = {key: self.draw(*shape).requires_grad_() for key, shape in shapes.items()}
        output = operation(**inputs)
        incoming = self.draw(*output.shape)
        output.backward(incoming)
        self.record |= {f"{name}/output": output, f"{name}/incoming": incoming}
        for key, tensor in inputs.items():
            assert tensor.grad is not None
            self.record |= {f"{name}/input.{key}": tensor, f"{name}/gradient.{key}": tensor.grad}


ACTIVATIONS: dict[str, Operation] = {
    "gelu": F.gelu,
    "gelu_new": lambda x: F.gelu(x, approximate="tanh"),
    "relu": F.relu,
    "silu": F.silu,
    "tanh": torch.tanh,
}


def record_layers(recorder: Recorder) -> None:
    """Record linear maps, gates and norms. Weights are `[in, out]`, as in Temper."""
    shapes = {"x": (ROWS, INPUTS), "weight": (INPUTS, OUTPUTS), "bias": (OUTPUTS,)}
    for name, activation in ACTIVATIONS.items():

        def linear(x: Tensor, weight: Tensor, bias: Tensor, act: Operation = activation) -> Tensor:
            return act(F.linear(x, weight.T, bias))

        def gate(gate: Tensor, up: Tensor, act: Operation = activation) -> Tensor:
            return act(gate) * up

        recorder.case(f"linear.{name}", linear, **shapes)
        recorder.case(f"gate.{name}", gate, gate=(ROWS, INPUTS), up=(ROWS, INPUTS))
    recorder.case("linear", lambda x, weight, bias: F.linear(x, weight.T, bias), **shapes)

    def layer_norm(x: Tensor, residual: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
        return F.layer_norm(residual + x, (INPUTS,), gain, bias, EPSILON)

    def rms_norm(x: Tensor, gain: Tensor) -> Tensor:
        norm = LlamaRMSNorm(INPUTS, EPSILON)
        return torch.func.functional_call(norm, {"weight": gain}, (x,))

    matrix, row = (ROWS, INPUTS), (INPUTS,)
    recorder.case("layer_norm", layer_norm, x=matrix, residual=matrix, gain=row, bias=row)
    recorder.case("rms_norm", rms_norm, x=matrix, gain=row)


def sequence_mask(queries: int, keys: int, window: int | None) -> Tensor:
    """Return true where a query sees a key: not after it, nor before its window."""
    distance = distances(queries, keys)
    return (distance <= 0) & (distance > -(window or keys))


def distances(queries: int, keys: int) -> Tensor:
    """Return `key position - query position`, `[queries, keys]`."""
    return torch.arange(keys) - torch.arange(queries).unsqueeze(1)


def packed_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    query_lengths: tuple[int, ...] = LENGTHS,
    bias: Callable[[int, int], Tensor] | None = None,
    **options: object,
) -> Tensor:
    """Attend inside of each sequence of packed rows, `[rows, heads * head]`."""
    outputs = []
    splits = query.split(query_lengths), key.split(LENGTHS), value.split(LENGTHS)
    for parts in zip(*splits, strict=True):
        # [seq, heads * head] -> [heads, seq, head]
        heads = [part.unflatten(1, (-1, HEAD)).transpose(0, 1) for part in parts]
        mask = bias(len(parts[0]), len(parts[1])) if bias else None
        # A batch of one: enable_gqa asks for four dimensions.
        batch = [part.unsqueeze(0) for part in heads]
        output = F.scaled_dot_product_attention(*batch, attn_mask=mask, **options)[0]
        outputs.append(output.transpose(0, 1).flatten(1))
    return torch.cat(outputs)


def alibi_slopes() -> Tensor:
    """Return the slopes of Press et al. (2021) for a power of two of heads."""
    return torch.tensor([2.0 ** (-8.0 * (head + 1) / HEADS) for head in range(HEADS)])


def alibi_bias(queries: int, keys: int) -> Tensor:
    """Return ALiBi under a causal mask, `[heads, queries, keys]`."""
    bias = alibi_slopes()[:, None, None] * distances(queries, keys)
    return bias.masked_fill(~sequence_mask(queries, keys, None), -math.inf)


def t5_buckets(distance: Tensor) -> Tensor:
    """Return T5's bucket of each distance."""
    return T5Attention._relative_position_bucket(distance, True, BUCKETS, MAX_DISTANCE)


def t5_attention(query: Tensor, key: Tensor, value: Tensor, table: Tensor) -> Tensor:
    """Attend with T5's table of relative biases, `[buckets, heads]`, unscaled."""

    def bias(queries: int, keys: int) -> Tensor:
        # [queries, keys, heads] -> [heads, queries, keys]
        return table[t5_buckets(distances(queries, keys))].permute(2, 0, 1)

    return packed_attention(query, key, value, bias=bias, scale=1.0)


def record_attention(recorder: Recorder) -> None:
    """Record every pattern of attention."""
    rows, width = sum(LENGTHS), HEADS * HEAD
    matrices = dict.fromkeys(("query", "key", "value"), (rows, width))
    patterns: dict[str, dict[str, object]] = {
        "full": {},
        "causal": {"is_causal": True},
        "window": {"bias": lambda queries, keys: sequence_mask(queries, keys, WINDOW)},
        "alibi": {"bias": alibi_bias},
    }
    for name, options in patterns.items():

        def attend(chosen: dict[str, object] = options, **inputs: Tensor) -> Tensor:
            return packed_attention(**inputs, **chosen)

        recorder.case(f"attention.{name}", attend, **matrices)

    def grouped(**inputs: Tensor) -> Tensor:
        return packed_attention(**inputs, is_causal=True, enable_gqa=True)

    def cross(**inputs: Tensor) -> Tensor:
        return packed_attention(**inputs, query_lengths=QUERY_LENGTHS)

    half = (rows, width // 2)
    recorder.case("attention.grouped", grouped, query=(rows, width), key=half, value=half)
    recorder.case("attention.cross", cross, **matrices | {"query": (sum(QUERY_LENGTHS), width)})
    recorder.case("attention.t5", t5_attention, **matrices, table=(BUCKETS, HEADS))
    longest = max(LENGTHS)
    recorder.record |= {
        "attention.alibi/slopes": alibi_slopes(),
        "attention.t5/buckets": t5_buckets(torch.arange(1 - longest, longest)),
    }


def record_lookups_and_losses(recorder: Recorder) -> None:
    """Record the embedding and the summed cross-entropy with ignored targets."""
    # Some ids several times, some never.
    ids = torch.arange(ROWS) ** 2 % 11
    targets = torch.arange(ROWS) * 7 % OUTPUTS
    targets[1::4] = -100

    def cross_entropy(logits: Tensor) -> Tensor:
        return F.cross_entropy(logits, targets, ignore_index=-100, reduction="sum")

    recorder.case("embedding", lambda table: F.embedding(ids, table), table=(13, INPUTS))
    recorder.case("cross_entropy", cross_entropy, logits=(ROWS, OUTPUTS))
    recorder.record |= {"embedding/ids": ids, "cross_entropy/targets": targets}


def record_adamw(recorder: Recorder) -> None:
    """Record steps of two parameters of which the first decays; the last is not clipped."""
    module = torch.nn.ParameterDict(
        {
            "weight": torch.nn.Parameter(recorder.draw(INPUTS, OUTPUTS)),
            "bias": torch.nn.Parameter(recorder.draw(OUTPUTS)),
        }
    )
    groups = [
        {"params": [module["weight"]], "weight_decay": 0.1},
        {"params": [module["bias"]], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-2, betas=(0.9, 0.999), eps=1e-8)
    for name, parameter in module.items():
        recorder.record[f"adamw/before.{name}"] = parameter.detach().clone()
    for step in range(1, STEPS + 1):
        scale = 0.01 if step == STEPS else 1.0
        for name, parameter in module.items():
            parameter.grad = scale * recorder.draw(*parameter.shape)
            recorder.record[f"adamw/{step}.gradient.{name}"] = parameter.grad.clone()
        norm = clip_and_step(module, optimizer, MAX_GRAD_NORM)
        recorder.record[f"adamw/{step}.norm"] = norm.reshape(1)
        for name, parameter in module.items():
            recorder.record[f"adamw/{step}.after.{name}"] = parameter.detach().clone()
    for name, parameter in module.items():
        state = optimizer.state[parameter]
        recorder.record[f"adamw/first_moment.{name}"] = state["exp_avg"]
        recorder.record[f"adamw/second_moment.{name}"] = state["exp_avg_sq"]


def main() -> None:
    """Write the fixture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    arguments = parser.parse_args()

    # One thread: the order of a sum, and so its last bit, must not depend on the machine's cores.
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    recorder = Recorder()
    record_layers(recorder)
    record_attention(recorder)
    record_lookups_and_losses(recorder)
    record_adamw(recorder)
    tensors = {name: tensor.detach().contiguous() for name, tensor in recorder.record.items()}
    arguments.out.mkdir(parents=True, exist_ok=True)
    save_file(tensors, arguments.out / "kernels.safetensors", metadata={"format": "pt"})
    print(f"wrote {arguments.out / 'kernels.safetensors'}")


if __name__ == "__main__":
    main()

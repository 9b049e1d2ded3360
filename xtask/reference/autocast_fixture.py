"""Write how far PyTorch's bfloat16 autocast is from f32 on every model of the zoo.

One file, `autocast.json`: for each folder the norm of the difference of the logits, and that of
all gradients of the loss, relative to the norms of the f32 values. It is what Temper's bfloat16 is
measured by: the errors themselves depend on the order of sums, their size does not.
"""

import argparse
import json
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file
from torch import Tensor

INPUTS = (
    "input_ids",
    "attention_mask",
    "token_type_ids",
    "decoder_input_ids",
    "decoder_attention_mask",
)
TARGETS = ("labels", "start_positions", "end_positions", "next_sentence_label")
LOGITS = ("logits", "start_logits", "end_logits", "prediction_logits")


def real(logits: Tensor, mask: Tensor) -> Tensor:
    """Logits at padding are nobody's: zeros."""
    if logits.shape[:2] != mask.shape:
        return logits
    return logits * (mask if logits.dim() == 2 else mask[..., None])


def values(folder: Path, autocast: bool) -> tuple[Tensor, Tensor]:
    """Logits and gradients, flat."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    architecture = getattr(transformers, config["architectures"][0])
    # As Temper computes attention: in two products.
    model = architecture.from_pretrained(folder, attn_implementation="eager").eval()
    reference = load_file(folder / "reference.safetensors")
    arguments = {name: reference[name] for name in INPUTS + TARGETS if name in reference}
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        output = model(**arguments)
    output.loss.backward()
    mask = arguments.get("decoder_attention_mask", arguments["attention_mask"])
    logits = [real(output[name].detach().float(), mask) for name in LOGITS if name in output]
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    flat = [torch.cat([tensor.flatten() for tensor in tensors]) for tensors in (logits, gradients)]
    return flat[0], flat[1]


def errors(folder: Path) -> dict[str, float]:
    """Return the relative errors of one model."""
    exact, rounded = values(folder, autocast=False), values(folder, autocast=True)
    pairs = zip(("logits", "gradients"), exact, rounded, strict=True)
    return {name: float(f"{((b - a).norm() / a.norm()).item():.2e}") for name, a, b in pairs}


def main() -> None:
    """Write `autocast.json` into the folder, of the models in its `zoo`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    out = parser.parse_args().out
    torch.set_num_threads(1)
    table = {folder.name: errors(folder) for folder in sorted((out / "zoo").iterdir())}
    path = out / "autocast.json"
    path.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8", newline="\n")
    print(f"{path.name}: {len(table)} models")


if __name__ == "__main__":
    main()

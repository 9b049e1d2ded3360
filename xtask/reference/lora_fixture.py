"""Write adapters as PEFT makes them, and what PEFT computes with them.

The base models and batches are those of `zoo/`. Every case has a folder `lora/CASE` with the
adapter as PEFT saves it (`adapter_config.json`, `adapter_model.safetensors`), the base's name
(`base.txt`) and the values (`reference.safetensors`): logits, loss, gradients and three AdamW
steps, under the names of the adapter's tensors. All is seeded.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers.utils import logging

import zoo_cases
from parity import InDouble, Schedule, training_reference
from zoo_forward import Batch

SCHEDULE = Schedule(steps=3, warmup_steps=1)
SPREAD = 0.3
# A seed's values after training may differ by this between float32 and float64.
CLOSE = 5e-7
SEEDS = range(100)
ZOO = Path(__file__).resolve().parents[2] / "crates/temper-models/tests/fixtures/zoo"
INPUTS = ("input_ids", "attention_mask", "token_type_ids", "labels")


@dataclass(frozen=True)
class Case:
    """A base model of the zoo and the settings of its adapter."""

    base: str
    settings: dict[str, object]


CASES = {
    "bert": Case(
        "bert-sequence-classification",
        {"r": 2, "lora_alpha": 3, "target_modules": ["query", "value"]},
    ),
    "bert-all-linear": Case(
        "bert-sequence-classification",
        {
            "r": 2,
            "lora_alpha": 4,
            "target_modules": "all-linear",
            "rank_pattern": {"attention.output.dense": 3},
            "alpha_pattern": {r"layer\.1\..*value": 5},
        },
    ),
    "roberta": Case(
        "roberta-sequence-classification",
        {"r": 3, "lora_alpha": 3, "target_modules": ["query", "intermediate.dense"]},
    ),
    "gpt2": Case(
        "gpt2-sequence-classification",
        {
            "r": 2,
            "lora_alpha": 4,
            "target_modules": ["c_attn", "c_fc", "c_proj"],
            "fan_in_fan_out": True,
        },
    ),
    "bloom": Case(
        "bloom-sequence-classification",
        {"r": 2, "lora_alpha": 4, "target_modules": ["query_key_value", "dense_4h_to_h"]},
    ),
    "falcon-40b": Case(
        "falcon-40b-sequence-classification",
        {"r": 2, "lora_alpha": 4, "target_modules": ["query_key_value", "dense"]},
    ),
    "llama2-gqa": Case(
        "llama2-gqa-sequence-classification",
        {"r": 2, "lora_alpha": 4, "target_modules": ["q_proj", "v_proj", "gate_proj", "down_proj"]},
    ),
    "t5": Case(
        "t5-sequence-classification",
        {
            "r": 2,
            "lora_alpha": 4,
            "target_modules": ["q", "v", "wi"],
            "modules_to_save": ["classification_head"],
        },
    ),
}


def build(case: Case, zoo: Path, seed: int) -> PeftModel:
    """Put a random adapter on the base model."""
    base = next(entry for entry in zoo_cases.all_cases() if entry.name == case.base)
    attention = base.settings.attention
    model = base.model.from_pretrained(zoo / case.base, attn_implementation=attention)
    adapted = get_peft_model(model, LoraConfig(task_type="SEQ_CLS", **case.settings))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.copy_(SPREAD * torch.randn(parameter.shape, generator=generator))
    return adapted.train()


def read_batch(case: Case, zoo: Path) -> Batch:
    """Read the batch that the base model's reference was computed on."""
    tensors = load_file(zoo / case.base / "reference.safetensors")
    return {name: tensors[name] for name in INPUTS if name in tensors}


def stored_name(name: str) -> str:
    """Return the name under which PEFT saves a parameter."""
    return name.replace(".modules_to_save.default", "").replace(".default", "")


def train(model: PeftModel, batch: Batch) -> dict[str, Tensor]:
    """Record gradients and a few steps, under the adapter's names."""

    def loss(model: nn.Module) -> Tensor:
        # Around the task's wrapper, which passes arguments that not every family takes.
        return model.base_model(**batch).loss

    loss(model).backward()
    found = {
        f"grad.{stored_name(name)}": parameter.grad.clone()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }
    model.zero_grad()
    record = training_reference(model, SCHEDULE, loss)
    return found | {stored_name(name): value for name, value in record.items()}


def choose_seed(case: Case, zoo: Path, batch: Batch) -> tuple[int, dict[str, Tensor]]:
    """Find the first seed whose values rounding does not turn into others."""
    for seed in SEEDS:
        record = train(build(case, zoo, seed), batch)
        with InDouble():
            exact = train(build(case, zoo, seed).double(), batch)
        after = [name for name in record if name.startswith("after.")]
        if max((record[name] - exact[name]).abs().max().item() for name in after) < CLOSE:
            return seed, record
    raise RuntimeError(f"{case.base}: no seed is good enough")


def write_case(name: str, case: Case, zoo: Path, folder: Path) -> None:
    """Write one adapter and its values."""
    batch = read_batch(case, zoo)
    seed, record = choose_seed(case, zoo, batch)
    model = build(case, zoo, seed)
    model.save_pretrained(folder)
    (folder / "README.md").unlink()
    path = folder / "adapter_config.json"
    # The base was loaded from a folder of this machine.
    config = json.loads(path.read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = case.base
    if isinstance(config["target_modules"], list):
        config["target_modules"].sort()
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    (folder / "base.txt").write_text(f"{case.base}\n", encoding="utf-8")
    with torch.no_grad():
        output = model.eval().base_model(**batch)
    record |= {"logits": output.logits, "loss": output.loss}
    tensors = {key: tensor.detach().contiguous().clone() for key, tensor in record.items()}
    save_file(tensors, folder / "reference.safetensors", metadata={"format": "pt"})
    print(f"{name}: seed {seed}", flush=True)


def main() -> None:
    """Write the cases named on the command line, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    parser.add_argument("--zoo", type=Path, default=ZOO, help="the base models")
    parser.add_argument("--case", choices=CASES, nargs="*", default=list(CASES))
    arguments = parser.parse_args()

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    # One thread: the order of a sum, and so its last bit, must not depend on the machine's cores.
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for name in arguments.case:
        write_case(name, CASES[name], arguments.zoo, arguments.out / "lora" / name)


if __name__ == "__main__":
    main()

"""Write adapters with unusual settings as PEFT saves them, and what PEFT computes with them.

The base models and batches are those of `zoo/`. Every case has a folder `peft/CASE` with the
adapter, the base's name (`base.txt`) and `reference.safetensors`: the logits of the adapter on
the base, at real tokens alone. All is seeded. PEFT's own merged model, saved and loaded again, has
to compute the same, except where it is known to be wrong: a low-rank path on an output that is tied
goes into the token embedding, too, and transformers does not save the second name of an untied
masked head's bias.
"""

import argparse
import json
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel
from transformers.utils import logging

import zoo_cases
from zoo_forward import Batch

ZOO = Path(__file__).resolve().parents[2] / "crates/temper-models/tests/fixtures/zoo"
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
SPREAD = 0.3
SAME = 1e-5


@dataclass(frozen=True)
class Case:
    """A base model of the zoo and the settings of its adapter."""

    base: str
    settings: dict[str, object]
    task: str | None = "CAUSAL_LM"
    # Rows that the token embedding is resized to before training.
    tokens: int | None = None
    save: dict[str, object] = field(default_factory=dict)
    merges_in_peft: bool = True


BERT = "bert-sequence-classification"
LLAMA = "llama-causal-lm"
GPT2 = "gpt2-causal-lm"
CASES = {
    "look-around": Case(
        BERT,
        {
            "r": 2,
            "lora_alpha": 3,
            "target_modules": r".*(?<!output)\.(query|value|dense)(?<!pooler\.dense)",
            "alpha_pattern": {
                r"bert(?!.*layer\.1).*value": 50,
                "self.value": 9,
                "value": 7,
                "^encoder.*": 2,
            },
            "rank_pattern": {r".*layer\.(?=0)\d+.*query": 3, "attention.self.query": 1},
        },
        "SEQ_CLS",
    ),
    "rank-stabilised": Case(
        BERT,
        {
            "r": 4,
            "lora_alpha": 3,
            "use_rslora": True,
            "target_modules": ["query", "output.dense"],
            "rank_pattern": {"query": 2},
        },
        "SEQ_CLS",
    ),
    "layers-and-exclusions": Case(
        BERT,
        {
            "r": 2,
            "lora_alpha": 5,
            "target_modules": ["query", "dense"],
            "layers_to_transform": [1],
            "layers_pattern": ["layer"],
            "exclude_modules": r".*attention\.output.*",
        },
        "SEQ_CLS",
    ),
    "bias-all": Case(
        BERT, {"r": 2, "lora_alpha": 2, "target_modules": ["value"], "bias": "all"}, "SEQ_CLS"
    ),
    "bias-of-fused-maps": Case(
        GPT2,
        {"r": 2, "lora_alpha": 2, "target_modules": ["c_attn", "c_fc"], "bias": "lora_only"},
    ),
    "output-path": Case(LLAMA, {"r": 2, "lora_alpha": 2, "target_modules": ["q_proj", "lm_head"]}),
    "tied-output-path": Case(
        GPT2,
        {"r": 2, "lora_alpha": 2, "target_modules": ["c_attn", "lm_head"]},
        merges_in_peft=False,
    ),
    "tied-output-saved": Case(
        GPT2,
        {"r": 2, "lora_alpha": 2, "target_modules": ["c_attn"], "modules_to_save": ["lm_head"]},
    ),
    "tied-table-saved": Case(
        GPT2,
        {"r": 2, "lora_alpha": 2, "target_modules": ["c_attn"], "modules_to_save": ["wte"]},
    ),
    "tied-both-saved": Case(
        GPT2,
        {
            "r": 2,
            "lora_alpha": 2,
            "target_modules": ["c_attn"],
            "modules_to_save": ["wte", "lm_head"],
        },
    ),
    "tied-and-kept-so": Case(
        GPT2,
        {
            "r": 2,
            "lora_alpha": 2,
            "target_modules": ["c_attn"],
            "modules_to_save": ["lm_head"],
            "ensure_weight_tying": True,
        },
    ),
    "masked-head-saved": Case(
        "bert-masked-lm",
        {"r": 2, "lora_alpha": 2, "target_modules": ["query"], "modules_to_save": ["cls"]},
        task=None,
        merges_in_peft=False,
    ),
    "resized": Case(
        LLAMA,
        {"r": 2, "lora_alpha": 2, "target_modules": ["q_proj"]},
        tokens=50,
        save={"save_embedding_layers": True},
    ),
    "tied-and-resized": Case(
        GPT2,
        {"r": 2, "lora_alpha": 2, "target_modules": ["c_attn"]},
        tokens=50,
        save={"save_embedding_layers": True},
    ),
}


def base_of(case: Case, zoo: Path) -> PreTrainedModel:
    """Load the base model, with room for the case's tokens."""
    base = next(entry for entry in zoo_cases.all_cases() if entry.name == case.base)
    model = base.model.from_pretrained(zoo / case.base, attn_implementation=base.settings.attention)
    if case.tokens:
        torch.manual_seed(1)
        model.resize_token_embeddings(case.tokens)
    return model


def train(case: Case, zoo: Path) -> PeftModel:
    """Put an adapter on the base model and move all that it trains."""
    config = LoraConfig(task_type=case.task, **case.settings)
    torch.manual_seed(0)
    adapted = get_peft_model(base_of(case, zoo), config)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for _, parameter in sorted(adapted.named_parameters()):
            if parameter.requires_grad:
                parameter += SPREAD * torch.randn(parameter.shape, generator=generator)
    return adapted.eval()


def logits_of(model: PreTrainedModel, batch: Batch) -> Tensor:
    """Return logits, of a language model at the tokens that are no padding."""
    with torch.no_grad():
        logits = model(**batch).logits
    return logits[batch["attention_mask"].bool()] if logits.dim() == 3 else logits


def write_case(name: str, case: Case, zoo: Path, folder: Path) -> None:
    """Write one adapter and its logits."""
    tensors = load_file(zoo / case.base / "reference.safetensors")
    batch = {name: tensors[name] for name in INPUTS if name in tensors}
    train(case, zoo).save_pretrained(folder, **case.save)
    (folder / "README.md").unlink()
    adapted = PeftModel.from_pretrained(base_of(case, zoo), folder).eval()
    logits = logits_of(adapted.base_model.model, batch)
    with TemporaryDirectory() as merged:
        adapted.merge_and_unload().save_pretrained(merged)
        again = type(base_of(case, zoo)).from_pretrained(merged).eval()
        difference = (logits_of(again, batch) - logits).abs().max().item()
    if (difference < SAME) != case.merges_in_peft:
        raise RuntimeError(f"{name}: PEFT's merged model differs by {difference}")
    path = folder / "adapter_config.json"
    # The base was loaded from a folder of this machine.
    config = json.loads(path.read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = case.base
    for key in ("target_modules", "modules_to_save"):
        if isinstance(config[key], list):
            config[key].sort()
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (folder / "base.txt").write_text(f"{case.base}\n", encoding="utf-8")
    save_file({"logits": logits.contiguous()}, folder / "reference.safetensors")
    print(f"{name}: PEFT's merged model differs by {difference:.1e}", flush=True)


def main() -> None:
    """Write the cases named on the command line, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    parser.add_argument("--zoo", type=Path, default=ZOO, help="the base models")
    parser.add_argument("--case", choices=CASES, nargs="*", default=list(CASES))
    arguments = parser.parse_args()

    warnings.simplefilter("ignore")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    # One thread: the order of a sum, and so its last bit, must not depend on the machine's cores.
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for name in arguments.case:
        write_case(name, CASES[name], arguments.zoo, arguments.out / "peft" / name)


if __name__ == "__main__":
    main()

"""Check that PEFT loads a run's adapter onto its base model and computes the same logits."""

import argparse
import json
import sys
import warnings
from pathlib import Path

import torch
import transformers
from peft import PeftModel, get_peft_model_state_dict
from safetensors.torch import load_file
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
)

from check_run import WarningCollector, largest_difference, read_reference, verdict

CLASSES = {
    "SEQ_CLS": AutoModelForSequenceClassification,
    "TOKEN_CLS": AutoModelForTokenClassification,
}


def state_faults(model: PeftModel, stored: dict[str, Tensor]) -> list[str]:
    """Say which tensors of the file PEFT did not take as they are, and which it misses."""
    state = get_peft_model_state_dict(model, save_embedding_layers=False)
    faults = [f"PEFT has no place for {name}" for name in stored.keys() - state.keys()]
    faults += [f"the file lacks {name}" for name in state.keys() - stored.keys()]
    common = stored.keys() & state.keys()
    changed = [name for name in common if not torch.equal(state[name], stored[name])]
    return faults + [f"PEFT has other values in {name}" for name in changed]


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", type=Path, required=True, help="folder of the base model")
    parser.add_argument(
        "--run", type=Path, required=True, help="run folder with adapter/ and model/"
    )
    parser.add_argument("--reference", type=Path, required=True, help="JSON lines: text, logits")
    parser.add_argument("--max-seq-length", type=int, default=128)
    parser.add_argument("--tolerance", type=float, default=1e-4)
    return parser.parse_args()


def main() -> int:
    """Load base and adapter, compare, print every fault; return the exit status."""
    arguments = parse_arguments()
    rows = read_reference(arguments.reference)
    adapter = arguments.run / "adapter"
    settings = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    # The head is new to the base model: its labels are the run's, its weights the adapter's.
    config = AutoConfig.from_pretrained(arguments.run / "model")
    tokenizer = AutoTokenizer.from_pretrained(arguments.run / "model")
    transformers.logging.set_verbosity_error()
    kind = CLASSES[settings["task_type"]]
    base = kind.from_pretrained(
        arguments.base,
        config=config,
        dtype=torch.float32,
        # A base may have a head for other labels.
        ignore_mismatched_sizes=True,
    )

    collector = WarningCollector()
    transformers.logging.set_verbosity_warning()
    transformers.logging.add_handler(collector)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = PeftModel.from_pretrained(base, adapter).eval()
    faults = state_faults(model, load_file(adapter / "adapter_model.safetensors"))
    difference = largest_difference(model, tokenizer, rows, arguments.max_seq_length)
    print(f"largest difference of a logit over {len(rows)} texts: {difference:.3e}")
    merged = model.merge_and_unload()
    difference_merged = largest_difference(merged, tokenizer, rows, arguments.max_seq_length)
    print(f"the same, merged by PEFT: {difference_merged:.3e}")

    # What will change in later versions is a matter between PEFT and transformers.
    spoken = [warning for warning in caught if not issubclass(warning.category, FutureWarning)]
    faults += [f"PEFT warns: {warning.message}" for warning in spoken]
    faults += [f"transformers warns: {message}" for message in collector.messages]
    return verdict([difference, difference_merged], arguments.tolerance, faults)


if __name__ == "__main__":
    sys.exit(main())

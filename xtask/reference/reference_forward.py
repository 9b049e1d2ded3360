"""Write what transformers computes for a checkpoint, as a reference for `temper verify`."""

import argparse
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file
from torch import Tensor
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedModel

# Of ragged length, one of them a pair, so that padding and segments matter.
TEXTS = [
    ("The film is a quiet triumph.",),
    ("No.",),
    ("What did the critics say?", "They praised the acting and found the plot too thin."),
    (
        "It runs for nearly three hours, wanders through four countries and a dozen half-told "
        "stories, and still leaves its audience wishing - against all reason - for more.",
    ),
    ("Café, naïve & 中国 😀 42%",),
]
HEAD_OUTPUTS = (
    "logits",
    "start_logits",
    "end_logits",
    "prediction_logits",
    "seq_relationship_logits",
)


def load_model(folder: Path) -> PreTrainedModel:
    """Load the architecture that config.json names, head included."""
    config = AutoConfig.from_pretrained(folder)
    architecture = (config.architectures or [None])[0]
    model_class = getattr(transformers, architecture) if architecture else AutoModel
    model = model_class.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    return model.eval()


def encode_texts(folder: Path) -> dict[str, Tensor]:
    """Tokenise the texts and pad them on the right."""
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="right")
    if tokenizer.pad_token is None:
        # Decoders have none; the mask hides whatever stands there.
        tokenizer.pad_token = tokenizer.eos_token
    rows = [tokenizer(*texts) for texts in TEXTS]
    return dict(tokenizer.pad(rows, return_tensors="pt"))


@torch.no_grad()
def forward_reference(model: PreTrainedModel, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the last hidden state and, if the model has a head, its outputs."""
    reference = {"last_hidden_state": model.base_model(**inputs).last_hidden_state}
    if model.base_model is not model:
        output = model(**inputs)
        reference |= {name: output[name] for name in HEAD_OUTPUTS if name in output}
    return reference


def main() -> None:
    """Write the inputs and outputs of the fixed texts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="checkpoint folder")
    parser.add_argument("--out", type=Path, required=True, help="safetensors file to write")
    arguments = parser.parse_args()

    torch.use_deterministic_algorithms(True)
    inputs = encode_texts(arguments.model)
    reference = inputs | forward_reference(load_model(arguments.model), inputs)
    tensors = {name: tensor.contiguous() for name, tensor in reference.items()}
    save_file(tensors, arguments.out, metadata={"format": "pt"})
    for name, tensor in sorted(tensors.items()):
        print(f"{name}: {list(tensor.shape)} {tensor.dtype}")


if __name__ == "__main__":
    main()

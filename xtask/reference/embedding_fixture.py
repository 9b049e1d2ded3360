"""Write the vectors that transformers and PyTorch give for texts, with a tiny model."""

import argparse
import json
import tempfile
from pathlib import Path

import torch
from torch import Tensor
from transformers import BertModel, BertTokenizer

MODEL = Path(__file__).parents[2] / "crates/temper-models/tests/fixtures/bert"
VOCABULARY = (
    "[PAD] [UNK] [CLS] [SEP] [MASK] the a this film plot cast story is was and very so "
    "good great fine fun bad dull poor weak . , not"
).split()
# Of ragged length, with an unknown word and an empty text.
TEXTS = [
    "the film is good.",
    "This story, so very dull and so very weak, is not fun.",
    "fine",
    "a quiet triumph",
    "",
]


def load_tokenizer() -> BertTokenizer:
    """Return a tokenizer of the vocabulary; a token's id is its place."""
    with tempfile.TemporaryDirectory() as folder:
        vocab_file = Path(folder) / "vocab.txt"
        vocab_file.write_text("\n".join(VOCABULARY), encoding="utf-8")
        return BertTokenizer(str(vocab_file))


@torch.no_grad()
def embeddings() -> dict[str, list[list[float]]]:
    """Return the vectors of every kind of pooling, and means of length 1."""
    inputs = load_tokenizer()(TEXTS, padding=True, return_tensors="pt")
    model = BertModel.from_pretrained(MODEL, dtype=torch.float32).eval()
    states: Tensor = model(**inputs).last_hidden_state
    mask = inputs["attention_mask"].unsqueeze(-1)
    lengths = mask.sum(1)
    mean = (states * mask).sum(1) / lengths
    last = states[torch.arange(len(TEXTS)), lengths.squeeze(-1) - 1]
    unit = torch.nn.functional.normalize(mean, dim=-1)
    pooled = {"mean": mean, "cls": states[:, 0], "last": last, "normalized": unit}
    return {name: vectors.tolist() for name, vectors in pooled.items()}


def main() -> None:
    """Write `embeddings.json` into the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    arguments = parser.parse_args()
    fixture = {"vocabulary": VOCABULARY, "texts": TEXTS, "embeddings": embeddings()}
    path = arguments.out / "embeddings.json"
    path.write_text(json.dumps(fixture, indent=1) + "\n", encoding="utf-8", newline="\n")
    print(f"{path.name}: {len(TEXTS)} texts")


if __name__ == "__main__":
    main()

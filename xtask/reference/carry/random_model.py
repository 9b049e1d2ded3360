"""Write a model of BERT's kind with random weights: speed does not ask what they are."""

import argparse
from pathlib import Path

import torch
from transformers import BertConfig, BertForSequenceClassification, logging

SHAPES = {
    "MiniLM": {
        "hidden_size": 384,
        "num_hidden_layers": 6,
        "num_attention_heads": 12,
        "intermediate_size": 1536,
    },
    "BERT-base": {},
    "tiny": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
    },
}


def main() -> None:
    """Write the checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    logging.disable_progress_bar()
    torch.manual_seed(42)
    model = BertForSequenceClassification(BertConfig(**SHAPES[arguments.shape]))
    model.save_pretrained(arguments.folder)


if __name__ == "__main__":
    main()

"""Write a model of BERT's or GPT-2's kind with random weights: speed does not depend on them."""

import argparse
from pathlib import Path

import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    logging,
)

SHAPES = {
    "MiniLM": {
        "hidden_size": 384,
        "num_hidden_layers": 6,
        "num_attention_heads": 12,
        "intermediate_size": 1536,
    },
    "BERT-base": {},
    # Of transformers' defaults, which are those of the smallest checkpoint.
    "GPT-2": {},
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
    sizes = SHAPES[arguments.shape]
    if arguments.shape == "GPT-2":
        model = GPT2LMHeadModel(GPT2Config(**sizes))
    else:
        model = BertForSequenceClassification(BertConfig(**sizes))
    model.save_pretrained(arguments.folder)


if __name__ == "__main__":
    main()

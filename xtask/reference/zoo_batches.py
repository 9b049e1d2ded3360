"""Batches for every head: ragged rows, padded on the right, with the head's labels."""

import torch
from torch import Tensor
from transformers import PreTrainedConfig

from zoo_families import (
    ANSWERING,
    CAUSAL,
    CLASSIFICATION,
    MASKED,
    PRETRAINING,
    TAGGING,
    TRANSLATING,
)

# From full down to a single token: the mask has to matter.
LENGTHS = (11, 7, 3, 1)
TARGET_LENGTHS = (5, 8, 2, 1)
IGNORED = -100
MASK = 3
# The ids before it have a meaning in one family or another.
FIRST_TOKEN = 4


def row_lengths(head: str, config: PreTrainedConfig) -> tuple[int, ...]:
    """Return the rows' lengths: a row that is pooled at its end token has one more token."""
    return (*LENGTHS[:-1], 2) if pools_end(head, config) else LENGTHS


def pools_end(head: str, config: PreTrainedConfig) -> bool:
    """Whether the head reads the decoder at the end token, as in T5 and BART."""
    return config.is_encoder_decoder and head == CLASSIFICATION


def draw_batch(head: str, config: PreTrainedConfig, seed: int) -> dict[str, Tensor]:
    """Draw token ids, mask, segment ids and the head's labels."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.tensor(row_lengths(head, config)).unsqueeze(1)
    rows, width = len(lengths), int(lengths.max())
    places = torch.arange(width)
    mask = (places < lengths).long()
    ids = torch.randint(FIRST_TOKEN, config.vocab_size, (rows, width), generator=generator)
    if pools_end(head, config):
        ids[places == lengths - 1] = config.eos_token_id
    batch = {
        "input_ids": torch.where(mask.bool(), ids, config.pad_token_id),
        "attention_mask": mask,
    }
    if getattr(config, "type_vocab_size", 0) > 1:
        batch["token_type_ids"] = (places >= (lengths + 1) // 2).long() * mask
    return batch | LABELLERS[head](batch, config, generator)


def class_labels(
    batch: dict[str, Tensor], config: PreTrainedConfig, _generator: torch.Generator
) -> dict[str, Tensor]:
    """Give every row a class."""
    return {"labels": torch.arange(len(batch["input_ids"])) % config.num_labels}


def tag_labels(
    batch: dict[str, Tensor], config: PreTrainedConfig, generator: torch.Generator
) -> dict[str, Tensor]:
    """Give every third token no tag, as a word's further pieces have none."""
    mask = batch["attention_mask"].bool()
    tags = torch.randint(0, config.num_labels, mask.shape, generator=generator)
    tagged = mask & (torch.arange(mask.shape[1]) % 3 != 1)
    return {"labels": torch.where(tagged, tags, IGNORED)}


def span_labels(
    batch: dict[str, Tensor], _config: PreTrainedConfig, _generator: torch.Generator
) -> dict[str, Tensor]:
    """Put an answer inside every row."""
    lengths = batch["attention_mask"].sum(1)
    return {"start_positions": lengths // 3, "end_positions": lengths * 2 // 3}


def next_token_labels(
    batch: dict[str, Tensor], _config: PreTrainedConfig, _generator: torch.Generator
) -> dict[str, Tensor]:
    """Repeat the ids: the model itself compares each place with the next token."""
    return {"labels": torch.where(batch["attention_mask"].bool(), batch["input_ids"], IGNORED)}


def masked_labels(
    batch: dict[str, Tensor], _config: PreTrainedConfig, _generator: torch.Generator
) -> dict[str, Tensor]:
    """Hide every fourth token and ask for it."""
    hidden = batch["attention_mask"].bool() & (torch.arange(max(LENGTHS)) % 4 == 2)
    return {
        "input_ids": torch.where(hidden, MASK, batch["input_ids"]),
        "labels": torch.where(hidden, batch["input_ids"], IGNORED),
    }


def pretraining_labels(
    batch: dict[str, Tensor], config: PreTrainedConfig, generator: torch.Generator
) -> dict[str, Tensor]:
    """Hide tokens, and say for every row whether its second half follows the first."""
    follows = {"next_sentence_label": torch.arange(len(batch["input_ids"])) % 2}
    return masked_labels(batch, config, generator) | follows


def target_labels(
    batch: dict[str, Tensor], config: PreTrainedConfig, generator: torch.Generator
) -> dict[str, Tensor]:
    """Draw ragged targets that stop at the end token."""
    lengths = torch.tensor(TARGET_LENGTHS).unsqueeze(1)
    places = torch.arange(max(TARGET_LENGTHS))
    shape = (len(batch["input_ids"]), len(places))
    ids = torch.randint(FIRST_TOKEN, config.vocab_size, shape, generator=generator)
    ids[places == lengths - 1] = config.eos_token_id
    return {"labels": torch.where(places < lengths, ids, IGNORED)}


LABELLERS = {
    CLASSIFICATION: class_labels,
    TAGGING: tag_labels,
    ANSWERING: span_labels,
    CAUSAL: next_token_labels,
    MASKED: masked_labels,
    PRETRAINING: pretraining_labels,
    TRANSLATING: target_labels,
}


def single_rows(batch: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    """Return the rows one by one, without their padding."""
    lengths = batch["attention_mask"].sum(1).tolist()
    width = max(lengths)
    return [
        {
            name: tensor[row : row + 1, :length] if tensor.shape[1:] == (width,) else tensor[[row]]
            for name, tensor in batch.items()
        }
        for row, length in enumerate(lengths)
    ]

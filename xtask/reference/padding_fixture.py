"""Write where transformers reads texts that contain the padding token, or end in it.

Models are the classifiers of the zoo, with `pad_token_id` as it is, with another one and without
one. Each row is computed alone and, where transformers can, padded in a batch; both must agree.
"""

import argparse
import json
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedModel
from transformers.utils import logging

ZOO = Path(__file__).parents[2] / "crates/temper-models/tests/fixtures/zoo"
DECODERS = ("gpt2", "openai-gpt", "gpt-neo", "bloom", "falcon-7b", "falcon-rw", "llama")
TRANSLATORS = ("t5", "bart")
COUNTERS = ("roberta", "camembert", "xlm-roberta")
OTHER_PAD = 7
# Two programs round sums in another order.
CLOSE = 1e-5


def decoder_rows(pad: int) -> list[list[int]]:
    """Return rows with padding nowhere, inside, at the start, at the end, and nothing else."""
    return [
        [9, 11, 30, 8],
        [9, pad, 30, 8, 12],
        [pad, pad, 20],
        [9, 11, pad],
        [5, 17, 33, pad, pad, pad],
        [14, pad],
        [pad, pad, pad],
        [pad],
        [23],
    ]


def translator_rows(pad: int, end: int) -> list[list[int]]:
    """Return rows with the same number of ends, which is what a batch must have."""
    return [
        [9, 11, 30, end],
        [9, pad, 30, 8, end],
        [end, 11, 20, 21, 8],
        [9, end, pad, pad],
        [end],
        [end, pad],
    ]


def ended_rows(end: int) -> list[list[int]]:
    """Return rows with several ends: the last one counts."""
    return [[end, 9, end, 4, end], [end, end, 30], [9, end, 8, end, 11, 12]]


def load(folder: Path, changes: dict[str, object]) -> PreTrainedModel:
    """Load a model under a changed configuration."""
    config = AutoConfig.from_pretrained(folder)
    for key, value in changes.items():
        setattr(config, key, value)
    model = AutoModelForSequenceClassification.from_pretrained(folder, config=config)
    return model.float().eval()


@torch.no_grad()
def alone(model: PreTrainedModel, row: list[int]) -> Tensor | None:
    """Return a row's logits, or none where transformers refuses it."""
    ids = torch.tensor([row])
    try:
        return model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0]
    except (ValueError, TypeError, RuntimeError):
        return None


@torch.no_grad()
def batched(model: PreTrainedModel, rows: list[list[int]]) -> Tensor:
    """Return the logits of rows that are padded on the right."""
    width, pad = max(map(len, rows)), model.config.pad_token_id
    ids = torch.tensor([row + [pad] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    return model(input_ids=ids, attention_mask=mask).logits


def record(case: str, changes: dict[str, object], rows: list[list[int]], batch: bool) -> dict:
    """Return the logits of rows, checked in a batch if asked for."""
    model = load(ZOO / f"{case}-sequence-classification", changes)
    logits = [alone(model, row) for row in rows]
    if batch:
        together = batched(model, rows)
        difference = (together - torch.stack(logits)).abs().max().item()
        assert difference < CLOSE, (case, changes, difference)
    values = [None if each is None else each.tolist() for each in logits]
    return {"case": case, "changes": changes, "rows": rows, "logits": values, "batched": batch}


def records() -> list[dict]:
    """Return every case."""
    found = []
    for case in DECODERS:
        for pad in (0, OTHER_PAD):
            found.append(record(case, {"pad_token_id": pad}, decoder_rows(pad), batch=True))
        # Without a padding token the last token is read, one row at a time.
        found.append(record(case, {"pad_token_id": None}, decoder_rows(0), batch=False))
        found.append(record(case, {"pad_token_id": -1}, decoder_rows(0), batch=False))
        # The end as padding: a text that is closed by it is read before it.
        found.append(record(case, {"pad_token_id": 2}, [[9, 11, 2], [2, 8, 2, 2], [5]], batch=True))
    for case in TRANSLATORS:
        config = AutoConfig.from_pretrained(ZOO / f"{case}-sequence-classification")
        pad, end = config.pad_token_id, config.eos_token_id
        found.append(record(case, {}, translator_rows(pad, end), batch=True))
        found.append(record(case, {}, [*ended_rows(end), [9, 11, 30], [pad]], batch=False))
        found.append(record(case, {"eos_token_id": 8}, [[9, 8, 30], [8, 9, 2], [2]], batch=False))
        # No row is computed.
        for nothing in (None, [2, 3]):
            found.append(record(case, {"eos_token_id": nothing}, [[9, 11, end]], batch=False))
    for case in COUNTERS:
        # Positions do not count padding.
        rows = [[0, 9, 11, 2], [0, 1, 9, 1, 1, 30, 2], [0, 9, 2, 1, 1], [1, 1, 9], [1]]
        found.append(record(case, {}, rows, batch=True))
    return found


def check_reading(records: list[dict]) -> None:
    """Check that the rules make a difference in these rows."""
    by_pad = {json.dumps([each["case"], each["changes"]]): each["logits"] for each in records}
    for case in DECODERS:
        read = by_pad[json.dumps([case, {"pad_token_id": 0}])]
        last = by_pad[json.dumps([case, {"pad_token_id": None}])]
        different = [left != right for left, right in zip(read, last, strict=True)]
        assert different[3:6] == [True, True, True], case


def main() -> None:
    """Write `padding.json` into the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    found = records()
    check_reading(found)
    path = arguments.out / "padding.json"
    lines = ",\n".join(json.dumps(each) for each in found)
    path.write_text(f"[\n{lines}\n]\n", encoding="utf-8", newline="\n")
    print(f"{path.name}: {len(found)} cases, {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()

"""PyTorch's side of the benchmark: does a job as often as bench_worker.py asks."""

import argparse
import json
import math
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    logging,
)

from training import clip_and_step, decayed_adamw

LEARNING_RATE = 2e-5
WEIGHT_DECAY = 0.01
MAX_GRAD_NORM = 1.0
# Rows that are predicted at once.
PREDICTED_ROWS = 32
TORCH = "torch"
CHANNELS = torch.ao.quantization.per_channel_dynamic_qconfig

Job = dict[str, Any]
Batch = dict[str, Tensor]


def device(job: Job) -> torch.device:
    """Return where the job computes; its backend bears Temper's name."""
    kind, _, number = job.get("backend", "flex").partition(":")
    return torch.device("cuda", int(number or 0)) if kind == "cuda" else torch.device("cpu")


def arithmetic(job: Job) -> torch.autocast:
    """Choose how f32 products are computed; return what casts to bfloat16 if that is wanted."""
    precision = job.get("precision", "f32")
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    return torch.autocast(device(job).type, torch.bfloat16, enabled=precision == "bf16")


def padded(rows: list[list[int]], device: torch.device) -> Batch:
    """Pad the rows to the longest; without padding there is no mask, which is faster."""
    longest = max(map(len, rows))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    lengths = torch.tensor([len(row) for row in rows])
    mask = torch.arange(longest) < lengths[:, None]
    batch = {"input_ids": ids} if mask.all() else {"input_ids": ids, "attention_mask": mask.long()}
    return {name: tensor.to(device) for name, tensor in batch.items()}


def load(job: Job) -> Any:  # noqa: ANN401
    """Load the job's checkpoint: into transformers, or into another engine that is called alike."""
    engine, precision = job.get("engine", TORCH), job.get("precision", "f32")
    if engine != TORCH:
        # Only the benchmark on a CPU has these programs.
        from bench_engines import ENGINES

        return ENGINES[engine](Path(job["model"]), precision, torch.get_num_threads())
    # With torch's fused attention where transformers has it for the family.
    kind = AutoModelForCausalLM if job.get("causal") else AutoModelForSequenceClassification
    model = kind.from_pretrained(job["model"], dtype=torch.float32)
    if precision == "int8":
        with warnings.catch_warnings(action="ignore"):
            # Weights by output channel, activations by batch, both 8 bits.
            return torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear: CHANNELS})
    return model.to(device(job))


class Forward:
    """Logits of batches that stand ready."""

    def __init__(self, job: Job) -> None:
        """Load the model and pad the batches."""
        self.arithmetic = arithmetic(job)
        self.model = load(job).eval()
        self.indices = job["batches"]
        rows = [[job["rows"][row] for row in indices] for indices in self.indices]
        self.batches = [padded(batch, device(job)) for batch in rows]

    @torch.inference_mode()
    def check(self) -> dict[str, Any]:
        """Return the logits in the order of the job's rows."""
        self.model.eval()
        logits = {}
        for rows, batch in zip(self.indices, self.batches, strict=True):
            with self.arithmetic:
                answer = self.model(**batch).logits
            logits |= dict(zip(rows, answer.tolist(), strict=True))
        return {"logits": [logits[row] for row in sorted(logits)]}

    @torch.inference_mode()
    def run(self) -> None:
        """Compute every batch once."""
        for batch in self.batches:
            with self.arithmetic:
                answer = self.model(**batch).logits
            answer.argmax(dim=-1).tolist()

    def finish(self) -> None:
        """Wait for what a GPU computes behind the program's back; its time counts."""


class Train(Forward):
    """Optimiser steps on batches that stand ready."""

    def __init__(self, job: Job) -> None:
        """Load the model, pad the batches, make the optimiser."""
        super().__init__(job)
        self.is_causal = job.get("causal", False)
        for rows, batch in zip(self.indices, self.batches, strict=True):
            if self.is_causal:
                ids, mask = batch["input_ids"], batch.get("attention_mask")
                batch["labels"] = ids if mask is None else ids.masked_fill(mask == 0, -100)
            else:
                labels = torch.tensor([job["labels"][row] for row in rows])
                batch["labels"] = labels.to(device(job))
        self.optimizer = decayed_adamw(self.model, LEARNING_RATE, WEIGHT_DECAY, fused=True)
        self.forward = torch.compile(self.model) if job.get("compile") else self.model
        self.losses: list[Tensor] = []

    @torch.inference_mode()
    def check(self) -> dict[str, Any]:
        """Return logits, or the loss of each batch of a language model."""
        if not self.is_causal:
            return super().check()
        self.model.eval()
        with self.arithmetic:
            losses = [self.model(**batch).loss.item() for batch in self.batches]
        return {"logits": [[loss] for loss in losses]}

    def run(self) -> None:
        """Take one step for each batch."""
        self.model.train()
        for batch in self.batches:
            with self.arithmetic:
                loss = self.forward(**batch).loss
            loss.backward()
            clip_and_step(self.model, self.optimizer, MAX_GRAD_NORM)
            self.losses.append(loss.detach())

    def finish(self) -> None:
        """Read every loss."""
        losses = [loss.item() for loss in self.losses]
        self.losses.clear()
        if not all(map(math.isfinite, losses)):
            raise ValueError(f"the losses are {losses}")


class Tokenize:
    """Texts to ids with the fast tokenizer."""

    def __init__(self, job: Job) -> None:
        """Load the tokenizer."""
        self.tokenizer = AutoTokenizer.from_pretrained(job["model"])
        self.texts = job["texts"]
        self.max_length = job["max_length"]

    def rows(self) -> list[list[int]]:
        """Return the ids of each text."""
        encoded = self.tokenizer(
            self.texts,
            truncation=True,
            max_length=self.max_length,
            return_attention_mask=False,
            return_token_type_ids=False,
        )
        return encoded["input_ids"]

    def check(self) -> dict[str, Any]:
        """Return the ids."""
        return {"rows": self.rows()}

    def run(self) -> None:
        """Encode every text once."""
        self.rows()

    def finish(self) -> None:
        """Nothing is left to wait for."""


class Predict(Tokenize):
    """Texts to labels; texts of like length share a batch."""

    def __init__(self, job: Job) -> None:
        """Load tokenizer and model."""
        super().__init__(job)
        self.arithmetic = arithmetic(job)
        self.model = load(job).eval()

    @torch.inference_mode()
    def logits(self) -> list[list[float]]:
        """Return the logits of each text."""
        rows = self.rows()
        order = sorted(range(len(rows)), key=lambda row: len(rows[row]), reverse=True)
        logits = {}
        for start in range(0, len(order), PREDICTED_ROWS):
            chosen = order[start : start + PREDICTED_ROWS]
            batch = padded([rows[row] for row in chosen], self.model.device)
            with self.arithmetic:
                answer = self.model(**batch).logits
            logits |= dict(zip(chosen, answer.tolist(), strict=True))
        return [logits[row] for row in range(len(rows))]

    def check(self) -> dict[str, Any]:
        """Return the logits."""
        return {"logits": self.logits()}

    def run(self) -> None:
        """Label every text once."""
        [row.index(max(row)) for row in self.logits()]


class Generate:
    """Greedy tokens after a prompt."""

    def __init__(self, job: Job) -> None:
        """Load the model."""
        prompt, count = job["rows"][0], job["new_tokens"]
        if job["engine"] == TORCH:
            self.tokens = torch_tokens(job, prompt, count)
        else:
            from bench_engines import llama_tokens

            self.tokens = llama_tokens(job["model"], prompt, count, torch.get_num_threads())

    def check(self) -> dict[str, Any]:
        """Return the new tokens."""
        return {"rows": [self.tokens()]}

    def run(self) -> None:
        """Generate once."""
        self.tokens()

    def finish(self) -> None:
        """Nothing is left to wait for."""


def torch_tokens(job: Job, prompt: list[int], count: int) -> Callable[[], list[int]]:
    """Load a language model; return what generates tokens with it."""
    dtype = torch.bfloat16 if job["precision"] == "bf16" else torch.float32
    model = AutoModelForCausalLM.from_pretrained(
        job["model"], dtype=dtype, attn_implementation="sdpa"
    ).eval()
    ids = torch.tensor([prompt])
    limits = {"do_sample": False, "min_new_tokens": count, "max_new_tokens": count}

    @torch.inference_mode()
    def tokens() -> list[int]:
        written = model.generate(ids, attention_mask=torch.ones_like(ids), **limits)
        return written[0, len(prompt) :].tolist()

    return tokens


def memory() -> dict[str, int] | None:
    """Return the most bytes that tensors took on the GPU, and that the allocator held for them."""
    if not torch.cuda.is_initialized():
        return None
    return {
        "in_use": torch.cuda.max_memory_allocated(),
        "reserved": torch.cuda.max_memory_reserved(),
    }


TASKS = {
    "forward": Forward,
    "train": Train,
    "tokenize": Tokenize,
    "predict": Predict,
    "generate": Generate,
}


def main() -> None:
    """Answer each line on stdin with a line on stdout."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("job", type=Path, help="JSON file that bench.py wrote")
    parser.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()
    logging.disable_progress_bar()
    torch.set_num_threads(arguments.threads)
    job = json.loads(arguments.job.read_text(encoding="utf-8"))
    task = TASKS[job["task"]](job)
    for line in sys.stdin:
        request = json.loads(line)
        if "repeat" in request:
            start = time.perf_counter()
            for _ in range(request["repeat"]):
                task.run()
            task.finish()
            answer = {"seconds": time.perf_counter() - start}
        elif "memory" in request:
            answer = memory()
        else:
            answer = task.check()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()

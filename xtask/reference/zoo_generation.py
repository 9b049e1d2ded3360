"""What `generate` of transformers writes after some prompts, one prompt at a time."""

import json

import torch
from torch import Tensor
from transformers import LogitsProcessor, PreTrainedModel

from zoo_batches import FIRST_TOKEN

PROMPT_LENGTHS = (1, 3, 5, 8)
NEW_TOKENS = 12
GREEDY = {"max_new_tokens": NEW_TOKENS}
PENALISED = GREEDY | {"repetition_penalty": 1.3}
PROLONGED = GREEDY | {"min_new_tokens": 6}
BEAMS = (
    GREEDY | {"num_beams": 3, "early_stopping": False, "length_penalty": 1.0},
    GREEDY | {"num_beams": 4, "early_stopping": True, "length_penalty": 2.0},
)
SEARCHED = GREEDY | {"num_beams": 3}
MORE = (
    *BEAMS,
    GREEDY | {"no_repeat_ngram_size": 2},
    {"max_length": 14, "min_length": 9},
    GREEDY | {"forced_bos_token_id": 5, "forced_eos_token_id": 6},
    SEARCHED | {"early_stopping": "never", "length_penalty": 0.5, "no_repeat_ngram_size": 2},
    SEARCHED | {"length_penalty": -1.0, "repetition_penalty": 1.3, "min_new_tokens": 4},
    SEARCHED | {"eos_token_id": [2, 11, 27, 6]},
    SEARCHED | {"forced_bos_token_id": 5, "forced_eos_token_id": 6, "early_stopping": True},
)
# Two programs may round scores that are closer than this into either order.
GAP = 1e-4
NOISY_RUNS = 8

Outputs = list[list[int]]


class Noise(LogitsProcessor):
    """Shifts every score a little, as rounding does."""

    def __init__(self, seed: int) -> None:
        """Draw the shifts from this seed."""
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, _input_ids: Tensor, scores: Tensor) -> Tensor:
        """Return the shifted scores."""
        return scores + GAP * (2.0 * torch.rand(scores.shape, generator=self.generator) - 1.0)


def draw_prompts(model: PreTrainedModel, seed: int) -> list[Tensor]:
    """Draw prompts of several lengths; those of an encoder stop at the end token."""
    generator, config = torch.Generator().manual_seed(seed), model.config
    end = [config.eos_token_id] if config.is_encoder_decoder else []
    drawn = (
        torch.randint(FIRST_TOKEN, config.vocab_size, (length,), generator=generator)
        for length in PROMPT_LENGTHS
    )
    return [torch.tensor([*prompt.tolist(), *end]) for prompt in drawn]


def generate(
    model: PreTrainedModel,
    prompt: Tensor,
    settings: dict[str, object],
    noise: Noise | None = None,
) -> tuple[list[int], float]:
    """Return the new ids, and how far the chosen ones were from the runners-up."""
    ids = prompt.unsqueeze(0)
    output = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        return_dict_in_generate=True,
        output_scores=True,
        logits_processor=[noise] if noise else [],
        **settings,
    )
    start = 1 if model.config.is_encoder_decoder else len(prompt)
    best = [scores[0].topk(2).values for scores in output.scores]
    return output.sequences[0, start:].tolist(), min((a - b).item() for a, b in best)


def greedy_outputs(
    model: PreTrainedModel, prompts: list[Tensor], settings: dict[str, object]
) -> Outputs | None:
    """Return the outputs unless a choice was too close."""
    results = [generate(model, prompt, settings) for prompt in prompts]
    clear = all(gap > GAP for _, gap in results)
    return [ids for ids, _ in results] if clear else None


def beam_outputs(
    model: PreTrainedModel, prompts: list[Tensor], settings: dict[str, object]
) -> Outputs | None:
    """Return the outputs unless a little noise changes one."""

    def run(noise_seed: int | None) -> Outputs:
        noise = [Noise(noise_seed) if noise_seed is not None else None for _ in prompts]
        pairs = zip(prompts, noise, strict=True)
        return [generate(model, prompt, settings, noise=drawn)[0] for prompt, drawn in pairs]

    outputs = run(None)
    return outputs if all(run(seed) == outputs for seed in range(NOISY_RUNS)) else None


def is_telling(outputs: list[Outputs]) -> bool:
    """Whether some outputs stop early, some do not, and the settings make a difference."""
    greedy = outputs[0]
    lengths = {len(ids) for ids in greedy}
    all_differ = len({json.dumps(each) for each in outputs}) == len(outputs)
    return all_differ and min(lengths) < PROLONGED["min_new_tokens"] and max(lengths) == NEW_TOKENS


def generation_records(model: PreTrainedModel, seed: int) -> list[dict[str, object]] | None:
    """Return what the model writes under every setting, or none if the seed is not of use."""
    prompts = draw_prompts(model, seed)
    outputs = [greedy_outputs(model, prompts, each) for each in (GREEDY, PENALISED, PROLONGED)]
    searched = BEAMS if model.config.is_encoder_decoder else ()
    if None in outputs or not is_telling(outputs):
        return None
    outputs += [beam_outputs(model, prompts, each) for each in searched]
    if None in outputs or not is_telling(outputs):
        return None
    settings = (GREEDY, PENALISED, PROLONGED, *searched)
    ids = [prompt.tolist() for prompt in prompts]
    return [
        {"settings": each, "prompts": ids, "outputs": written}
        for each, written in zip(settings, outputs, strict=True)
    ]


def is_clear(model: PreTrainedModel, prompt: Tensor, settings: dict[str, object]) -> bool:
    """Whether rounding cannot change what is written."""
    if "num_beams" in settings:
        return beam_outputs(model, [prompt], settings) is not None
    return greedy_outputs(model, [prompt], settings) is not None


def more_records(model: PreTrainedModel, seed: int) -> list[dict[str, object]]:
    """Return what the model writes under further settings, where rounding cannot change it."""
    records = []
    drawn = draw_prompts(model, seed)
    for settings in MORE[len(BEAMS) :] if model.config.is_encoder_decoder else MORE:
        prompts = [prompt for prompt in drawn if is_clear(model, prompt, settings)]
        if prompts:
            outputs = [generate(model, prompt, settings)[0] for prompt in prompts]
            ids = [prompt.tolist() for prompt in prompts]
            records.append({"settings": settings, "prompts": ids, "outputs": outputs})
    return records

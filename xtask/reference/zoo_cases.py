"""The cases of the parity tests as data: variants of the families, and their heads."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from transformers import PreTrainedConfig, PreTrainedModel

from zoo_families import (
    ANSWERING,
    CAUSAL,
    CLASSIFICATION,
    FAMILIES,
    MASKED,
    PRETRAINING,
    TAGGING,
    TRANSLATING,
)

LABELS = {
    CLASSIFICATION: ["negative", "neutral", "positive"],
    TAGGING: ["O", "B-NAME", "I-NAME"],
}


@dataclass(frozen=True)
class Variant:
    """A family with some switches set and the heads to write."""

    family: str
    heads: tuple[str, ...]
    switches: dict[str, object] = field(default_factory=dict)
    # An output layer with weights of its own where the configuration cannot say so.
    untied: bool = False
    # Keys of config.json as checkpoints from before transformers 5 have them; None leaves one out.
    stored: dict[str, object] = field(default_factory=dict)
    attention: str = "eager"


@dataclass(frozen=True)
class Case:
    """One model to write."""

    variant: str
    head: str

    @property
    def name(self) -> str:
        """The folder's name."""
        return f"{self.variant}-{self.head}"

    @property
    def settings(self) -> Variant:
        """The variant's entry."""
        return VARIANTS[self.variant]

    @property
    def model(self) -> type[PreTrainedModel]:
        """The class in transformers."""
        return FAMILIES[self.settings.family].model(self.head)

    def config(self) -> PreTrainedConfig:
        """Return a new configuration."""
        switches = self.settings.switches
        if self.head in LABELS:
            names = dict(enumerate(LABELS[self.head]))
            labels = {"id2label": names, "label2id": {name: i for i, name in names.items()}}
            switches = switches | labels
        return FAMILIES[self.settings.family].config(switches)


ENCODER = (CLASSIFICATION, TAGGING, ANSWERING, MASKED)
DECODER = (CLASSIFICATION, TAGGING, ANSWERING, CAUSAL)
WINDOW = {"use_sliding_window": True, "sliding_window": 4}
FALCON_RW = {"multi_query": False, "parallel_attn": False, "alibi": True, "bias": True}
FALCON_11B = {"new_decoder_architecture": True, "num_kv_heads": 2, "num_ln_in_parallel_attn": 1}

VARIANTS = {
    "bert": Variant("bert", (*ENCODER, PRETRAINING)),
    "roberta": Variant("roberta", ENCODER),
    "xlm-roberta": Variant("xlm-roberta", (CLASSIFICATION,)),
    "camembert": Variant("camembert", (CLASSIFICATION,)),
    "distilbert": Variant("distilbert", ENCODER),
    "electra": Variant("electra", ENCODER),
    "electra-base": Variant("electra", (MASKED,), {"embedding_size": 16, "hidden_act": "relu"}),
    "mpnet": Variant("mpnet", ENCODER),
    "albert": Variant("albert", ENCODER),
    "albert-groups": Variant("albert", (CLASSIFICATION,), {"num_hidden_groups": 2}),
    "deberta-v2": Variant("deberta-v2", ENCODER),
    # A vector for each distance, up to three; embedded positions and segments; the other
    # masked head.
    "deberta-v2-distances": Variant(
        "deberta-v2",
        (MASKED,),
        {
            "position_buckets": -1,
            "max_relative_positions": 3,
            "norm_rel_ebd": "none",
            "position_biased_input": True,
            "type_vocab_size": 2,
            "legacy": False,
        },
    ),
    "modernbert": Variant("modernbert", ENCODER),
    # As the checkpoints on the Hub: the mean is classified, and the spelling is the old one.
    "modernbert-mean": Variant(
        "modernbert",
        (CLASSIFICATION,),
        {
            "classifier_pooling": "mean",
            "rope_parameters": {
                "full_attention": {"rope_type": "default", "rope_theta": 1000.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
            },
        },
        stored={
            "layer_types": None,
            "rope_parameters": None,
            "global_attn_every_n_layers": 3,
            "global_rope_theta": 1000.0,
            "local_rope_theta": 100.0,
        },
    ),
    "modernbert-biases": Variant(
        "modernbert",
        (MASKED,),
        {
            "attention_bias": True,
            "mlp_bias": True,
            "norm_bias": True,
            "classifier_bias": True,
            "classifier_activation": "silu",
            "decoder_bias": False,
            "tie_word_embeddings": False,
            "layer_types": ["sliding_attention", "full_attention"] * 2,
        },
    ),
    "openai-gpt": Variant("openai-gpt", (CLASSIFICATION, CAUSAL)),
    "gpt2": Variant("gpt2", DECODER),
    "gpt2-switches": Variant(
        "gpt2",
        (CAUSAL,),
        {
            "scale_attn_by_inverse_layer_idx": True,
            "reorder_and_upcast_attn": True,
            "activation_function": "relu",
            "tie_word_embeddings": False,
        },
    ),
    "gpt2-noscale": Variant("gpt2", (CAUSAL,), {"scale_attn_weights": False}),
    "gpt-neo": Variant("gpt-neo", DECODER),
    "t5": Variant("t5", (CLASSIFICATION, TAGGING, ANSWERING, TRANSLATING)),
    # transformers ties T5 whatever the configuration says, unless the file has both matrices.
    "t5-v1.1": Variant(
        "t5",
        (CLASSIFICATION, TRANSLATING),
        {
            "feed_forward_proj": "gated-gelu",
            "tie_word_embeddings": False,
            "d_kv": 6,
            "num_decoder_layers": 1,
        },
        untied=True,
        stored={"tie_word_embeddings": False, "scale_decoder_outputs": None},
    ),
    "bart": Variant("bart", (CLASSIFICATION, ANSWERING, TRANSLATING)),
    "bart-scaled": Variant(
        "bart",
        (TRANSLATING,),
        {
            "scale_embedding": True,
            "activation_function": "relu",
            "decoder_layers": 1,
            "decoder_attention_heads": 2,
            "decoder_ffn_dim": 20,
        },
    ),
    "llama": Variant("llama", DECODER),
    "llama2-gqa": Variant(
        "llama",
        (CLASSIFICATION, CAUSAL),
        {"num_key_value_heads": 2, "tie_word_embeddings": True, "rms_norm_eps": 1e-5},
    ),
    "llama3": Variant(
        "llama",
        (CLASSIFICATION, CAUSAL),
        {
            "num_key_value_heads": 2,
            "head_dim": 8,
            "attention_bias": True,
            "mlp_bias": True,
            # Wavelengths 6, 20, 63 and 199: one is left alone, one interpolated, two are scaled.
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 100.0,
                "factor": 4.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 32,
            },
        },
    ),
    "llama-linear": Variant(
        "llama",
        (CAUSAL,),
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 1000.0, "factor": 2.0}},
        stored={
            "rope_parameters": None,
            "rope_scaling": {"type": "linear", "factor": 2.0},
            "rope_theta": 1000.0,
        },
    ),
    "mistral": Variant("mistral", DECODER),
    "mistral-0.3": Variant("mistral", (CAUSAL,), {"sliding_window": None, "head_dim": 8}),
    "qwen2": Variant("qwen2", DECODER),
    "qwen2-window": Variant(
        "qwen2",
        (CAUSAL,),
        WINDOW | {"max_window_layers": 1, "tie_word_embeddings": True},
        stored={"layer_types": None, "rope_parameters": None, "rope_theta": 10000.0},
    ),
    "qwen2-yarn": Variant(
        "qwen2",
        (CAUSAL,),
        {
            "hidden_size": 32,
            "rope_parameters": {
                "rope_type": "yarn",
                "rope_theta": 100.0,
                "factor": 4.0,
                "original_max_position_embeddings": 16,
            },
        },
    ),
    "qwen3": Variant("qwen3", DECODER),
    "qwen3-window": Variant(
        "qwen3",
        (CAUSAL,),
        WINDOW
        | {
            "layer_types": ["sliding_attention", "full_attention"],
            "attention_bias": True,
            "tie_word_embeddings": True,
        },
    ),
    "phi3": Variant("phi3", (CLASSIFICATION, TAGGING, CAUSAL)),
    # Half of each head turns. Every sequence is longer than the old context: transformers decides
    # for a batch as a whole.
    "phi3-long": Variant(
        "phi3",
        (CAUSAL,),
        {
            "hidden_size": 32,
            "max_position_embeddings": 64,
            "original_max_position_embeddings": 2,
            "rope_parameters": {
                "rope_type": "longrope",
                "rope_theta": 100.0,
                "partial_rotary_factor": 0.5,
                # What follows from so short a context would multiply scores by six.
                "attention_factor": 1.2,
                "short_factor": [1.0, 1.5],
                "long_factor": [2.0, 3.0],
            },
        },
    ),
    # As in the oldest files: "gelu" means the other form.
    "gemma": Variant("gemma", (CLASSIFICATION, TAGGING, CAUSAL), stored={"hidden_act": "gelu"}),
    "gemma2": Variant("gemma2", (CLASSIFICATION, TAGGING, CAUSAL)),
    "gemma2-plain": Variant(
        "gemma2",
        (CAUSAL,),
        {
            "attn_logit_softcapping": None,
            "final_logit_softcapping": None,
            "layer_types": ["full_attention", "sliding_attention"],
        },
    ),
    "gemma3": Variant(
        "gemma3",
        (CLASSIFICATION, CAUSAL),
        {
            "num_hidden_layers": 3,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        },
    ),
    # The spelling before transformers 5.
    "gemma3-scaled": Variant(
        "gemma3",
        (CAUSAL,),
        {
            "layer_types": ["sliding_attention", "full_attention"],
            "final_logit_softcapping": 3.0,
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
            },
        },
        stored={
            "layer_types": None,
            "sliding_window_pattern": 2,
            "rope_parameters": None,
            "rope_scaling": {"rope_type": "linear", "factor": 8.0},
            "rope_theta": 1000.0,
            "rope_local_base_freq": 100.0,
        },
    ),
    "falcon-7b": Variant("falcon", DECODER),
    "falcon-40b": Variant(
        "falcon", (CLASSIFICATION, CAUSAL), {"new_decoder_architecture": True, "num_kv_heads": 2}
    ),
    "falcon-11b": Variant("falcon", (CAUSAL,), FALCON_11B),
    # Eager attention adds ALiBi twice; what transformers runs unless told otherwise does not.
    "falcon-rw": Variant("falcon", (CLASSIFICATION, CAUSAL), FALCON_RW, attention="sdpa"),
    # Slopes that bfloat16 cannot hold: transformers rounds Falcon's to it.
    "falcon-rw-16heads": Variant(
        "falcon", (CAUSAL,), FALCON_RW | {"num_attention_heads": 16}, attention="sdpa"
    ),
    "bloom": Variant("bloom", DECODER),
    "bloom-postresidual": Variant(
        "bloom", (CAUSAL,), {"apply_residual_connection_post_layernorm": True}
    ),
    "bloom-6heads": Variant("bloom", (CAUSAL,), {"hidden_size": 24, "n_head": 6}),
}


def all_cases() -> Iterator[Case]:
    """Yield every case in the table's order."""
    for name, variant in VARIANTS.items():
        for head in variant.heads:
            yield Case(name, head)

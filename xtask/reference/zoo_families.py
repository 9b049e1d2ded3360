"""The families of the parity tests as data: their classes and tiny configurations."""

import copy
from dataclasses import dataclass
from importlib import import_module

import transformers
from transformers import PreTrainedConfig, PreTrainedModel

VOCABULARY = 48
POSITIONS = 40

CLASSIFICATION = "sequence-classification"
TAGGING = "token-classification"
ANSWERING = "question-answering"
CAUSAL = "causal-lm"
MASKED = "masked-lm"
PRETRAINING = "pretraining"
TRANSLATING = "seq2seq-lm"

# How transformers names the class of a head, after the family's prefix.
CLASSES = {
    CLASSIFICATION: "ForSequenceClassification",
    TAGGING: "ForTokenClassification",
    ANSWERING: "ForQuestionAnswering",
    CAUSAL: "ForCausalLM",
    MASKED: "ForMaskedLM",
    PRETRAINING: "ForPreTraining",
    TRANSLATING: "ForConditionalGeneration",
}
# Every dropout is off, whatever a family calls it: each program draws its own.
BERT = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "max_position_embeddings": POSITIONS,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "classifier_dropout": 0.0,
}
ROBERTA = BERT | {
    "type_vocab_size": 1,
    "layer_norm_eps": 1e-5,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
}
LLAMA = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": POSITIONS,
    "classifier_dropout": 0.0,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
GEMMA2 = LLAMA | {"head_dim": 8, "query_pre_attn_scalar": 5, "sliding_window": 4}
GPT = {
    "n_embd": 16,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": POSITIONS,
    "resid_pdrop": 0.0,
    "embd_pdrop": 0.0,
    "attn_pdrop": 0.0,
    "summary_first_dropout": 0.0,
    "pad_token_id": 0,
    "bos_token_id": 2,
    "eos_token_id": 2,
}


@dataclass(frozen=True)
class Family:
    """What transformers calls a family's classes, and its tiny configuration."""

    prefix: str
    settings: dict[str, object]
    causal: str = CLASSES[CAUSAL]
    # Where these are not named after the prefix.
    config_class: str | None = None
    classifier: str | None = None

    @property
    def config_name(self) -> str:
        """The class of the configuration."""
        return self.config_class or f"{self.prefix}Config"

    def model(self, head: str) -> type[PreTrainedModel]:
        """Return the class with this head."""
        prefix = (self.classifier if head == CLASSIFICATION else None) or self.prefix
        name = prefix + (self.causal if head == CAUSAL else CLASSES[head])
        # Not every class is among the package's own names.
        module = import_module(
            getattr(transformers, self.config_name).__module__.replace(
                "configuration_", "modeling_"
            )
        )
        return getattr(module, name)

    def config(self, switches: dict[str, object]) -> PreTrainedConfig:
        """Return the tiny configuration with these switches."""
        kind = getattr(transformers, self.config_name)
        # Configurations change the dictionaries that they are given.
        return kind(vocab_size=VOCABULARY, **copy.deepcopy(self.settings | switches))


FAMILIES = {
    "bert": Family("Bert", BERT | {"type_vocab_size": 2, "pad_token_id": 0}),
    "roberta": Family("Roberta", ROBERTA),
    "xlm-roberta": Family("XLMRoberta", ROBERTA),
    "camembert": Family("Camembert", ROBERTA),
    "distilbert": Family(
        "DistilBert",
        {
            "dim": 16,
            "hidden_dim": 24,
            "n_layers": 2,
            "n_heads": 4,
            "max_position_embeddings": POSITIONS,
            "dropout": 0.0,
            "attention_dropout": 0.0,
            "qa_dropout": 0.0,
            "seq_classif_dropout": 0.0,
            "pad_token_id": 0,
        },
    ),
    "electra": Family("Electra", BERT | {"embedding_size": 8, "pad_token_id": 0}),
    "mpnet": Family("MPNet", BERT | {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}),
    "albert": Family(
        "Albert",
        BERT
        | {
            "embedding_size": 8,
            "num_hidden_layers": 3,
            "classifier_dropout_prob": 0.0,
            "pad_token_id": 0,
        },
    ),
    # As its third version: distances of more than two share vectors.
    "deberta-v2": Family(
        "DebertaV2",
        BERT
        | {
            "type_vocab_size": 0,
            "relative_attention": True,
            "position_buckets": 4,
            "max_relative_positions": -1,
            "pos_att_type": "p2c|c2p",
            "share_att_key": True,
            "norm_rel_ebd": "layer_norm",
            "position_biased_input": False,
            "pooler_hidden_size": 16,
            "pad_token_id": 0,
        },
    ),
    # The third layer and the first see every token, the others two on each side.
    "modernbert": Family(
        "ModernBert",
        {
            "hidden_size": 16,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "intermediate_size": 24,
            "max_position_embeddings": POSITIONS,
            "local_attention": 4,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "cls_token_id": 1,
            "sep_token_id": 2,
        },
    ),
    "openai-gpt": Family("OpenAIGPT", GPT, causal="LMHeadModel"),
    "gpt2": Family("GPT2", GPT | {"n_inner": 24, "classifier_dropout": 0.0}, causal="LMHeadModel"),
    "gpt-neo": Family(
        "GPTNeo",
        {
            "hidden_size": 16,
            "num_layers": 4,
            "num_heads": 4,
            "intermediate_size": 24,
            "max_position_embeddings": POSITIONS,
            "attention_types": [[["global", "local"], 2]],
            "window_size": 4,
            "classifier_dropout": 0.0,
            "pad_token_id": 0,
            "bos_token_id": 2,
            "eos_token_id": 2,
        },
    ),
    "t5": Family(
        "T5",
        {
            "d_model": 16,
            "d_kv": 4,
            "d_ff": 24,
            "num_layers": 2,
            "num_heads": 4,
            "relative_attention_num_buckets": 8,
            "relative_attention_max_distance": 10,
            "dropout_rate": 0.0,
            "classifier_dropout": 0.0,
            "pad_token_id": 0,
            "eos_token_id": 2,
            "decoder_start_token_id": 0,
        },
    ),
    "bart": Family(
        "Bart",
        {
            "d_model": 16,
            "encoder_layers": 2,
            "decoder_layers": 2,
            "encoder_attention_heads": 4,
            "decoder_attention_heads": 4,
            "encoder_ffn_dim": 24,
            "decoder_ffn_dim": 24,
            "max_position_embeddings": POSITIONS,
            "dropout": 0.0,
            "pad_token_id": 1,
            "bos_token_id": 0,
            "eos_token_id": 2,
            "decoder_start_token_id": 2,
        },
    ),
    "llama": Family("Llama", LLAMA | {"num_key_value_heads": None}),
    "mistral": Family("Mistral", LLAMA | {"sliding_window": 4}),
    "qwen2": Family("Qwen2", LLAMA),
    "qwen3": Family("Qwen3", LLAMA | {"head_dim": 8}),
    "phi3": Family("Phi3", LLAMA | {"sliding_window": 5}),
    # Heads of width eight, scores divided by the root of five.
    "gemma": Family("Gemma", LLAMA | {"head_dim": 8}),
    "gemma2": Family(
        "Gemma2", GEMMA2 | {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0}
    ),
    "gemma3": Family("Gemma3", GEMMA2, config_class="Gemma3TextConfig", classifier="Gemma3Text"),
    "falcon": Family(
        "Falcon",
        {
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "ffn_hidden_size": 24,
            "max_position_embeddings": POSITIONS,
            "pad_token_id": 0,
            "bos_token_id": 2,
            "eos_token_id": 2,
        },
    ),
    "bloom": Family(
        "Bloom",
        {
            "hidden_size": 16,
            "n_layer": 2,
            "n_head": 4,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
    ),
}

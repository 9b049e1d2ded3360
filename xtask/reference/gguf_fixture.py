"""Write GGUF files with what gguf-py and transformers make of them.

`blocks.safetensors` has, for each packing, random blocks and the numbers that gguf-py unpacks;
`packed.safetensors` has drawn numbers and the bytes that gguf-py packs them into;
`tiny.gguf` is a tiny LLaMA as llama.cpp's converter lays it out, `tiny.safetensors` its tensors
under transformers' names; `gpt2.gguf` and `gpt2.safetensors` are the same of a GPT-2;
`pieces.gguf` is a LLaMA with a tokenizer of SentencePiece's kind, `pieces.json` what transformers
makes of it: its merges, and ids of texts.
"""

import argparse
import json
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from gguf import GGMLQuantizationType, GGUFWriter, quants
from gguf.constants import GGML_QUANT_SIZES
from numpy.typing import NDArray
from safetensors.numpy import save_file
from transformers import (
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
)

BLOCKS = 3
PACKINGS = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K", "BF16"]
# Where the scales of f16 lie in a block.
SCALES = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
    "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "BF16": [],
}  # fmt: skip
NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
HEADS, KEY_HEADS = 4, 2
MERGES = ["h e", "l l", "he ll", "Ġ w", "o r"]


def random_blocks(name: str, generator: np.random.Generator) -> NDArray[np.uint8]:
    """Draw blocks of random bits with scales that are numbers."""
    _, size = GGML_QUANT_SIZES[GGMLQuantizationType[name]]
    count = BLOCKS * (32 if name == "BF16" else 1)
    blocks = generator.integers(0, 256, (count, size), dtype=np.uint8)
    for place in SCALES[name]:
        scales = generator.normal(0.0, 0.1, count).astype(np.float16)
        blocks[:, place : place + 2] = scales.view(np.uint8).reshape(count, 2)
    if name == "BF16":
        numbers = generator.normal(0.0, 1.0, count).astype(np.float32)
        blocks = numbers.view(np.uint8).reshape(count, 4)[:, 2:].copy()
    return blocks


def write_blocks(out: Path) -> None:
    """Write blocks and their numbers."""
    generator = np.random.default_rng(7)
    tensors: dict[str, NDArray[np.generic]] = {}
    for name in PACKINGS:
        blocks = random_blocks(name, generator)
        numbers = quants.dequantize(blocks.reshape(1, -1), GGMLQuantizationType[name])
        tensors[f"{name}.blocks"] = blocks.reshape(-1)
        tensors[f"{name}.numbers"] = numbers.reshape(-1).astype(np.float32)
    save_file(tensors, out / "blocks.safetensors")


def write_packed(out: Path) -> None:
    """Write numbers and what they are packed into: of all sizes, zeros, and halves of steps."""
    generator = np.random.default_rng(11)
    numbers = generator.normal(0.0, 1.0, (6, 64)).astype(np.float32)
    numbers *= np.array([[1.0], [1e-3], [1e-7], [300.0], [0.02], [1.0]], dtype=np.float32)
    numbers[4, :32] = 0.0
    numbers[5] = np.arange(-32, 32, dtype=np.float32) / 2
    numbers[5, 31], numbers[5, 63] = 127.0, -127.0
    tensors: dict[str, NDArray[np.generic]] = {"numbers": numbers}
    for name in ["F16", "Q8_0"]:
        packed = quants.quantize(numbers, GGMLQuantizationType[name])
        tensors[name] = np.ascontiguousarray(packed).view(np.uint8).reshape(-1)
    save_file(tensors, out / "packed.safetensors")


def permuted(weight: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Order rows as `LlamaModel.permute` of llama.cpp's convert_hf_to_gguf.py."""
    rows = weight.shape[0]
    return (
        weight.reshape(heads, 2, rows // heads // 2, *weight.shape[1:])
        .swapaxes(1, 2)
        .reshape(weight.shape)
    )


def byte_tokens() -> list[str]:
    """Return the characters that stand for bytes in a byte-level tokenizer."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    other = [byte for byte in range(256) if byte not in plain]
    characters = [chr(byte) for byte in plain] + [chr(256 + n) for n in range(len(other))]
    return characters


def gguf_name(name: str) -> str:
    """Return llama.cpp's name of a tensor."""
    fixed = {
        "model.embed_tokens.weight": "token_embd.weight",
        "model.norm.weight": "output_norm.weight",
        "lm_head.weight": "output.weight",
    }
    if name in fixed:
        return fixed[name]
    _, _, layer, part = name.removesuffix(".weight").split(".", 3)
    return f"blk.{layer}.{NAMES[part]}.weight"


def finish(writer: GGUFWriter) -> None:
    """Write what a writer was given."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_model(out: Path) -> None:
    """Write a tiny LLaMA as GGUF, and its tensors."""
    torch.manual_seed(3)
    merged = [merge.replace(" ", "") for merge in MERGES]
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *byte_tokens(), *merged]
    config = LlamaConfig(
        vocab_size=len(tokens),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=HEADS,
        num_key_value_heads=KEY_HEADS,
        max_position_embeddings=64,
        tie_word_embeddings=False,
        rope_theta=100_000.0,
        rms_norm_eps=1e-5,
    )
    model = LlamaForCausalLM(config)
    tensors = {
        name: tensor.detach().numpy().astype(np.float32)
        for name, tensor in model.state_dict().items()
        if "rotary" not in name
    }
    writer = GGUFWriter(out / "tiny.gguf", "llama")
    writer.add_block_count(2)
    writer.add_context_length(64)
    writer.add_embedding_length(32)
    writer.add_feed_forward_length(64)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)
    writer.add_rope_freq_base(100_000.0)
    writer.add_rope_dimension_count(8)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3, 3, *[1] * (len(tokens) - 3)])
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template("{% for m in messages %}{{ m['content'] }}{% endfor %}")
    for name, tensor in tensors.items():
        heads = {"q_proj": HEADS, "k_proj": KEY_HEADS}.get(name.split(".")[-2])
        laid_out = permuted(tensor, heads) if heads else tensor
        writer.add_tensor(gguf_name(name), np.ascontiguousarray(laid_out))
    finish(writer)
    save_file(tensors, out / "tiny.safetensors")


GPT2_NAMES = {
    "ln_1": "attn_norm",
    "attn.c_attn": "attn_qkv",
    "attn.c_proj": "attn_output",
    "ln_2": "ffn_norm",
    "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
}


def gpt2_name(name: str) -> str:
    """Return llama.cpp's name of a tensor of GPT-2."""
    fixed = {"wte": "token_embd", "wpe": "position_embd", "ln_f": "output_norm"}
    stem, end = name.removeprefix("transformer.").rsplit(".", 1)
    if stem in fixed:
        return f"{fixed[stem]}.{end}"
    _, layer, part = stem.split(".", 2)
    return f"blk.{layer}.{GPT2_NAMES[part]}.{end}"


def write_gpt2(out: Path) -> None:
    """Write a tiny GPT-2 as GGUF, and its tensors."""
    torch.manual_seed(5)
    merged = [merge.replace(" ", "") for merge in MERGES]
    tokens = ["<|endoftext|>", *byte_tokens(), *merged]
    config = GPT2Config(
        vocab_size=len(tokens),
        n_positions=64,
        n_embd=16,
        n_layer=2,
        n_head=2,
        layer_norm_epsilon=1e-5,
        bos_token_id=0,
        eos_token_id=0,
    )
    model = GPT2LMHeadModel(config)
    for name, parameter in model.named_parameters():
        if name.endswith("bias") or "ln_" in name:
            torch.nn.init.normal_(parameter, 0.5, 0.1)
    tensors = {
        name: tensor.detach().numpy().astype(np.float32)
        for name, tensor in model.state_dict().items()
        if name != "lm_head.weight"
    }
    writer = GGUFWriter(out / "gpt2.gguf", "gpt2")
    writer.add_block_count(2)
    writer.add_context_length(64)
    writer.add_embedding_length(16)
    writer.add_feed_forward_length(64)
    writer.add_head_count(2)
    writer.add_layer_norm_eps(1e-5)
    writer.add_file_type(0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([3, *[1] * (len(tokens) - 1)])
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    for name, tensor in tensors.items():
        # Conv1D stores [in, out].
        is_conv = tensor.ndim == 2 and ".h." in name
        writer.add_tensor(gpt2_name(name), np.ascontiguousarray(tensor.T if is_conv else tensor))
    finish(writer)
    save_file(tensors, out / "gpt2.safetensors")


SENTENCES = """
the cat sat on the mat and the other cat sat on the hat
that is the way the weather was when they were there
a banana and an anagram of a bananas band
lower and lowest newer and newest wider and widest
ein Schälchen für die Kätzchen und für die Hündchen
"""
TEXTS = [
    "the cat sat",
    " the  cat   sat",
    "",
    " ",
    "lowest bananas, newest hats!",
    "für die Kätzchen",
    "naïve 日本 🙂 \t x\ny",
    "<s>the cat</s> and<sep>the hat<unk>",
    "the<0x41>▁cat",
]


def pieces() -> tuple[list[str], list[float]]:
    """Learn pieces as SentencePiece does: each join has a lower score, characters the lowest."""
    words = Counter("▁" + word for word in SENTENCES.split())
    parts = {word: list(word) for word in words}
    joined: list[str] = []
    while len(joined) < 60:
        pairs = Counter[str]()
        for word, count in words.items():
            for left, right in zip(parts[word], parts[word][1:], strict=False):
                pairs[f"{left} {right}"] += count
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        left, right = best.split(" ")
        for word, old in parts.items():
            new: list[str] = []
            for part in old:
                is_pair = bool(new) and (new[-1], part) == (left, right)
                new[-1:] = [left + right] if is_pair else [*new[-1:], part]
            parts[word] = new
        joined.append(left + right)
    characters = sorted({character for word in words for character in word} - set(joined))
    tokens = [*dict.fromkeys(joined), *characters]
    # Some are equal: their merges keep the order of ids.
    return tokens, [-float(rank // 2) for rank in range(len(tokens))]


def write_pieces(out: Path) -> None:
    """Write a LLaMA with a tokenizer of pieces, and what transformers makes of the tokenizer."""
    learned, scores = pieces()
    byte_pieces = [f"<0x{byte:02X}>" for byte in range(256)]
    tokens = ["<unk>", "<s>", "</s>", *byte_pieces, *learned, "<sep>"]
    kinds = [2, 3, 3, *[6] * 256, *[1] * len(learned), 4]
    torch.manual_seed(9)
    config = LlamaConfig(
        vocab_size=len(tokens),
        hidden_size=8,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=64,
        tie_word_embeddings=True,
    )
    writer = GGUFWriter(out / "pieces.gguf", "llama")
    writer.add_name("pieces")
    writer.add_block_count(1)
    writer.add_context_length(64)
    writer.add_embedding_length(8)
    writer.add_feed_forward_length(16)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * (3 + 256) + scores + [0.0])
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    for name, tensor in LlamaForCausalLM(config).state_dict().items():
        if name != "lm_head.weight":
            heads = {"q_proj": 2, "k_proj": 1}.get(name.split(".")[-2])
            numbers = tensor.numpy().astype(np.float32)
            laid_out = permuted(numbers, heads) if heads else numbers
            writer.add_tensor(gguf_name(name), np.ascontiguousarray(laid_out))
    finish(writer)
    tokenizer = AutoTokenizer.from_pretrained(out, gguf_file="pieces.gguf")
    definition = json.loads(tokenizer.backend_tokenizer.to_str())
    answers = [{"text": text, "ids": tokenizer(text)["input_ids"]} for text in TEXTS]
    for answer in answers:
        answer["decoded"] = tokenizer.decode(answer["ids"], skip_special_tokens=True)
    merges = [" ".join(merge) for merge in definition["model"]["merges"]]
    text = json.dumps({"merges": merges, "texts": answers}, ensure_ascii=False)
    (out / "pieces.json").write_text(text + "\n", encoding="utf-8")


def main() -> None:
    """Write all fixtures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the fixtures")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    write_blocks(out)
    write_packed(out)
    write_model(out)
    write_gpt2(out)
    write_pieces(out)


if __name__ == "__main__":
    main()

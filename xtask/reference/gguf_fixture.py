"""Write GGUF files with what gguf-py and transformers make of them.

`blocks.safetensors` has, for each packing, random blocks and the numbers that gguf-py unpacks;
`tiny.gguf` is a tiny LLaMA as llama.cpp's converter lays it out, `tiny.safetensors` its tensors
under transformers' names.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from gguf import GGMLQuantizationType, GGUFWriter, quants
from gguf.constants import GGML_QUANT_SIZES
from numpy.typing import NDArray
from safetensors.numpy import save_file
from transformers import LlamaConfig, LlamaForCausalLM

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
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    save_file(tensors, out / "tiny.safetensors")


def main() -> None:
    """Write all fixtures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the fixtures")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    write_blocks(out)
    write_model(out)


if __name__ == "__main__":
    main()

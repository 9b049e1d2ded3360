"""Write what transformers' tokenizers of well-known models make of hard texts.

The tokenizers' files are too large for the project: they come from a mirror of the Hub.
A case is a text (repeated where `repeat` says so), its pair if any, and the ids.
"""

import argparse
import json
from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils import logging

from tokenizer_fixture import PAIRS, TEXTS

MODELS = [
    "google-bert/bert-base-uncased",
    "google-bert/bert-base-cased",
    "FacebookAI/roberta-base",
    "openai-community/gpt2",
    "google-t5/t5-small",
    "facebook/bart-base",
    "tiiuae/falcon-7b",
    "hf-internal-testing/llama-tokenizer",
    "karpathy/stories260K",
]

WHITESPACE = [
    "  two  leading, two trailing  ",
    "   ",
    "\n",
    "\n\n\n",
    "\t\tindented\twith tabs",
    "line\r\nline\rline\n",
    " \n a \n\n b\n",
    "a\u00a0b\u2003c\u3000d\u2028e\u2029f\u0085g",
    "a\u001cb\u001dc\u001ed\u001fe\u000bf\u000cg",
]
SCRIPTS = [
    "שָׁלוֹם עוֹלָם",
    "اَلْعَرَبِيَّةُ ١٢٣",
    "mixed עברית and العربية ١٢ 12",
    "日本語のテキスト、カタカナ。ひらがな",
    "한국어 \u1112\u1161\u11ab\u1100\u1173\u11af",
    "ไม่มีช่องว่าง ภาษาไทย",
    "हिन्दी में क्षत्रिय",
    "Zürich Łódź Ærø İzmir ŞĞ",
    "e\u0301e\u0300 o\u0308\u0304 Z\u0351\u0337\u0356a\u0338l\u0335g\u0336o\u0334",
    "ﬀ ﬁ ﬂ Ⅷ ² ½ ① Ａｂｃ １２３",
    "ΑΒΓ αβγ ΣΊΣΥΦΟΣ ς",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝒜 𝟘𝟙",
]
EMOJI = [
    "👨‍👩‍👧‍👦 👩🏽‍🚀 🏳️‍🌈 🇩🇪🇯🇵 1️⃣ ❤️ ☺",
    "ok👍good😀😀😀",
    "\U0001fae8 \U0001f9ff \ue000 \U000e0041",
]
INVISIBLE = [
    "zero\u200bwidth\u200cnon\u200djoiner\u2060word\ufeffbom",
    "\u202ertl override\u202c \u200eltr\u200f",
    "soft\u00adhyphen \u0000nul\u0001\u0007\u001b[31m\u007f",
    "replacement \ufffd noncharacter \uffff \U0010ffff",
]
ORDINARY = [
    "I'm sure they'll say we've don't CAN'T it's’ll",
    "1 12 123 1234 12345 3.14159 -7 1,234,567.89 1e-10 0x1F 50% $5 №7",
    "https://user:pw@example.org:8080/a/b.html?q=1&r=%20#frag me@mail.example",
    "def f(x):\n    if x > 0:\n\t\treturn x**2  # comment\n    return None\n",
    'fn main() { let v: Vec<&\'static str> = vec!["a\\n", r#"b"#]; }',
    '{"key": [1, 2.5, null, true], "ü": "\\u00fc"}',
    '<p class="x">a &amp; b</p><br/>',
    "HelloWorld helloWorld HELLO_WORLD snake_case kebab-case",
    "!!! ??? ... --- ___ *** ~~~ ``` (((())))",
    "Ünïcödé“quotes”—dash…ellipsis «guillemets» ¿¡",
]
SPECIAL = [
    "[CLS] [SEP] [PAD] [MASK] [UNK]",
    "a[MASK]b [mask]",
    "<s> </s> <pad> <unk> <mask>",
    "a</s>b <s>c",
    "the <mask> movie<mask>",
    "<|endoftext|>text<|endoftext|>",
    "<extra_id_0> a <extra_id_99>b",
    ">>TITLE<< >>ABSTRACT<<x",
    "<0x0A> ▁ ▁▁a Ġthe Ċ ##ing @@",
]
REPEATED = [
    ("a", 300),
    ("Donaudampfschifffahrt", 12),
    (" ", 70),
    ("\n", 33),
    ("9", 64),
    ("=", 90),
    ("😀", 24),
    ("中", 130),
    ("The movie wasn't great, it was 10/10: naïve, bold & true!\n", 52),
]
MORE_PAIRS = [
    ("Where is it?", " It is  here.\n"),
    ("first", ""),
    ("a </s> b", "[SEP] c"),
    ("日本", "👩‍🚀 e\u0301"),
]


def encode(
    tokenizer: PreTrainedTokenizerBase, text: str, pair: str | None = None, repeat: int = 1
) -> dict[str, object]:
    """Return one case: the text, its pair or repetition if any, and the ids."""
    case: dict[str, object] = {"text": text}
    if pair is not None:
        case["pair"] = pair
    if repeat > 1:
        case["repeat"] = repeat
    # As a batch, as data sets are encoded: a single call takes an empty second text for none.
    pairs = None if pair is None else [pair]
    ids = tokenizer([text * repeat], pairs, add_special_tokens=True, truncation=False)["input_ids"]
    return case | {"ids": ids[0]}


def write_cases(mirror: Path, model: str, folder: Path) -> Path:
    """Write the cases of one model's tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(mirror / "models" / model)
    texts = [*TEXTS, *WHITESPACE, *SCRIPTS, *EMOJI, *INVISIBLE, *ORDINARY, *SPECIAL]
    cases = [encode(tokenizer, text) for text in texts]
    cases += [encode(tokenizer, text, pair=pair) for text, pair in [*PAIRS, *MORE_PAIRS]]
    cases += [encode(tokenizer, text, repeat=repeat) for text, repeat in REPEATED]

    # One case a line, and ASCII only: the control characters must survive editors.
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    path = folder / f"{model.rpartition('/')[2]}.json"
    text = f'{{"model":{json.dumps(model)},"cases":[\n{lines}\n]}}\n'
    path.write_text(text, encoding="utf-8", newline="\n")
    return path


def main() -> None:
    """Write the cases of every tokenizer that the mirror has."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mirror", type=Path, required=True, help="mirror of the Hub's files")
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    arguments = parser.parse_args()

    logging.set_verbosity_error()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for model in MODELS:
        path = write_cases(arguments.mirror, model, arguments.out)
        print(f"wrote {path}, {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()

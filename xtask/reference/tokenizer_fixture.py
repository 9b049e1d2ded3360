"""Write a tiny BERT vocabulary and what transformers' tokenizer makes of hard texts."""

import json
import string
from pathlib import Path

from transformers import BertTokenizer

SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["the", "movie", "was", "cafe", "un", "great"]
PIECES = ["##aff", "##able", "##ing"]
PUNCTUATION = list(".,!?'-\"#[]")
OTHER = ["中", "国", "影", "ß", "0", "1", "2", "##1", "##2", "é", "α", "😀", "€"]

TEXTS = [
    "",
    " ",
    "the movie was great!",
    "The MOVIE was GREAT",
    "unaffable",
    "unaffables, unaffing.",
    "Café CAFÉ cafe\u0301",
    "naïve Ångström ÉÉ",
    "中国电影",
    "the中国movie",
    "great 😀 movie😀",
    "👩‍👩‍👧 🇹🇼",
    "tab\tnew\nline\r\nend",
    "zero\u0000width\u200bjoin\u200dbom\ufeff",
    "bell\u0007 del\u007f soft\u00adhyphen replacement\ufffd",
    "no-break\u00a0space ideographic\u3000space line\u2028separator",
    "a" * 100,
    "a" * 101,
    "the " + "b" * 250 + " movie",
    "!?.,'\"-#[]",
    "don't... stop--now",
    "$100 + 20% = 120€",
    "¿qué? «oui» “quoted” …",
    "[MASK] the [SEP] movie [mask] [CLS]",
    "##able able ##",
    "straße ß ẞ",
    "İstanbul ıIiİ",
    "Α α ΣΑΣ",
    "ﬁne ① Ａｂ",
    "العربية עברית हिन्दी ไทย",
    "  leading and trailing  ",
    "<br /><br />the movie",
    "https://a.b/c?d=1&e=2",
    "the movie was great " * 8,
]

PAIRS = [
    ("the movie", "was great"),
    ("", "the movie"),
    ("中国 Café!", "unaffable [SEP] 😀"),
]


def vocabulary() -> list[str]:
    """Return the tokens; a token's id is its place."""
    letters = list(string.ascii_lowercase)
    tails = [f"##{letter}" for letter in letters]
    return SPECIAL_TOKENS + letters + tails + WORDS + PIECES + PUNCTUATION + OTHER


def encode(tokenizer: BertTokenizer, text: str, pair: str | None) -> dict[str, object]:
    """Return one case: the text, its pair if any, and the ids transformers gives."""
    encoding = tokenizer(text, pair, return_token_type_ids=True)
    case: dict[str, object] = {"text": text}
    if pair is not None:
        case["pair"] = pair
    return case | {"ids": encoding["input_ids"], "type_ids": encoding["token_type_ids"]}


def write_tokenizer_fixture(folder: Path) -> None:
    """Write `vocab.txt` and `cases.json` into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    vocab_file = folder / "vocab.txt"
    vocab_file.write_text("\n".join(vocabulary()) + "\n", encoding="utf-8", newline="\n")

    tokenizer = BertTokenizer(str(vocab_file), do_lower_case=True)
    cases = [encode(tokenizer, text, None) for text in TEXTS]
    cases += [encode(tokenizer, text, pair) for text, pair in PAIRS]
    # One case a line, and ASCII only: the control characters must survive editors.
    lines = ",\n".join(json.dumps(case) for case in cases)
    (folder / "cases.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8", newline="\n")

"""Write the windows that transformers makes of texts, pairs and words with tiny tokenizers.

The tokenizers are those in the files that `tokenizer_settings.py` wrote, one a family: to train
them again would make others. Of each input the fixture lists the distinct tokens, each with its id,
segment, text, word and place in characters; a window is runs of such tokens: the first one's place
in the list and how many there are. `decides` says from which window BERT's run_squad.py takes each
token of the text that is spread, as runs, too. Null in place of windows says that transformers
raises.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

from transformers import AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils import logging

from tokenizer_settings import Files, write

TEXTS = [
    "",
    "  The  Café was  GREAT!\n",
    "unaffable e\u0301 Ångström İ ß don't 100%",
    "中国电影 the中国movie\u3000<mask> 影\u00a0",
    "great 😀 movie😀 👩‍👩‍👧",
    "tab\tnew\nline\r\nthe\u200bend \ufeff",
    "שָׁלוֹם the عربي was",
    "[SEP] the </s> movie<mask>was  <|endoftext|>",
    "the movie was great and the cafe was not great at all, was it?",
    "unaffable" * 7,
    " \n\t ",
    "\u0000the\u0007 ▁movie ĠwaS ##able <0x41>",
    "was the movie great? It was; the cafe was " * 4,
]
PAIRS = [
    ("", "the movie was great"),
    ("the movie", ""),
    ("was it great?", "the movie was great and the cafe was not great at all"),
    ("Café 中国", "  e\u0301 😀 movie\n the</s> was\t"),
    ("the movie was great and the cafe was not great at all", "  was  "),
]
WORDS = [
    [],
    ["the", "movie", "was", "great", ",", "unaffable", "don't", "100%"],
    ["", "The", " Café", "GREAT!\n", "\u200b", " ", "中国电影", "e\u0301", "the movie", "\t"],
    ["😀", "👩‍👩‍👧", "שָׁלוֹם", "<mask>", "[SEP]", "a</s>b", "\u3000<mask>", "was"],
    ["the"] * 12,
    ["\u0007", ""],
]
# Tokens of a window at most, and tokens that neighbours share.
SETTINGS = [(512, 0), (9, 0), (10, 3), (16, 7), (24, 5)]
# Families that read a word after a space differently from one at the beginning.
SPACED = ["gpt2", "roberta", "falcon"]
# transformers reads words without the mark that stands for a space; Temper reads them with it.
WITHOUT_WORDS = {"gemma"}

Token = tuple[int, int, int | None, int | None, int, int]


def load(family: str, files: Files, is_spaced: bool) -> PreTrainedTokenizerBase:
    """Return a family's tokenizer, with a space put before each text or not."""
    if is_spaced and family == "falcon":
        # Its class takes the file as it is, whatever the argument says.
        definition = json.loads(files["tokenizer.json"])
        definition["pre_tokenizer"]["add_prefix_space"] = True
        files = files | {"tokenizer.json": json.dumps(definition)}
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), files)
        how = {"add_prefix_space": True} if is_spaced else {}
        return AutoTokenizer.from_pretrained(folder, **how)


def windows(
    tokenizer: PreTrainedTokenizerBase, given: dict[str, object], setting: tuple[int, int]
) -> list[list[Token]] | None:
    """Return the windows of an input; none where transformers raises."""
    max_length, stride = setting
    spread = {"first": "only_first", "second": "only_second"}.get(given.get("spread"), True)
    how = {
        "truncation": spread,
        "max_length": max_length,
        "stride": stride,
        "return_overflowing_tokens": True,
        "return_offsets_mapping": True,
    }
    try:
        if "words" in given:
            made = tokenizer([given["words"]], is_split_into_words=True, **how)
        elif "second" in given:
            # In a batch: by itself a pair with an empty second text counts as a single text.
            made = tokenizer([given["first"]], [given["second"]], **how)
        else:
            made = tokenizer([given["first"]], **how)
    except BaseException as error:
        # A panic of the tokenizers library is no Exception.
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        return None
    found = []
    for place, ids in enumerate(made["input_ids"]):
        segments = made["token_type_ids"][place] if "token_type_ids" in made else [0] * len(ids)
        texts, words = made.sequence_ids(place), made.word_ids(place)
        spans = made["offset_mapping"][place]
        rows = zip(ids, segments, texts, words, spans, strict=True)
        found.append([(id, segment, text, word, *span) for id, segment, text, word, span in rows])
    return found


def check_cover(whole: list[Token], parts: list[list[Token]], spread: int, stride: int) -> None:
    """Fail where windows do not hold every token: tokenizers before 0.23.3 drops some."""

    def ids(window: list[Token]) -> list[int]:
        return [token[0] for token in window if token[2] == spread]

    joined = ids(parts[0])
    for part in parts[1:]:
        joined += ids(part)[stride:]
    assert joined == ids(whole), "windows are missing; tokenizers 0.23.3 is needed"


def is_max_context(spans: list[tuple[int, int]], current: int, position: int) -> bool:
    """Return whether a span has the most context; after `_check_is_max_context` of run_squad.py."""
    best_score, best_index = None, None
    for index, (start, length) in enumerate(spans):
        end = start + length - 1
        if position < start or position > end:
            continue
        score = min(position - start, end - position) + 0.01 * length
        if best_score is None or score > best_score:
            best_score, best_index = score, index
    return current == best_index


def decides(parts: list[list[Token]], spread: int, stride: int) -> list[list[int]]:
    """Return the windows that decide the tokens of a text: a window, and of how many tokens."""
    lengths = [sum(token[2] == spread for token in part) for part in parts]
    spans, start = [], 0
    for length in lengths:
        spans.append((start, length))
        start += length - stride
    found: list[list[int]] = []
    for position in range(sum(spans[-1])):
        windows = [index for index in range(len(spans)) if is_max_context(spans, index, position)]
        (window,) = windows
        if found and found[-1][0] == window:
            found[-1][1] += 1
        else:
            found.append([window, 1])
    return found


def runs(window: list[Token], table: dict[Token, int]) -> list[list[int]]:
    """Return a window as runs of the table's tokens, which grows."""
    found: list[list[int]] = []
    for token in window:
        place = table.setdefault(token, len(table))
        if found and sum(found[-1]) == place:
            found[-1][1] += 1
        else:
            found.append([place, 1])
    return found


def cases(family: str, files: Files) -> list[dict[str, object]]:
    """Return a family's inputs with their tokens and windows."""
    plain, spaced = load(family, files, False), load(family, files, family in SPACED)
    inputs: list[dict[str, object]] = [{"first": text} for text in TEXTS]
    for first, second in PAIRS:
        inputs += [
            {"first": first, "second": second, "spread": text} for text in ["first", "second"]
        ]
    if family not in WITHOUT_WORDS:
        inputs += [{"words": words} for words in WORDS]
    found = []
    for given in inputs:
        tokenizer = spaced if "words" in given else plain
        table: dict[Token, int] = {}
        made = [windows(tokenizer, given, setting) for setting in SETTINGS]
        spread = int(given.get("spread") == "second")
        deciding = []
        for (_, stride), parts in zip(SETTINGS, made, strict=True):
            if parts is not None:
                check_cover(made[0][0], parts, spread, stride)
            deciding.append(parts and decides(parts, spread, stride))
        lists = [parts and [runs(window, table) for window in parts] for parts in made]
        found.append(given | {"windows": lists, "decides": deciding, "tokens": list(table)})
    return found


def main() -> None:
    """Write the fixture, one input a line and ASCII only."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--families", type=Path, required=True, help="what tokenizer_settings.py wrote"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for file in sorted(arguments.families.glob("*.json")):
        family = json.loads(file.read_text(encoding="utf-8"))
        model = family["model"]
        made = cases(model, family["files"])
        lines = [json.dumps(case, separators=(",", ":")) for case in made]
        head = json.dumps({"model": model, "settings": SETTINGS}, separators=(",", ":"))
        path = arguments.out / file.name
        text = f'{head[:-1]},"cases":[\n' + ",\n".join(lines) + "\n]}\n"
        path.write_text(text, encoding="utf-8", newline="\n")
        print(f"wrote {path}: {len(lines)} inputs, {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()

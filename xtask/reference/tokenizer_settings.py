"""Write what transformers makes of tokenizers whose other files say this or that.

A family is a tokenizer's files, its texts and the ids; a case changes files and lists the ids that
change with them. Tiny tokenizers are trained here and their files stand in the fixture; with
--mirror those of well-known models are taken instead, whose files are only named.
"""

import argparse
import base64
import json
import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import AutoTokenizer
from transformers.convert_slow_tokenizer import import_protobuf
from transformers.utils import logging

from tokenizer_fixture import vocabulary

TEXTS = [
    "",
    " ",
    "the movie was great",
    "  The  Café was  GREAT!\n",
    "unaffable e\u0301 Ångström İ ß",
    "中国电影 the中国movie 影",
    "great 😀 movie😀 👩‍👩‍👧",
    "tab\tnew\nline\r\n\u0000bell\u0007\u200b\u00a0end\ufeff",
    "[CLS] the [MASK] movie[SEP] [UNK] [mask]",
    "<s> the <mask> movie</s> <pad>was<unk>",
    "<|endoftext|>the <extra_id_0> was<extra_id_7>",
    "<new> the<new>movie <ent> <ENT>ent",
    "▁the ▁▁movie Ġwas ##able <0x41>",
    "don't 100% $5 12345 #tag",
    "``the'' movie's ''great``  (was),  the",
]
PAIRS = [("the movie", " was great"), ("", "中国"), ("<new> a", "[SEP] </s> b")]
CORPUS = [
    "the movie was great the movie was great and the cafe was great the movies were unaffable",
    "The Movie was GREAT! Café Ångström naïve; don't 100% $5 12345 #tag a b c d e f",
    "中国电影 国 影 the movie and the great cafe was not great at all was it the the the",
]


def token(text: str, **how: bool) -> dict[str, object]:
    """Return a token as tokenizer_config.json writes one."""
    plain = {
        "content": text,
        "lstrip": False,
        "normalized": False,
        "rstrip": False,
        "single_word": False,
    }
    return plain | {"special": True} | how


def marked(text: str, **how: bool) -> dict[str, object]:
    """Return a token as older files write one within tokenizer_config.json."""
    return {"__type": "AddedToken"} | token(text, **how)


def special(texts: list[str]) -> list[AddedToken]:
    """Return special tokens."""
    return [AddedToken(text, special=True, normalized=False) for text in texts]


def bert() -> Tokenizer:
    """Return a WordPiece tokenizer."""
    ids = {word: place for place, word in enumerate([*vocabulary(), "The", "Movie", "café", "É"])}
    made = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    made.add_special_tokens(special(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]))
    return made


def byte_level(marks: list[str]) -> Tokenizer:
    """Return a byte-level BPE."""
    made = Tokenizer(
        models.BPE(continuing_subword_prefix="", end_of_word_suffix="", fuse_unk=False)
    )
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=len(marks) + 256 + 40,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=special(marks),
        show_progress=False,
    )
    made.train_from_iterator(CORPUS, trainer)
    return made


def gpt2() -> Tokenizer:
    """Return GPT-2's kind."""
    made = byte_level(["<|endoftext|>"])
    made.post_processor = processors.ByteLevel(trim_offsets=False)
    return made


def roberta() -> Tokenizer:
    """Return RoBERTa's kind."""
    made = byte_level(["<s>", "<pad>", "</s>", "<unk>"])
    made.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True, normalized=False)])
    made.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return made


def llama() -> Tokenizer:
    """Return LLaMA's kind: BPE over characters, with bytes for what it does not know."""
    made = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    made.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    made.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    marks = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=360, special_tokens=marks, show_progress=False)
    made.train_from_iterator([f"▁{line.replace(' ', '▁')}" for line in CORPUS], trainer)
    definition = json.loads(made.to_str())
    definition["added_tokens"] = [entry for entry in definition["added_tokens"] if entry["id"] < 3]
    made = Tokenizer.from_str(json.dumps(definition))
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 1)]
    )
    return made


def unigram(marks: list[str], unk: str) -> Tokenizer:
    """Return SentencePiece's kind."""
    made = Tokenizer(models.Unigram())
    made.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC()])
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    made.decoder = decoders.Metaspace(prepend_scheme="always")
    trainer = trainers.UnigramTrainer(
        vocab_size=90, special_tokens=special(marks), unk_token=unk, show_progress=False
    )
    made.train_from_iterator(CORPUS, trainer)
    return made


def t5() -> Tokenizer:
    """Return T5's kind, with ten sentinels."""
    made = unigram(
        ["<pad>", "</s>", "<unk>", *(f"<extra_id_{place}>" for place in range(10))], "<unk>"
    )
    made.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    return made


def xlm_roberta() -> Tokenizer:
    """Return XLM-RoBERTa's kind."""
    made = unigram(["<s>", "<pad>", "</s>", "<unk>"], "<unk>")
    made.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True, normalized=False)])
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    return made


def albert() -> Tokenizer:
    """Return ALBERT's kind."""
    made = unigram(["<pad>", "<unk>", "[CLS]", "[SEP]"], "<unk>")
    made.normalizer = normalizers.Sequence(
        [normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase()]
    )
    made.add_special_tokens([AddedToken("[MASK]", lstrip=True, special=True, normalized=False)])
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return made


def deberta() -> Tokenizer:
    """Return the kind of DeBERTa's second and third version."""
    made = unigram(["[PAD]", "[CLS]", "[SEP]", "[UNK]"], "[UNK]")
    made.add_special_tokens(special(["[MASK]"]))
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
    )
    return made


def mpnet() -> Tokenizer:
    """Return MPNet's kind: BERT's words with RoBERTa's marks."""
    marks = ["<s>", "<pad>", "</s>", "[UNK]"]
    words = [word for word in vocabulary() if not word.startswith("[")]
    ids = {word: place for place, word in enumerate([*marks, *words, "<mask>"])}
    made = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    made.add_special_tokens(special(marks))
    made.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True, normalized=False)])
    made.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return made


def gemma() -> Tokenizer:
    """Return Gemma's kind: BPE over characters, with bytes for what it does not know."""
    made = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    made.normalizer = normalizers.Replace(" ", "▁")
    made.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    own = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    marks = [*own, *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=360, special_tokens=marks, show_progress=False)
    made.train_from_iterator([line.replace(" ", "▁") for line in CORPUS], trainer)
    definition = json.loads(made.to_str())
    definition["added_tokens"] = [
        entry for entry in definition["added_tokens"] if entry["id"] < len(own)
    ]
    made = Tokenizer.from_str(json.dumps(definition))
    made.post_processor = processors.TemplateProcessing(
        single="<bos> $A", pair="<bos> $A <bos>:1 $B:1", special_tokens=[("<bos>", 2)]
    )
    return made


def openai_gpt() -> Tokenizer:
    """Return the first GPT's kind."""
    made = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>", fuse_unk=False))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.BPEDecoder(suffix="</w>")
    trainer = trainers.BpeTrainer(
        vocab_size=90, special_tokens=["<unk>"], end_of_word_suffix="</w>", show_progress=False
    )
    made.train_from_iterator(CORPUS, trainer)
    return made


TINY = {
    "bert": bert,
    "distilbert": bert,
    "gpt2": gpt2,
    "roberta": roberta,
    "llama": llama,
    "falcon": gpt2,
    "t5": t5,
    "xlm-roberta": xlm_roberta,
    "camembert": xlm_roberta,
    "openai-gpt": openai_gpt,
    "albert": albert,
    "deberta-v2": deberta,
    "mpnet": mpnet,
    "gemma": gemma,
}
MIRRORED = {
    "google-bert/bert-base-uncased": "bert",
    "google-bert/bert-base-cased": "bert",
    "FacebookAI/roberta-base": "roberta",
    "openai-community/gpt2": "gpt2",
    "google-t5/t5-small": "t5",
    "facebook/bart-base": "bart",
    "tiiuae/falcon-7b": "falcon",
    "hf-internal-testing/llama-tokenizer": "llama",
    "karpathy/stories260K": "llama",
}
CONFIG = "tokenizer_config.json"
# The file that a class reads SentencePiece's vocabulary from.
PIECES = {
    "albert": "spiece.model",
    "camembert": "sentencepiece.bpe.model",
    "deberta-v2": "spm.model",
    "gemma": "tokenizer.model",
    "llama": "tokenizer.model",
    "t5": "spiece.model",
    "xlm-roberta": "sentencepiece.bpe.model",
}
NAMED = ["gemma", "llama"]
# Its first pieces; type 2 is the unknown token, 3 one that no text contains.
FAIRSEQ = [("<unk>", 2), ("<s>", 3), ("</s>", 3)]
MARKS = {
    "albert": [("<pad>", 3), ("<unk>", 2), ("[CLS]", 3), ("[SEP]", 3)],
    "camembert": FAIRSEQ,
    "deberta-v2": [("[PAD]", 3), ("[CLS]", 3), ("[SEP]", 3), ("[UNK]", 2)],
    "gemma": [("<pad>", 3), ("<eos>", 3), ("<bos>", 3), ("<unk>", 2)],
    "llama": [("<unk>", 2), ("<s>", 3), ("</s>", 3)],
    "t5": [("<pad>", 3), ("</s>", 3), ("<unk>", 2)],
    "xlm-roberta": FAIRSEQ,
}
# How a file's bytes are written.
BYTES = "base64"
FLAGS = [
    "do_lower_case",
    "strip_accents",
    "tokenize_chinese_chars",
    "add_prefix_space",
    "add_bos_token",
]
FLAGS += ["add_eos_token", "legacy", "split_special_tokens", "clean_up_tokenization_spaces"]
FLAGS += ["keep_accents", "split_by_punct"]
CLASSES = [
    "BertTokenizer",
    "DistilBertTokenizerFast",
    "RobertaTokenizer",
    "BartTokenizerFast",
    "GPT2Tokenizer",
]
CLASSES += [
    "LlamaTokenizer",
    "LlamaTokenizerFast",
    "T5Tokenizer",
    "T5TokenizerFast",
    "XLMRobertaTokenizerFast",
]
CLASSES += [
    "CamembertTokenizer",
    "OpenAIGPTTokenizer",
    "PreTrainedTokenizerFast",
    "TokenizersBackend",
]
CLASSES += ["Qwen2TokenizerFast", "GPTNeoXTokenizerFast", "NoSuchTokenizer", "AlbertTokenizer"]
CLASSES += ["DebertaV2TokenizerFast", "GemmaTokenizer", "MPNetTokenizerFast", "XLNetTokenizer"]
PARTS = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"]

Files = dict[str, object]


def settings(tokenizer: Tokenizer) -> Iterator[Files]:
    """Return changes of files, one kind each."""
    size = tokenizer.get_vocab_size()
    for flag in FLAGS:
        for value in [True, False, None]:
            yield {CONFIG: {flag: value}}
    for name in CLASSES:
        yield {CONFIG: {"tokenizer_class": name}}
    for part in PARTS:
        for value in ["<new>", "the", None, marked("<new>", lstrip=True), {"content": "<new>"}]:
            yield {CONFIG: {part: value}}
        yield {"special_tokens_map.json": {part: token("<new>", rstrip=True)}}
        yield {"special_tokens_map.json": {part: "<new>"}, CONFIG: {part: "<ent>"}}
    for key in ["additional_special_tokens", "extra_special_tokens"]:
        yield {CONFIG: {key: ["<new>", "movie"]}}
        yield {CONFIG: {key: [marked("<new>", rstrip=True), "<ent>"]}}
        yield {"special_tokens_map.json": {key: ["<new>", "<ent>"]}}
        yield {CONFIG: {key: []}}
    yield {CONFIG: {"extra_special_tokens": {"image_token": "<new>"}}}
    yield {CONFIG: {"image_token": "<new>", "audio_token": marked("<ent>", lstrip=True)}}
    yield {CONFIG: {"added_tokens_decoder": {str(size): token("<new>")}}}
    yield {
        CONFIG: {
            "added_tokens_decoder": {str(size): token("<new>", special=False, normalized=True)}
        }
    }
    yield {
        CONFIG: {"added_tokens_decoder": {str(size): token("<new>"), str(size + 1): token("<ent>")}}
    }
    yield {CONFIG: {"added_tokens_decoder": {str(size + 5): token("<new>")}}}
    yield {CONFIG: {"added_tokens_decoder": {}}}
    yield {"added_tokens.json": {"<new>": size, "<ent>": size + 1}}
    yield {"added_tokens.json": {"<new>": size}, CONFIG: {"pad_token": "<new>"}}
    yield {
        "added_tokens.json": {"<new>": size},
        "special_tokens_map.json": {"sep_token": token("<new>")},
    }
    yield {"config.json": None}
    yield {"config.json": None, CONFIG: {"tokenizer_class": "BertTokenizer"}}


def combined(singles: list[Files], count: int, seed: int) -> Iterator[Files]:
    """Return changes of several kinds at once."""
    draw = random.Random(seed)
    for _ in range(count):
        files: Files = {}
        for change in draw.sample(singles, draw.randint(2, 4)):
            for name, content in change.items():
                both = isinstance(content, dict) and isinstance(files.get(name), dict)
                files[name] = {**files[name], **content} if both else content
        yield files


def write(folder: Path, files: Files) -> None:
    """Write the files; none where there is no content."""
    for name, content in files.items():
        path = folder / name
        path.unlink(missing_ok=True)
        if isinstance(content, dict) and BYTES in content:
            path.write_bytes(base64.b64decode(content[BYTES]))
        elif content is not None:
            text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
            path.write_text(text, encoding="utf-8", newline="\n")


def ids(folder: Path) -> list[list[int]] | None:
    """Return the ids of all texts and pairs; none where transformers refuses the folder."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        found = [tokenizer([text])["input_ids"][0] for text in TEXTS]
        return found + [tokenizer([first], [second])["input_ids"][0] for first, second in PAIRS]
    except Exception:
        return None


def case(folder: Path, base: Path, files: Files, expected: list[list[int]]) -> dict[str, object]:
    """Return a case: the files that change, and the ids that change with them."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for file in base.iterdir():
        if file.name not in files:
            (folder / file.name).symlink_to(file.resolve())
    write(folder, files)
    found = ids(folder)
    if found is None:
        return {"files": files, "refused": True}
    changed = {str(place): new for place, new in enumerate(found) if new != expected[place]}
    return {"files": files, "changed": changed}


def over(old: Files, change: Files) -> Files:
    """Return older files with a change of the settings beside them."""
    both = {**old[CONFIG], **change[CONFIG]} if CONFIG in old and CONFIG in change else None
    return {**old, **change} | ({CONFIG: both} if both else {})


def family(
    base: Path, tokenizer: Tokenizer, older: list[Files], count: int, seed: int
) -> dict[str, object]:
    """Return a family's cases."""
    expected = ids(base)
    assert expected is not None, base
    own = base / CONFIG
    config = json.loads(own.read_text()) if own.is_file() else {}
    singles = list(settings(tokenizer))
    changes = [*singles, *combined(singles, count, seed)]
    changes += [
        over(old, change)
        for old in older
        for change in [{}, *random.Random(seed).sample(singles, 12)]
    ]
    for change in changes:
        if CONFIG in change:
            change[CONFIG] = config | change[CONFIG]
    with tempfile.TemporaryDirectory() as scratch:
        cases = [case(Path(scratch) / "case", base, change, expected) for change in changes]
    return {"texts": TEXTS, "pairs": PAIRS, "ids": expected, "cases": cases}


def pieces(vocab: list[tuple[str, float]], kind: str) -> str:
    """Return SentencePiece's file of a Unigram vocabulary, as base64."""
    model = import_protobuf().ModelProto()
    ordinary = [(token, score, 1) for token, score in vocab if token[0] not in "<["]
    marks = [(token, 0.0, type_) for token, type_ in MARKS[kind]]
    for token, score, type_ in [*marks, *ordinary, ("<own>", 0.0, 4)]:
        model.pieces.add(piece=token, score=score, type=type_)
    model.trainer_spec.model_type = 1
    model.trainer_spec.unk_id = [type_ for _, type_ in MARKS[kind]].index(2)
    return base64.b64encode(model.SerializeToString()).decode()


def byte_pairs(words: list[str], kind: str) -> str:
    """Return SentencePiece's file of a vocabulary of byte pairs, as base64."""
    model = import_protobuf().ModelProto()
    marks = dict(MARKS[kind])
    for place, word in enumerate(words):
        is_byte = word.startswith("<0x")
        model.pieces.add(piece=word, score=-place, type=marks.get(word, 6 if is_byte else 1))
    model.pieces.add(piece="<own>", score=0.0, type=4)
    model.trainer_spec.model_type = 2
    model.trainer_spec.unk_id = words.index("<unk>")
    return base64.b64encode(model.SerializeToString()).decode()


def named(kind: str) -> Files:
    """Return what names the class, without which SentencePiece's file of byte pairs is not read."""
    return {CONFIG: {"tokenizer_class": f"{kind.title()}Tokenizer"}} if kind in NAMED else {}


def older_files(tokenizer: Tokenizer, kind: str) -> list[Files]:
    """Return the older files that hold the same vocabulary, without tokenizer.json."""
    model = json.loads(tokenizer.to_str())["model"]
    if model["type"] == "WordPiece":
        words = sorted(model["vocab"], key=model["vocab"].get)
        return [{"tokenizer.json": None, "vocab.txt": "".join(f"{word}\n" for word in words)}]
    if model["type"] == "Unigram":
        return [{"tokenizer.json": None, PIECES[kind]: {BYTES: pieces(model["vocab"], kind)}}]
    if model["type"] == "BPE" and model["byte_fallback"]:
        words = sorted(model["vocab"], key=model["vocab"].get)
        file = {PIECES[kind]: {BYTES: byte_pairs(words, kind)}}
        return [{"tokenizer.json": None} | file | named(kind)]
    if model["type"] == "BPE":
        merges = "#version: 0.2\n" + "".join(" ".join(merge) + "\n" for merge in model["merges"])
        return [{"tokenizer.json": None, "vocab.json": model["vocab"], "merges.txt": merges}]
    return []


def write_tiny(out: Path, count: int, seed: int) -> None:
    """Write the families of tiny tokenizers."""
    for model, make in TINY.items():
        tokenizer = make()
        files: Files = {"tokenizer.json": tokenizer.to_str(), "config.json": {"model_type": model}}
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder), files)
            made = family(Path(folder), tokenizer, older_files(tokenizer, model), count, seed)
        dump(out / f"{model}.json", {"model": model, "files": files} | made)


def write_mirrored(mirror: Path, out: Path, count: int, seed: int) -> None:
    """Write the families of well-known models' tokenizers."""
    for name, model in MIRRORED.items():
        with tempfile.TemporaryDirectory() as folder:
            for file in (mirror / "models" / name).glob("*.*"):
                if file.suffix in {".json", ".txt", ".model"} and file.name != "config.json":
                    (Path(folder) / file.name).symlink_to(file)
            write(Path(folder), {"config.json": {"model_type": model}})
            tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
            others = ["vocab.json", PIECES.get(model, "")]
            has_other = any((Path(folder) / name).is_file() for name in others)
            older = [{"tokenizer.json": None} | named(model)] if has_other else []
            made = family(Path(folder), tokenizer, older, count, seed)
        found = {"model": name, "dir": str(mirror / "models" / name)}
        dump(
            out / f"{name.rpartition('/')[2]}.json",
            found | {"files": {"config.json": {"model_type": model}}} | made,
        )


def dump(path: Path, made: dict[str, object]) -> None:
    """Write a family, one case a line and ASCII only: control characters must survive editors."""
    head = json.dumps(
        {key: value for key, value in made.items() if key != "cases"}, separators=(",", ":")
    )
    cases = ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in made["cases"])
    path.write_text(f'{head[:-1]},"cases":[\n{cases}\n]}}\n', encoding="utf-8", newline="\n")
    refused = sum("refused" in entry for entry in made["cases"])
    size = path.stat().st_size / 1e3
    print(f"wrote {path}: {len(made['cases'])} cases, {refused} of them refused, {size:.0f} kB")


def check(saved: Path) -> None:
    """Compare the ids of folders that Temper saved with those that transformers gives them."""
    wrong = 0
    folders = sorted(saved.iterdir())
    for folder in folders:
        expected = json.loads((folder / "expected.json").read_text())
        if ids(folder) != expected:
            wrong += 1
            print(f"{folder}: other ids")
    print(f"{len(folders)} folders, {wrong} with other ids")


def main() -> None:
    """Write families, or check folders that Temper saved."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="folder to write into")
    parser.add_argument(
        "--mirror", type=Path, help="mirror of the Hub's files, for well-known models' tokenizers"
    )
    parser.add_argument(
        "--count", type=int, default=20, help="cases that change several files at once"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--check", type=Path, help="folder of folders that Temper saved")
    arguments = parser.parse_args()

    logging.set_verbosity_error()
    if arguments.check:
        check(arguments.check)
        return
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.mirror:
        write_mirrored(arguments.mirror, arguments.out, arguments.count, arguments.seed)
    else:
        write_tiny(arguments.out, arguments.count, arguments.seed)


if __name__ == "__main__":
    main()

"""Write the vectors of sentence-transformers for texts, with a tiny model and module files.

Needs sentence-transformers 6.2, which requirements.txt does not have.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

from sentence_transformers import SentenceTransformer
from transformers import BertTokenizer

from embedding_fixture import MODEL, VOCABULARY

TEXTS = ["the film is good.", "This story, so very dull and so very weak, is not fun.", "fine"]
PROMPTS = {"query": "a film and ", "document": ""}
LEGACY = [
    "cls_token",
    "max_tokens",
    "mean_tokens",
    "mean_sqrt_len_tokens",
    "weightedmean_tokens",
    "lasttoken",
]


def legacy(*modes: str) -> dict[str, object]:
    """Return a pooling's configuration as versions before 6 write it."""
    switches = {f"pooling_mode_{mode}": mode in modes for mode in LEGACY}
    return {"word_embedding_dimension": 32, **switches}


def new(modes: str | list[str], **more: object) -> dict[str, object]:
    """Return a pooling's configuration as version 6 writes it."""
    return {"embedding_dimension": 32, "pooling_mode": modes, **more}


# Pooling, whether vectors are normalised, and the other two files.
CASES = {
    "cls-normalized": (legacy("cls_token"), True, {}, {}),
    "max": (legacy("max_tokens"), False, {}, {}),
    "mean-sqrt-len": (legacy("mean_sqrt_len_tokens"), False, {}, {}),
    "weighted-mean": (legacy("weightedmean_tokens"), False, {}, {}),
    "last": (new("lasttoken"), False, {}, {}),
    "all": (legacy(*LEGACY), True, {}, {}),
    "two-in-another-order": (new(["mean", "cls"]), False, {}, {}),
    "cut": (new("mean"), False, {"max_seq_length": 7}, {}),
    "lower-case": (new("mean"), False, {"do_lower_case": True}, {}),
    "prompt": (new("mean"), False, {}, {"prompts": PROMPTS, "default_prompt_name": "query"}),
    "prompt-left-out": (
        new(["mean", "cls", "weightedmean", "max"], include_prompt=False),
        False,
        {},
        {"prompts": PROMPTS, "default_prompt_name": "query"},
    ),
}


def write_model(folder: Path, case: str) -> dict[str, object]:
    """Write a folder of sentence-transformers, and return the files that it adds to the model's."""
    pooling, normalize, transformer, whole = CASES[case]
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")] + [
        ("2_Normalize", "Normalize")
    ] * normalize
    files = {
        "modules.json": [
            {
                "idx": index,
                "name": str(index),
                "path": path,
                "type": f"sentence_transformers.models.{kind}",
            }
            for index, (path, kind) in enumerate(modules)
        ],
        "1_Pooling/config.json": pooling,
        "sentence_bert_config.json": {"max_seq_length": 40, "do_lower_case": False, **transformer},
        "config_sentence_transformers.json": whole,
    }
    shutil.copytree(MODEL, folder, dirs_exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY), encoding="utf-8")
    # The folder's tokenizer keeps the case, so that lower case before it makes a difference.
    tokenizer = BertTokenizer(str(folder / "vocab.txt"), do_lower_case=False)
    tokenizer.save_pretrained(folder)
    (folder / "2_Normalize").mkdir()
    (folder / "1_Pooling").mkdir()
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return files


def main() -> None:
    """Write `sentences.json` into the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    arguments = parser.parse_args()
    cases = {}
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            files = write_model(Path(folder), case)
            vectors = SentenceTransformer(folder, device="cpu").encode(TEXTS)
            cases[case] = {
                "files": files,
                "vectors": [[round(float(value), 7) for value in row] for row in vectors],
            }
    fixture = {"vocabulary": VOCABULARY, "texts": TEXTS, "cases": cases}
    path = arguments.out / "sentences.json"
    path.write_text(json.dumps(fixture) + "\n", encoding="utf-8", newline="\n")
    print(f"{path.name}: {len(cases)} cases")


if __name__ == "__main__":
    main()

"""Write the metrics of scikit-learn, scipy, seqeval and SQuAD on edge cases and random ones.

Needs seqeval 1.2.2 and transformers 4.57.6, which requirements.txt does not have: transformers 5
left out its copy of evaluate-v2.0.py. In an environment of its own:

    pip install numpy==2.4.6 scikit-learn==1.9.1 scipy==1.17.1 seqeval==1.2.2 transformers==4.57.6
"""

import argparse
import json
import warnings
from pathlib import Path

import metrics_answers
import metrics_entities
import metrics_numbers


def main() -> None:
    """Write a file for each kind of metric into the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    arguments = parser.parse_args()
    # Of quotients by zero, which are meant.
    warnings.simplefilter("ignore")
    for name, tables in {
        "entities": metrics_entities.tables(),
        "answers": metrics_answers.tables(),
        "labels": metrics_numbers.label_tables(),
        "numbers": metrics_numbers.number_tables(),
    }.items():
        lists = []
        for key, cases in tables.items():
            lines = (json.dumps(case, separators=(",", ":")) for case in cases)
            lists.append(f'"{key}":[\n' + ",\n".join(lines) + "\n]")
        path = arguments.out / f"{name}.json"
        path.write_text("{" + ",\n".join(lists) + "}\n", encoding="utf-8", newline="\n")
        counts = ", ".join(f"{len(cases)} {key}" for key, cases in tables.items())
        print(f"{path.name}: {counts}")


if __name__ == "__main__":
    main()

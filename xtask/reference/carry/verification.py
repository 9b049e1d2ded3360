"""The committed fixtures of every family, on the backend that is measured."""

import json
import os
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from process import FailedError, last_words, run
from setting import Setting

LIMIT = 100.0
# Largest absolute difference allowed, temper's own: 64 roundings where factors are rounded.
TOLERANCES = {"f32": 1e-4, "tf32": 2**-5, "bf16": 2**-2}


def families(fixtures: Path) -> list[str]:
    """Return the families that the fixtures are of."""
    configs = [path.read_text(encoding="utf-8") for path in fixtures.glob("*/config.json")]
    return sorted({json.loads(config)["model_type"] for config in configs})


def verify(setting: Setting, precision: str) -> list[dict[str, Any]]:
    """Return a row for each family. Families are processes side by side: nothing is timed here."""
    fixtures = setting.pack / "fixtures"
    names = families(fixtures)[: setting.families]
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return list(pool.map(lambda name: family(setting, fixtures, name, precision), names))


def family(setting: Setting, fixtures: Path, name: str, precision: str) -> dict[str, Any]:
    """Verify the fixtures of one family."""
    tolerance = TOLERANCES[precision]
    row: dict[str, Any] = {"family": name, "precision": precision, "tolerance": tolerance}
    command = [*setting.temper("verify", name, precision), "--fixtures", str(fixtures), "--json"]
    command += ["--tolerance", str(tolerance)]
    log = setting.log(f"verify-{precision}-{name}")
    try:
        code, printed = run(command, setting.limits.seconds(LIMIT), log, setting.environment)
        return row | summary(code, printed, log)
    except FailedError as error:
        return row | {"failed": str(error)}


def summary(code: int, printed: str, log: Path) -> dict[str, Any]:
    """Put the answers of a family's fixtures together."""
    try:
        fixtures = json.loads(printed)["fixtures"]
    except (ValueError, KeyError):
        return {"failed": f"exit code {code}: {last_words(log)}"}
    by_outcome = defaultdict(list)
    for fixture in fixtures:
        by_outcome[fixture["outcome"]].append(fixture)
    # JSON has null for what is infinite.
    measured = [
        float("inf") if fixture["largest"] is None else fixture["largest"]
        for fixture in by_outcome["verified"] + by_outcome["differs"]
    ]
    row: dict[str, Any] = {"fixtures": len(fixtures), "verified": len(by_outcome["verified"])}
    if measured:
        row["largest"] = max(measured)
    broken = [f"{fixture['name']}: {fixture['reason']}" for fixture in by_outcome["failed"]]
    return row | ({"failed": "; ".join(broken)[:300]} if broken else {})

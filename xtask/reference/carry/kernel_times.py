"""The kernels that a training step of Temper spends its time in, as CubeCL logs them."""

import re
import time
from collections import defaultdict
from typing import Any

import speed
from process import FailedError, limited
from setting import Setting

LIMIT = 75.0
SHARE = 0.9
WARMUP = 3
UNITS = {"ns": 1e-9, "µs": 1e-6, "ms": 1e-3, "s": 1.0}
# "| 12.3µs     | name", a launch (cubecl-runtime 0.11.3, logging/server.rs).
LAUNCH = re.compile(r"^\| (?P<number>[0-9.]+)(?P<unit>ns|µs|ms|s) *\| (?P<name>\S.*)$")
CONFIGURATION = '[profiling.logger]\nlevel = "basic"\nfile = "{log}"\n'


def profile(setting: Setting, shape: speed.Shape, precision: str) -> dict[str, Any]:
    """Return the kernels of one step; CubeCL waits for each, so the step itself is slower."""
    outcome: dict[str, Any] = {"shape": str(shape), "precision": precision}
    folder = setting.work / "profile"
    folder.mkdir(exist_ok=True)
    launches = setting.log("profile-launches")
    configuration = CONFIGURATION.format(log=launches)
    (folder / "cubecl.toml").write_text(configuration, encoding="utf-8")
    try:
        model = speed.model(setting, shape.model)
        fields = {"model": str(model), "precision": precision}
        job = setting.job("profile", shape.lengths(), **fields)
        program = setting.temper_bench("profile", folder)
        with limited("Temper", program, job, setting.limits.seconds(LIMIT)) as worker:
            worker.seconds(WARMUP)
            time.sleep(1)
            start = launches.stat().st_size
            worker.seconds(1)
            # The log is written by a thread after the step.
            time.sleep(1)
            log = launches.read_bytes()[start:].decode(errors="replace")
    except FailedError as error:
        return outcome | {"failed": str(error)}
    rows = aggregate(log)
    if not rows:
        return outcome | {"failed": "CubeCL logged no kernel; the CPU backends have none"}
    return outcome | {"kernels": rows}


def aggregate(log: str) -> list[dict[str, Any]]:
    """Add the launches up by name; return those that take nine tenths of the time together."""
    seconds: dict[str, float] = defaultdict(float)
    launches: dict[str, int] = defaultdict(int)
    for line in log.splitlines():
        if match := LAUNCH.match(line):
            seconds[match["name"]] += float(match["number"]) * UNITS[match["unit"]]
            launches[match["name"]] += 1
    total = sum(seconds.values())
    rows, sum_so_far = [], 0.0
    for name in sorted(seconds, key=seconds.__getitem__, reverse=True):
        if sum_so_far >= SHARE * total:
            break
        sum_so_far += seconds[name]
        share = seconds[name] / total if total else 0.0
        rows.append(
            {"name": name, "launches": launches[name], "seconds": seconds[name], "share": share}
        )
    return rows

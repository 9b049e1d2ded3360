"""The tests that compare kernels with the CPU's operations, on the GPU that is measured."""

import re
from typing import Any

from process import FailedError, last_words, run
from setting import Setting

LIMIT = 120.0
# The last line of Rust's test harness.
RESULT = re.compile(r"test result: \S+ (?P<passed>\d+) passed; (?P<failed>\d+) failed")


def kernel_tests(setting: Setting) -> list[dict[str, Any]]:
    """Return a row for each program of tests."""
    programs = sorted((setting.pack / "tests").glob("*"))
    return [one(setting, str(program), program.name) for program in programs]


def one(setting: Setting, program: str, name: str) -> dict[str, Any]:
    """Run the tests of a program."""
    row: dict[str, Any] = {"tests": name}
    log = setting.log(f"tests-{name}")
    try:
        limit = setting.limits.seconds(LIMIT)
        code, printed = run([program], limit, log, setting.environment)
    except FailedError as error:
        return row | {"failed_because": str(error)}
    if found := RESULT.search(printed):
        return row | {"passed": int(found["passed"]), "failed": int(found["failed"])}
    return row | {"failed_because": f"exit code {code}: {last_words(log)}"}

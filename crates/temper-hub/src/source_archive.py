"""Fetch the source archive of a package with pip's own index code, and run nothing of it.

`pip download` asks a source archive for its metadata, which runs its build script. Here pip only
does what comes before: its configuration, its indexes and find-links folders, its certificates,
proxies and passwords say where the archive is, and its session brings the bytes.

usage: source_archive.py NAME VERSION SHA256 TARGET MOST_BYTES
"""

from __future__ import annotations

import hashlib
import sys
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from optparse import Values

    from pip._internal.commands.download import DownloadCommand
    from pip._internal.network.session import PipSession

ENDING = ".tar.gz"


def fail(reason: str) -> NoReturn:
    """End with a line on stderr."""
    sys.exit(f"ERROR: {reason}")


def links(
    command: DownloadCommand, options: Values, session: PipSession, name: str, version: str
) -> Iterator[str]:
    """Give the addresses of the version's source archives, as pip finds them."""
    finder = command._build_package_finder(options, session, ignore_requires_python=True)
    found = finder.find_all_candidates(name)
    for candidate in found:
        link = candidate.link
        is_file = urlsplit(link.url).scheme in ("http", "https", "file")
        if str(candidate.version) == version and link.filename.endswith(ENDING) and is_file:
            yield link.url_without_fragment
    if not found:
        fail(f"No matching distribution found for {name}")


def save(session: PipSession, address: str, target: str, most: int) -> str:
    """Write the content of an address to a file; return its sha256."""
    digest = hashlib.sha256()
    written = 0
    answer = session.get(address, headers={"Accept-Encoding": "identity"}, stream=True)
    answer.raise_for_status()
    with open(target, "wb") as file:
        while piece := answer.raw.read(1 << 16):
            written += len(piece)
            if written > most:
                fail(f"{address} has more than {most} bytes")
            digest.update(piece)
            file.write(piece)
    return digest.hexdigest()


def main(name: str, version: str, sha256: str, target: str, most: int) -> None:
    """Fetch the source archive whose sha256 is the right one."""
    from pip._internal.commands import create_command
    from pip._vendor.packaging.version import Version

    command = create_command("download")
    with command.main_context():
        flags = ["--no-binary", ":all:", "--no-deps", "--no-input", "--retries", "2"]
        options, _ = command.parse_args(flags)
        session = command.get_default_session(options)
        digest = None
        for address in links(command, options, session, name, str(Version(version))):
            digest = save(session, address, target, most)
            if digest == sha256:
                return
        if digest is None:
            fail(f"there is no source archive ({ENDING}) of {name} {version}")
        fail(f"the source archive of {name} {version} has another sha256\n    Got        {digest}")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:5], int(sys.argv[5]))
    except (ImportError, AttributeError, TypeError) as error:
        fail(f"this pip does not have what is needed ({error}): use pip 20 or later")
    except Exception as error:
        fail(f"{type(error).__name__}: {error}")

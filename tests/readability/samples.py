"""Draw seeded samples of the words in this repository, for a reader who has never seen the code.

``python -m tests.readability.samples --seed 13 --since v0.1.0`` prints docstrings, test names, commit subjects,
identifiers and every error message. The reader explains each entry; an entry that the reader cannot explain, or
explains wrongly, is unclear and gets rewritten.
"""

import argparse
import ast
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

from contracts.registry import REFUSALS

ROOT = Path(__file__).parents[2]
SOURCES = ("clients", "contracts", "deploy", "services")


def parsed(*folders: str) -> Iterator[tuple[Path, ast.Module]]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "versions" not in path.parts and ".venv" not in path.parts:
                yield path.relative_to(ROOT), ast.parse(path.read_text())


def definitions(*folders: str) -> Iterator[tuple[str, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Classes and functions with their place, local functions included."""
    for path, module in parsed(*folders):
        for node in ast.walk(module):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{path}:{node.lineno}", node


def docstrings() -> list[str]:
    found = [(f"{path}:1", path.stem, ast.get_docstring(module)) for path, module in parsed(*SOURCES)]
    found += [(place, node.name, ast.get_docstring(node)) for place, node in definitions(*SOURCES)]
    return [f"{place} {name}: {text}" for place, name, text in found if text]


def list_test_names() -> list[str]:
    return [f"{place} {node.name}" for place, node in definitions("tests") if node.name.startswith("test_")]


def identifiers() -> list[str]:
    return [f"{place} {node.name}" for place, node in definitions(*SOURCES) if not node.name.startswith("__")]


def commit_subjects(since: str) -> list[str]:
    command = ["git", "log", "--no-merges", "--format=%s", f"{since}..HEAD"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()


def error_messages() -> list[str]:
    """Every refusal: its code and the message that clients get."""
    return [f"{refusal.code}: {refusal.__doc__}" for refusal in REFUSALS]


def main() -> None:
    """Print the samples as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--since", required=True, help="the revision after which commit subjects are drawn")
    options = parser.parse_args()
    drawn = random.Random(options.seed)  # noqa: S311 - a reproducible sample, no secret
    for title, entries, size in (
        ("Docstrings", docstrings(), 60),
        ("Test names", list_test_names(), 60),
        ("Commit subjects", commit_subjects(options.since), 60),
        ("Identifiers", identifiers(), 40),
    ):
        print(f"## {title} ({min(size, len(entries))} of {len(entries)})\n")
        for entry in drawn.sample(sorted(entries), min(size, len(entries))):
            print("*", entry.replace("\n", "\n  "))
        print()
    print("## Error messages\n")
    for message in error_messages():
        print("*", message)


if __name__ == "__main__":
    main()

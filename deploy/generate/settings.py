"""docs/operations/settings.md: every setting, from ``.env.example``, which a test compares with the services."""

import re
from collections.abc import Iterator
from pathlib import Path

HEAD = """\
# Settings

Generated from `.env.example` by `./dev generate`. Settings are environment variables. A service also takes some plain
names, such as `NATS_URL`, for all services at once. A setting without a default is off, unless it is required.
"""
SECTION = re.compile(r"# --- (.+) ---")
SETTING = re.compile(r"(?:# )?([A-Z][A-Z0-9_]+)=(.*)")


def settings_page(root: Path) -> str:
    """Return the page."""
    return "\n".join([HEAD, *_wrap_lines((root / ".env.example").read_text())])


def _wrap_lines(text: str) -> Iterator[str]:
    comment: list[str] = []
    in_section = in_group = False
    for line in text.splitlines():
        if section := SECTION.fullmatch(line):
            title = section[1][0].upper() + section[1][1:]
            yield from ([""] if in_section else [])
            yield from (f"## {title}", "", "| setting | default | meaning |", "| --- | --- | --- |")
            in_section = True
        elif in_section and (setting := SETTING.fullmatch(line)):
            default = f"`{setting[2]}`" if setting[2] else ""
            yield f"| `{setting[1]}` | {default} | {' '.join(comment)} |"
            in_group = True  # a setting without a comment of its own shares the one above
        else:
            comment = [*([] if in_group else comment), line[2:].replace("|", r"\|")] if line.startswith("# ") else []
            in_group = False
    yield ""

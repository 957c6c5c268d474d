"""Documents name files that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(path for path in ROOT.glob("docs/**/*.md") if path.parent.name != "decisions")])
NAMED = re.compile(r"`((?:services|contracts|clients|deploy|tests|docs)/[\w./-]+\w)/?`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_named_by_a_document_exist(page: Path) -> None:
    named = NAMED.findall(page.read_text())
    assert [path for path in named if not (ROOT / path).exists()] == []

"""The page of tests is that of the tests there are."""

import runpy
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"


def test_the_page_of_proofs_is_current() -> None:
    """What is checked in is what `python -m docs.proofs` writes."""
    proofs = runpy.run_path(str(DOCS / "proofs.py"))

    assert proofs["page"]() == proofs["PAGE"].read_text(encoding="utf-8")

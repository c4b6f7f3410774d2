"""Numbers with their nouns."""

import pytest

from stitchkit.core.wording import counted


@pytest.mark.parametrize(
    ("n", "nouns", "said"),
    [(0, ("pair",), "0 pairs"), (1, ("pair",), "1 pair"), (2, ("pair",), "2 pairs"),
     (1, ("study", "studies"), "1 study"), (3, ("study", "studies"), "3 studies"), (1000, ("item",), "1,000 items")],
)  # fmt: skip
def test_a_noun_follows_its_number(n, nouns, said):
    assert counted(n, *nouns) == said

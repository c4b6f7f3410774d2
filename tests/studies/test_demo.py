"""The demo's promises: gates on fresh phantoms, and a page that stands alone."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from stitchkit.core.errors import InputError
from stitchkit.datasets.phantoms import FINDINGS, make_phantoms
from stitchkit.studies.demo.demo_data import NOISE, DemoSettings, make_demo_data
from stitchkit.studies.demo.run_demo import control_numbers, naming_numbers, run_demo, stitch_numbers

SEEDS = (11, 12, 13)


def gate_numbers(settings):
    """Macro AUROCs by name for one draw of phantoms."""
    quick = replace(settings, replicates=1, nested=False)
    data = make_demo_data(quick)
    stitching, _ = stitch_numbers(data, quick)
    naming, to_text = naming_numbers(data, quick)
    numbers = {one.name: one.macro.value for one in (*stitching.methods, *naming.methods)}
    hardest = min(one.value for one in stitching.method("own head (medical encoder)").classes.values())
    controls = {name: value for name, value in control_numbers(data, to_text).items() if name != "silenced"}
    return {**numbers, "hardest": hardest, **controls}


@pytest.fixture(
    scope="module", params=[(SEEDS[:1], 250), pytest.param((SEEDS, 500), marks=pytest.mark.slow)], ids=["one", "three"]
)
def gates(request):
    """Macro AUROCs at 500 anchors on draws of phantoms that nothing was tuned on: one, or three in the slow tests."""
    seeds, tested = request.param
    return [gate_numbers(DemoSettings(seed=seed, tested=tested)) for seed in seeds]


def each(gates, name):
    return np.asarray([one[name] for one in gates])


def test_without_a_map_the_head_is_at_chance(gates):
    naive = each(gates, "naive (cut to width)")
    assert ((naive >= 0.40) & (naive <= 0.60)).all()


def test_the_stitch_drives_the_medical_head(gates):
    stitch = each(gates, "automatic stitch")
    assert (stitch >= 0.75).all()
    assert (stitch >= each(gates, "naive (cut to width)") + 0.20).all()
    assert (stitch >= each(gates, "orthogonal map") - 0.02).all()


def test_the_own_head_stays_above_the_stitch(gates):
    own = each(gates, "own head (medical encoder)")
    assert (own >= each(gates, "automatic stitch") + 0.03).all()
    assert ((own >= 0.85) & (own <= 0.97)).all()


def test_findings_are_named_by_text(gates):
    assert (each(gates, "general encoder, by text") >= 0.70).all()
    assert (each(gates, "medical encoder, by text") >= 0.80).all()


def test_metadata_tells_nothing_of_a_phantom(gates):
    assert np.abs(each(gates, "metadata only") - 0.5).max() < 0.06


def test_shuffled_anchor_pairs_are_at_chance(gates):
    assert abs(each(gates, "shuffled_stitch").mean() - 0.5) < 0.05
    assert abs(each(gates, "shuffled_text").mean() - 0.5) < 0.05


def test_a_finding_that_no_anchor_mentions_falls(gates):
    assert (each(gates, "silenced_covered") - each(gates, "silenced_uncovered") >= 0.10).all()


def test_some_finding_is_hard(gates):
    assert (each(gates, "hardest") < 0.85).all()


def test_the_page_stands_alone_and_says_what_it_is(small_demo):
    page = small_demo.report.read_text(encoding="utf-8")
    assert "phantoms, not patients" in page
    assert "Not a medical device" in page
    assert "Prompts use the reports' own wordings" in page
    addresses = re.findall(r"""(?:src|href)=["']([^"']*)""", re.sub(r"(?s)<metadata>.*?</metadata>", "", page))
    assert all(one.startswith(("data:", "#")) for one in addresses)
    assert "<script" not in page


def test_the_page_shows_every_row_of_the_tables(small_demo):
    page = small_demo.report.read_text(encoding="utf-8")
    for evaluation in (small_demo.stitching, small_demo.naming):
        for method in evaluation.methods:
            assert method.name in page
            assert f"{method.macro.value:.3f}" in page


def test_the_numbers_lie_beside_the_page(small_demo):
    numbers = json.loads((small_demo.report.parent / "results.json").read_text(encoding="utf-8"))
    assert numbers["stitching"]["methods"][0]["macro"]["value"] == small_demo.stitching.main.macro.value
    assert {row["anchors"] for row in numbers["curve"]} == {30, 60}
    assert sorted(path.name for path in small_demo.report.parent.iterdir()) == ["report.html", "results.json"]


def test_the_summary_names_what_was_measured(small_demo):
    assert "not patients" in small_demo.summary()
    assert "automatic stitch" in small_demo.summary()


def test_a_file_where_the_folder_should_be_is_refused(tmp_path):
    (tmp_path / "taken").write_text("x")
    with pytest.raises(InputError, match="is a file; the demo needs a folder"):
        run_demo(tmp_path / "taken", settings=DemoSettings())


def test_reports_of_test_films_that_are_wrong_say_so(small_demo):
    page = small_demo.report.read_text(encoding="utf-8")
    assert "of anchors and of test films, is wrong on purpose" in page
    assert "never see the reports of these films" in page
    drawn = make_phantoms(small_demo.numbers["settings"]["tested"], seed=10_001, noise=NOISE, size=16)
    assert 0.02 < (drawn.labels != drawn.reported).mean() < 0.08  # what the page says of test films
    found = drawn.labels.sum(axis=1)
    shown = [*np.flatnonzero(found == 0)[:1], *np.flatnonzero(found >= 1)[:5]]
    wrong = [
        [
            (name, bool(drawn.labels[i, c]))
            for c, name in enumerate(FINDINGS)
            if drawn.labels[i, c] != drawn.reported[i, c]
        ]
        for i in shown
    ]
    cards = re.findall(r'<p class="noise"><b>Injected label noise</b>(.*?)</p>', page)
    words = {
        True: "The report does not state the {} that was drawn.",
        False: "The report states {}, which was not drawn.",
    }
    assert cards == [" ".join(words[there].format(name) for name, there in names) for names in wrong if names]


def test_the_chosen_map_is_marked_among_its_candidates(small_demo):
    page, numbers = (
        small_demo.report.read_text(encoding="utf-8"),
        json.loads(small_demo.report.with_name("results.json").read_text()),
    )
    tables = re.findall(r'<table class="candidates">(.*?)</table>', page, re.DOTALL)
    assert len(tables) == len(numbers["maps"]) == 2
    for table, record in zip(tables, numbers["maps"].values(), strict=True):
        (marked,) = [row for row in table.split("<tr")[2:] if 'class="tag">chosen' in row]
        assert f"<td>{record['solver']} <" in marked
        for key in record["settings"].keys() & record["candidates"][0].keys():
            assert key in marked

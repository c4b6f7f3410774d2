"""Phantoms: the facts are independent, the films follow the facts and nothing else, the reports say them."""

import tomllib
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from stitchkit.datasets.phantoms import (
    FINDINGS,
    Phantom,
    draw_phantoms,
    make_phantoms,
    phantom_prompts,
    render,
    reported_findings,
    write_report,
)
from stitchkit.datasets.phantoms.canvas import Canvas, curve
from stitchkit.datasets.shapes import KINDS, make_shapes

PROMPTS = Path(__file__).parents[2] / "anchors" / "prompts"
WORDS = {
    "cardiomegaly": ("cardiomegaly", "heart", "cardiac silhouette", "cardiothoracic", "cardiac shadow"),
    "edema": ("edema",),
    "effusion": ("effusion", "pleural fluid"),
    "nodule": ("nodul",),
    "opacity": ("opaci", "consolidation"),
    "pacemaker": ("pacemaker",),
    "pneumothorax": ("pneumothorax",),
}


def normal(phantom: Phantom) -> Phantom:
    return phantom.with_severity(**dict.fromkeys(FINDINGS, 0.0))


def test_same_seed_same_films_and_reports() -> None:
    one, two, other = (make_phantoms(6, seed=seed, size=48) for seed in (3, 3, 4))
    assert (one.images == two.images).all()
    assert one.reports == two.reports
    assert (one.images != other.images).any()


def test_a_longer_draw_starts_with_the_shorter_one() -> None:
    assert draw_phantoms(20, seed=5)[:9] == draw_phantoms(9, seed=5)


def test_findings_are_independent_of_each_other_of_view_and_of_sex() -> None:
    drawn = draw_phantoms(6000, seed=0, two_films=0.0)
    facts = [[*(s > 0 for s in p.severities), p.view == "AP", p.sex == "F"] for p in drawn]
    off = np.corrcoef(np.array(facts, float).T)[np.triu_indices(len(FINDINGS) + 2, 1)]
    assert np.abs(off).max() < 4.5 / np.sqrt(6000)
    assert np.array(facts)[:, : len(FINDINGS)].mean(0) == pytest.approx(0.2, abs=0.03)


def test_some_patients_have_two_films_and_their_findings_mostly_persist() -> None:
    drawn = draw_phantoms(3000, seed=1)
    pairs = [(a, b) for a, b in pairwise(drawn) if a.patient == b.patient]
    assert 250 < len(pairs) < 550
    present = np.array([[p.severities for p in pair] for pair in pairs]) > 0
    kept = present[:, 1][present[:, 0]].mean()
    assert 0.75 < kept < 0.95
    assert present[:, 1].mean() == pytest.approx(0.2, abs=0.04)
    assert all(a.nuisance.body == b.nuisance.body and a.sex == b.sex for a, b in pairs)


def test_absent_findings_leave_no_trace() -> None:
    one = draw_phantoms(4, seed=2)[3]
    elsewhere = replace(normal(one), sides=("left",) * len(FINDINGS), places=((0.5, 0.5),) * len(FINDINGS))
    assert (render(normal(one)) == render(elsewhere)).all()


@pytest.mark.parametrize("finding", FINDINGS)
def test_a_finding_shows_and_more_of_it_shows_more(finding: str) -> None:
    changes = []
    for phantom in draw_phantoms(5, seed=6):
        bare = render(normal(phantom)).astype(float)
        changes.append(
            [np.abs(render(normal(phantom).with_severity(**{finding: s})) - bare).sum() for s in (0.1, 0.4, 0.9)]
        )
    mild, medium, severe = np.mean(changes, axis=0)
    assert 0 < mild < medium < severe


def test_a_film_at_192_is_the_film_at_96_finer() -> None:
    for phantom in draw_phantoms(12, seed=7):
        fine, coarse = render(phantom, 192).astype(float), render(phantom, 96).astype(float)
        merged = fine.reshape(96, 2, 96, 2).mean((1, 3))
        assert np.abs(merged - coarse).mean() < 2.5  # grey levels
        assert np.corrcoef(merged.ravel(), coarse.ravel())[0, 1] > 0.995


def test_a_left_effusion_whitens_the_left_of_the_patient() -> None:
    index = FINDINGS.index("effusion")
    for phantom in draw_phantoms(4, seed=8):
        bare = normal(replace(phantom, view="PA"))
        sides = tuple("left" if k == index else side for k, side in enumerate(bare.sides))
        wet = replace(bare, sides=sides).with_severity(effusion=0.7)
        gain = render(wet).astype(float) - render(bare)
        assert gain[:, 52:].sum() > 20 * abs(gain[:, :44].sum())


def test_reports_name_present_findings_and_only_rule_out_absent_ones() -> None:
    for phantom in draw_phantoms(60, seed=9):
        for sentence in write_report(phantom, seed=0).lower().split("."):
            for finding, severity in zip(FINDINGS, phantom.severities, strict=True):
                if not any(word in sentence for word in WORDS[finding]):
                    continue
                ruled_out = any(
                    word in sentence for word in ("no ", "not ", "normal", "without", "free of", "clear of")
                )
                assert ruled_out == (severity == 0)


def test_present_findings_are_all_mentioned_and_absent_ones_sometimes() -> None:
    mentions = []
    for phantom in draw_phantoms(300, seed=10):
        text = write_report(phantom, seed=0).lower()
        for finding, severity in zip(FINDINGS, phantom.severities, strict=True):
            mentions.append((severity > 0, any(word in text for word in WORDS[finding])))
    present, named = np.array(mentions).T
    assert named[present].all()
    assert 0.3 < named[~present].mean() < 0.6


@pytest.mark.parametrize("wording", ["usual", "unseen"])
@pytest.mark.parametrize("finding", FINDINGS)
def test_a_silent_finding_is_never_mentioned(finding: str, wording: str) -> None:
    for phantom in draw_phantoms(60, seed=11, prevalence=0.5):
        text = write_report(phantom, seed=1, wording=wording, silent=(finding,)).lower()  # type: ignore[arg-type]
        assert not any(word in text for word in WORDS[finding])


def test_an_unknown_silent_finding_is_refused() -> None:
    with pytest.raises(ValueError, match="fracture"):
        write_report(draw_phantoms(1, seed=0)[0], seed=0, silent=("fracture",))


def test_noise_flips_that_share_of_the_reported_findings() -> None:
    drawn = draw_phantoms(2000, seed=12)
    truth = np.array([p.severities for p in drawn]) > 0
    said = np.array([reported_findings(p, seed=3, noise=0.1) for p in drawn])
    assert (said != truth).mean() == pytest.approx(0.1, abs=0.012)
    assert (np.array([reported_findings(p, seed=3) for p in drawn]) == truth).all()


def test_reports_agree_with_the_reported_labels() -> None:
    made = make_phantoms(80, seed=13, size=16, noise=0.3)
    assert (made.reported != made.labels).mean() > 0.2
    for text, said in zip(made.reports, made.reported, strict=True):
        for finding, there in zip(FINDINGS, said, strict=True):
            if there:
                assert any(word in text.lower() for word in WORDS[finding])


def test_unseen_wordings_share_no_sentence_with_the_usual_ones() -> None:
    def sentences(wording: str) -> set[str]:
        texts = [write_report(p, seed=2, wording=wording) for p in draw_phantoms(400, seed=14)]  # type: ignore[arg-type]
        return {sentence.strip() for text in texts for sentence in text.split(".") if sentence.strip()}

    assert not sentences("usual") & sentences("unseen")


def test_sentences_are_well_formed() -> None:
    for wording in ("usual", "unseen"):
        for phantom in draw_phantoms(200, seed=15):
            text = write_report(phantom, seed=4, wording=wording)  # type: ignore[arg-type]
            assert not any(bad in text for bad in ("  ", " .", ",.", " ,", "{", " a a", " a e", " a i", " a o"))
            assert all(sentence.strip()[:1].isupper() for sentence in text.split(".") if sentence.strip())


@pytest.mark.parametrize(("name", "wording"), [("phantom", "usual"), ("phantom-unseen", "unseen")])
def test_the_prompt_files_hold_the_wordings_of_the_reports(name: str, wording: str) -> None:
    file = tomllib.loads((PROMPTS / f"{name}.toml").read_text())
    assert file["name"] == name
    prompts = phantom_prompts(wording)  # type: ignore[arg-type]
    assert file["classes"] == {f: {side: list(texts) for side, texts in p.items()} for f, p in prompts.items()}


def test_a_set_holds_what_it_says() -> None:
    made = make_phantoms(12, seed=16, size=32)
    assert len(made) == 12
    assert made.images.shape == (12, 32, 32)
    assert made.images.dtype == np.uint8
    assert made.labels.shape == made.reported.shape == made.severity.shape == (12, len(FINDINGS))
    assert made.ids[7] == "phantom-16-00007"
    assert set(made.views) <= {"PA", "AP"}
    assert set(made.sexes) <= {"F", "M"}
    assert len(set(made.patients)) < 12


def test_impossible_requests_are_refused() -> None:
    with pytest.raises(ValueError, match="prevalence"):
        draw_phantoms(2, seed=0, prevalence=1.5)
    with pytest.raises(ValueError, match="16 pixels"):
        render(draw_phantoms(1, seed=0)[0], 8)
    with pytest.raises(ValueError, match="fracture"):
        draw_phantoms(1, seed=0)[0].with_severity(fracture=0.5)


def test_shapes_repeat_and_their_labels_name_kind_and_quadrant() -> None:
    images, labels = make_shapes(400, seed=1, size=48)
    again, _ = make_shapes(400, seed=1, size=48)
    assert (images == again).all()
    assert images.shape == (400, 48, 48)
    assert set(labels.tolist()) == set(range(4 * len(KINDS)))


def literal_spots(canvas: Canvas, marks: np.ndarray) -> np.ndarray:
    """Gaussian spots on the film one by one: narrow ones within three widths of the widest of them, wide ones whole."""
    half, total = canvas.size / 2, np.zeros((canvas.size, canvas.size))
    pixels = np.arange(canvas.size)
    fine = marks[:, 2] < 0.024
    reach = np.ceil(3 * (np.maximum(marks[fine, 2], 0.0105) * half).max()) if fine.any() else 0
    for x, y, sigma, weight in marks:
        at_x, at_y, wide = (x + 1) * half - 0.5, (y + 1) * half - 0.5, max(sigma, 0.0105) * half
        columns, rows = (np.exp(-((pixels - at) ** 2) / (2 * wide**2)) for at in (at_x, at_y))
        if sigma < 0.024:
            columns, rows = (
                columns * (abs(pixels - np.rint(at_x)) <= reach),
                rows * (abs(pixels - np.rint(at_y)) <= reach),
            )
        total += weight * rows[:, None] * columns
    return total


@pytest.mark.parametrize("kept", ["fine", "coarse", "both", "outside"])
def test_spots_are_gaussians_added_up(kept: str) -> None:
    rng = np.random.default_rng(2)
    sigma = {"fine": rng.uniform(0.005, 0.02, 60), "coarse": rng.uniform(0.03, 0.2, 60)}.get(
        kept, rng.uniform(0.005, 0.06, 60)
    )
    places = rng.uniform(-1.4, 1.4, (60, 2)) if kept != "outside" else rng.uniform(0.9, 1.3, (60, 2))
    marks = np.column_stack([places, sigma, rng.uniform(-0.2, 0.5, 60)])
    canvas = Canvas.of(64, tilt=0.0, zoom=1.0, shift=(0.0, 0.0))
    np.testing.assert_allclose(canvas.spots(marks, on_film=True), literal_spots(canvas, marks), atol=2e-6)


def test_a_line_weighs_what_its_density_and_length_say() -> None:
    marks = curve([(-0.5, 0.0), (0.0, 0.0), (0.5, 0.0)], (0.02, 0.03), (0.1, 0.3))
    steps = np.hypot(*np.diff(marks[:, :2], axis=0).T)
    assert np.isclose(steps.sum(), 1.0)
    share = np.concatenate([[steps[0] / 2], (steps[1:] + steps[:-1]) / 2, [steps[-1] / 2]])
    t = np.linspace(0, 1, len(marks))
    np.testing.assert_allclose(marks[:, 2], 0.02 + 0.01 * t)
    np.testing.assert_allclose(marks[:, 3], (0.1 + 0.2 * t) * share / (np.sqrt(2 * np.pi) * marks[:, 2]))


# np.round(render(one).reshape(3, 32, 3, 32).mean((1, 3)), 2) of draw_phantoms(3, seed=7)
MEANS = [
    [[120.44, 137.54, 129.64], [110.9, 156.49, 121.2], [158.9, 204.37, 169.93]],
    [[131.85, 135.35, 143.33], [114.21, 166.92, 128.1], [200.3, 228.78, 201.72]],
    [[118.36, 127.78, 140.84], [102.39, 154.75, 132.25], [161.96, 215.91, 176.14]],
]


def test_films_stay_what_the_embedded_encoders_were_trained_on() -> None:
    films = [render(one) for one in draw_phantoms(3, seed=7)]
    means = [film.reshape(3, 32, 3, 32).mean((1, 3)) for film in films]
    np.testing.assert_allclose(means, MEANS, atol=0.02)  # rounding may move a grey level of a few pixels of 1,024

"""The simulations of coverage: their truth is the truth, their tallies are right, and a stopped run goes on."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from stitchkit.metrics.auroc import auroc, auroc_within

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def path(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])


def module(name):
    return import_module(f"benchmarks.coverage.{name}")


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"by_image": True},
        {"alone": True},
        {"crowded": True},
        {"shape": "lognormal"},
        {"shape": "left-skewed"},
        {"shape": "t3"},
        {"spread": 2.0},
        {"levels": 3},
        {"levels": 5},
        {"folds": 3},
        {"missed": 0.1},
        {"less": 0.05},
    ],
    ids=str,
)
def test_the_truth_of_a_population_is_the_auroc_of_a_large_sample(changed):
    films = module("films").Films((4000,), 0.9, patients=12_000, **changed)
    sample = films.draw(np.random.default_rng(1))
    for scores, truth in zip(sample.scores, films.truths, strict=True):
        pair = scores[:, 0], sample.labels[:, 0]
        found = auroc(*pair) if sample.parts is None else auroc_within(*pair, sample.parts)
        assert found == pytest.approx(truth, abs=0.012)  # three standard errors


def test_a_sample_has_the_positive_patients_it_was_asked_for():
    sample = module("films").Films((40, 8), 0.9, by_image=True).draw(np.random.default_rng(0))
    for column, number in zip(sample.labels.T, (40, 8), strict=True):
        assert len(np.unique(sample.groups[column == 1])) == number
    assert sorted(np.unique(np.bincount(sample.groups))) == [1, 2, 3, 4, 5, 6]


def test_a_dominant_patient_has_the_share_of_positives_that_was_asked_for():
    sample = module("unequal_films").Held((12,), 0.9, 0.0, held=0.5).draw(np.random.default_rng(0))
    held = np.bincount(sample.groups[sample.labels[:, 0] == 1])
    assert np.count_nonzero(held) == 12
    assert held.max() / held.sum() == pytest.approx(0.5, abs=0.02)


def test_the_truth_is_the_auroc_of_a_large_sample_where_one_patient_holds_images_too():
    films = module("unequal_films").Held((4000,), 0.9, 0.05, patients=12_000, held=0.01)
    sample = films.draw(np.random.default_rng(1))
    for scores, truth in zip(sample.scores, films.truths, strict=True):
        assert auroc(scores[:, 0], sample.labels[:, 0]) == pytest.approx(truth, abs=0.012)


def test_a_tally_counts_what_lies_where():
    ends = module("cells").Ends
    nan = float("nan")
    found = module("cells").tally([ends(0, 2, 1), ends(2, 3, 1), ends(0, 0.5, 1), ends(1, 1, 1), ends(nan, nan, 1)])
    shares = [found[name] for name in ("coverage", "truth below", "truth above", "undefined", "no width")]
    assert shares == pytest.approx([40, 20, 20, 20, 25])
    assert found["width"] == pytest.approx((2 + 1 + 0.5 + 0) / 4)


def test_the_other_end_counts_against_a_difference_alone():
    cells = module("cells")
    found = {"coverage": 94.0, "truth below": 1.0, "truth above": 5.0, "width": 0.1}
    bar = {"x": cells.Bar(93, 4)}
    assert "NOT MET" not in cells.verdict(cells.Cell("a", dict, bar), "x", found)
    assert "NOT MET" in cells.verdict(cells.Cell("a", dict, bar, two_sided=("x",)), "x", found)


def test_a_digest_is_of_code_and_not_of_words(tmp_path):
    digest_of = module("cells").digest_of
    code = 'def f(x):\n    """Words."""\n    return x + 1\n'
    texts = {
        "first": f"import a\n\n\n{code}",
        "other words": "from b import (\n    a,\n)\n"
        + code.replace("Words.", "Other\n    words.").replace("1", "1  # so"),
        "other code": code.replace("1", "2"),
        "another text": code.replace("1", '"# 1"'),
    }
    found = {}
    for name, text in texts.items():
        (tmp_path / "a.py").write_text(text)
        found[name] = digest_of([tmp_path / "a.py"])
    assert found["first"] == found["other words"]
    assert len({*found.values()}) == 3


def test_every_cell_has_a_name_of_its_own_and_runs():
    cells = module("auroc").CELLS
    assert len({one.name for one in cells}) == len(cells) > 50
    for cell in cells:
        if not cell.name.startswith("compared"):
            found = module("cells").run_cell(cell, 1)["quantities"]
            assert all(one["undefined"] == 0 for one in found.values())


def test_a_stopped_run_goes_on_and_a_changed_source_begins_anew(tmp_path, monkeypatch, capsys):
    main = module("__main__")
    calls = []

    class Family:
        CELLS = tuple(
            module("cells").Cell(name, lambda rng, name=name: calls.append(name) or {"x": (0.0, rng.random(), 0.1)})
            for name in ("one", "two")
        )
        SOURCES = (tmp_path / "source.py",)

    Family.SOURCES[0].write_text("1")
    main._run("toy", Family, 5, "one", tmp_path)
    main._run("toy", Family, 5, "", tmp_path)
    assert calls == ["one"] * 5 + ["two"] * 5
    main._run("toy", Family, 3, "", tmp_path)
    first = json.loads((tmp_path / "toy.json").read_text())
    assert len(calls) == 10
    Family.SOURCES[0].write_text("2")
    main._run("toy", Family, 5, "", tmp_path)
    again = json.loads((tmp_path / "toy.json").read_text())
    assert len(calls) == 20
    seedless = [[{**one, "seconds": 0} for one in kept["cells"].values()] for kept in (first, again)]
    assert seedless[0] == seedless[1]
    assert "| two | x | 5 | " in (tmp_path / "toy.md").read_text()
    assert "| one | x | 5 | " in capsys.readouterr().out


FAMILIES = ("auroc", "proportions", "r2", "curves", "overlaps", "probabilities", "precision", "thresholds")


def test_every_family_of_the_command_is_tested():
    assert module("__main__").FAMILIES == FAMILIES


@pytest.mark.parametrize("name", FAMILIES)
def test_the_kept_tables_are_those_of_the_kept_results_and_meet_their_bars(name):
    cells, family = module("cells"), module(name)
    folder = ROOT / "benchmarks" / "results" / "coverage"
    kept = json.loads((folder / f"{name}.json").read_text())
    table = (folder / f"{name}.md").read_text()
    assert kept["digest"] == cells.digest_of(family.SOURCES), f"run python -m benchmarks.coverage {name} again"
    assert table.rstrip("\n") == cells.table(family.CELLS, kept["cells"])
    assert len(kept["cells"]) == len(family.CELLS)
    assert "met" in table
    assert "NOT MET" not in table
    assert module(f"{name}_page").page(kept["cells"]) in (ROOT / "docs" / "intervals.md").read_text()


def test_cells_of_shares_have_names_of_their_own_and_run():
    cells = module("proportions").CELLS
    assert len({one.name for one in cells}) == len(cells) > 50
    for cell in cells[::6]:
        found = module("cells").run_cell(cell, 1)["quantities"]
        assert all(one["undefined"] == 0 for one in found.values())


@pytest.mark.parametrize("harder", [0.0, 0.2])
@pytest.mark.parametrize("together", [0.0, 0.5, 1.0])
def test_the_true_share_and_the_correlation_are_those_of_a_large_sample(harder, together):
    items = module("proportions").Items(40_000, 0.9, 6, together, harder)
    won, of = items.draw(np.random.default_rng(0))
    assert won.sum() / of.sum() == pytest.approx(items.truth, abs=0.006)
    if not harder:
        spread = np.mean((won - 0.9 * of) ** 2 - 0.09 * of)  # of pairs of a patient's items
        assert spread / np.mean(of * (of - 1)) / 0.09 == pytest.approx(together, abs=0.03)


@pytest.mark.parametrize("kind", ["decisions_trial", "classes_trial", "ranks_trial"])
def test_the_true_values_of_decisions_and_ranks_lie_in_the_middle_of_the_intervals(kind):
    family = module("proportions")
    settings = {"decisions_trial": (40, 0.8, 0.7), "classes_trial": ((60, 60), (0.7, 0.6)), "ranks_trial": (200, 0.5)}
    trial, rng = getattr(family, kind)(*settings[kind]), np.random.default_rng(1)
    drawn = [trial(rng) for _ in range(25)]
    for name in drawn[0]:
        low, high, truth = np.asarray([one[name] for one in drawn]).T
        off = ((low + high) / 2 - truth) / (high - low)  # half is an end
        assert abs(off.mean()) < 0.15, name


@pytest.mark.parametrize("name", ["overlaps", "precision", "probabilities", "thresholds"])
def test_cells_of_a_family_have_names_of_their_own_and_run(name):
    cells = module(name).CELLS
    assert len({one.name for one in cells}) == len(cells)
    for cell in (cells[0], cells[-1]):
        for ends in cell.trial(np.random.default_rng(0)).values():
            assert np.isnan(ends.low) or ends.high - ends.low >= 0


@pytest.mark.parametrize("tail", [False, True])
def test_the_true_average_precision_is_that_of_a_large_sample(tail):
    from stitchkit.metrics.average_precision import average_precision

    family = module("precision")
    move = family.move_for(0.85, tail)
    scores, truth, _ = family.Patients((45_000, 5_000), 1, (move, move), tail).draw(np.random.default_rng(2))
    assert auroc(scores[0][:, 1], truth) == pytest.approx(0.85, abs=0.01)
    found = average_precision(scores[0][:, 1], truth)
    assert found == pytest.approx(family.true_precision(move, 0.1, tail), abs=0.02)


def test_the_true_balanced_accuracy_and_f1_are_those_of_another_large_sample():
    from stitchkit.metrics.class_means import recalls_and_f1

    family = module("precision")
    sizes = (30, 10, 3)
    scores, truth, _ = family.Patients((30_000, 10_000, 3_000), 4, (1.2, 0.7)).draw(np.random.default_rng(3))
    for one, expected in zip(scores[1:], family.true_answers(sizes, (1.2, 0.7)), strict=True):
        recall, f1 = recalls_and_f1(one.argmax(axis=1), truth, 3, np.arange(len(truth)))
        assert recall.interval().value == pytest.approx(expected["balanced accuracy"], abs=0.01)
        assert f1.interval().value == pytest.approx(expected["macro F1"], abs=0.01)


def test_a_sample_has_as_many_patients_of_each_class_as_it_was_asked_for():
    population = module("precision").Patients((7, 3), 4, (1.0, 0.5))
    scores, truth, groups = population.draw(np.random.default_rng(0))
    assert [len(np.unique(groups[truth == one])) for one in (0, 1)] == [7, 3]
    assert len(scores) == 3
    assert sorted(np.unique(np.bincount(groups))) == [1, 2, 3, 4]


def test_the_true_brier_score_and_calibration_error_are_those_of_a_large_sample():
    from stitchkit.metrics.reliability import Misses

    population = module("probabilities").Said(100, 0.8, 1.0, -1.0)
    said, seen, _ = population.draw(np.random.default_rng(3), 40_000)
    missed, once = Misses.of(said, seen), np.ones((1, len(said)))
    truth = module("probabilities").truths_of(population)
    assert missed.brier(once)[0] == pytest.approx(truth[0], abs=0.003)
    assert missed.calibration_error(once)[0] == pytest.approx(truth[1], abs=0.005)


@pytest.mark.parametrize("changed", [{}, {"shape": "t3"}, {"spread": 0.5}, {"shape": "lognormal"}], ids=str)
def test_the_best_threshold_of_a_population_is_that_of_a_large_sample(changed):
    films = module("films").Films((20_000,), 0.9, patients=40_000, alone=True, **changed)
    sample = films.draw(np.random.default_rng(5))
    scores, positive = sample.scores[0][:, 0], sample.labels[:, 0] == 1

    def gain(at):
        return np.mean(scores[positive] >= at) - np.mean(scores[~positive] >= at)

    best = max(gain(one) for one in np.quantile(scores, np.linspace(0.05, 0.95, 300)))
    assert gain(module("thresholds").best_of(films)) == pytest.approx(best, abs=0.006)


def test_few_negatives_are_few_positives_turned_round():
    family, films = module("thresholds"), module("films").Films((12,), 0.9, alone=True)
    sample = films.draw(np.random.default_rng(0))
    turned = family.mirrored(sample)
    assert (turned.labels.sum(), sample.labels.sum()) == (108, 12)
    assert auroc(turned.scores[0][:, 0], turned.labels[:, 0]) == auroc(sample.scores[0][:, 0], sample.labels[:, 0])


@pytest.mark.parametrize("at", [None, 0.8])
def test_the_true_threshold_is_that_of_a_large_sample(at):
    from stitchkit.metrics.decisions import resampled_thresholds

    module_ = module("films")
    sample = module_.Films((4000,), 0.9, patients=12_000).draw(np.random.default_rng(4))
    pair = sample.scores[0][:, 0], sample.labels[:, 0]
    move = module_.move_for(0.9, "normal", 1.0)
    truth = move / 2 if at is None else move + float(module_.ndtri(1 - at))
    assert resampled_thresholds(*pair, np.ones((1, len(pair[0]))), at)[0] == pytest.approx(truth, abs=0.15)

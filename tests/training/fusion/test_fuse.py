"""The verb ``fuse``: what a head does with rows that lack something, on disk, after a stop, and with bad input."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

import stitchkit as sk
from stitchkit.core.errors import (
    DataError,
    InputError,
    LeakageError,
    ModelUnavailableError,
    SpaceMismatchError,
    UnknownNameError,
)
from stitchkit.core.fusion_rows import join_modalities
from stitchkit.training.fusion import fit
from stitchkit.training.fusion.fit import TrainingRows, fit_network, held_out
from stitchkit.training.fusion.fuse import fitted_modalities, fuse_and_judge, split_patients


def with_recipe(cohort, quick, **changes):
    settings = {"held": 0, **{name: changes.pop(name) for name in list(changes) if name == "held"}}
    return sk.fuse(
        changes.pop("inputs", cohort.inputs()), changes.pop("labels", cohort.labels),
        recipe=quick.with_settings(**changes), progress=False, **settings,
    )  # fmt: skip


def test_every_subset_is_above_chance(cohort, head):
    truth = cohort.kind
    for inputs, least in ((cohort.inputs(), 0.6), ({"image": cohort.image}, 0.6), ({"table": cohort.table}, 0.4)):
        scores = head.scores(inputs, cohort.ids)
        assert (scores.values.argmax(axis=1) == truth)[head.rows(inputs, cohort.ids).present.any(axis=1)].mean() > least
    assert head.multiclass


def test_a_row_without_anything_gets_the_prior_and_is_counted(cohort, head):
    rows = head.rows({"image": cohort.image}, cohort.ids)
    empty = ~cohort.has_image
    probabilities = head.probabilities(rows)
    assert (probabilities.values[empty] == head.prior).all()
    np.testing.assert_allclose(np.exp(head.scores(rows).values[empty]), np.tile(head.prior, (empty.sum(), 1)))
    assert f"{empty.sum()} items of {len(rows)} have no modality at all and got the prior" in head.row_notes(rows)[0]
    assert f"{empty.sum()} items without any modality got the prior" in probabilities.provenance.head
    np.testing.assert_allclose(probabilities.values.sum(axis=1), 1)


def test_order_and_company_of_rows_do_not_matter(cohort, head):
    whole = head.scores(cohort.inputs())
    some = np.random.default_rng(0).permutation(len(cohort.ids))[:50]
    part = head.scores(cohort.inputs(), cohort.ids[some])
    place = {name: row for row, name in enumerate(whole.ids.tolist())}
    np.testing.assert_allclose(part.values, whole.values[[place[one] for one in part.ids.tolist()]], atol=1e-9)


def test_a_folder_gives_bit_equal_scores(cohort, head, tmp_path):
    again = sk.load(sk.save(head, tmp_path / "fused"))
    rows = head.rows(cohort.inputs())
    assert (again.scores(cohort.inputs()).values == head.scores(rows).values).all()
    assert (again.probabilities(rows).values == head.probabilities(rows).values).all()
    assert (again.mask_scores(rows).values == head.mask_scores(rows).values).all()
    assert (again.decide(rows) == head.decide(rows)).all()
    assert (again.sets(rows) == head.sets(rows)).all()
    assert again.record == json.loads(json.dumps(head.record))
    assert repr(again) == repr(head)
    text = (tmp_path / "fused" / "config.json").read_text()
    assert not any(name in text for name in ("case1", '"p1"'))  # no id and no patient


def test_a_folder_that_does_not_hold_together_is_refused(head, tmp_path):
    from stitchkit.storage.fused_heads import pack_fused, unpack_fused

    config, arrays = pack_fused(head)
    for change in ({"token": "zero"}, {"classes": ["a"]}, {"modalities": config["modalities"][:1]}, {"subsets": [{}]}):
        with pytest.raises(sk.StitchError, match="the folder holds no fused head"):
            unpack_fused({**config, **change}, arrays)
    with pytest.raises(sk.StitchError, match=r"lack 'fused\.bias'"):
        unpack_fused(config, {name: one for name, one in arrays.items() if name != "fused.bias"})
    sk.save(head, tmp_path / "fused")
    with pytest.raises(InputError, match="holds a fused head"):
        sk.load(tmp_path / "fused", part="calibration")
    with pytest.raises(InputError, match="Load it without encoder="):
        sk.load(tmp_path / "fused", encoder="timm:x")
    with pytest.raises(InputError, match="gives scores of several inputs and no vectors"):
        sk.load_encoder(f"stitchkit:{tmp_path / 'fused'}")
    with pytest.raises(InputError, match="holds a fused head of several inputs"):
        sk.bundle(tmp_path / "fused", tmp_path / "bundle")


def test_weights_of_another_head_are_refused_and_a_folder_without_their_digest_is_read_with_a_warning(
    cohort, quick, head, tmp_path
):
    from stitchkit.storage.folders import config_text, read_folder

    other = with_recipe(cohort, quick, epochs=1, seed=5, held=0.25)
    for name, one in (("one", head), ("two", other)):
        sk.save(one, tmp_path / name)
    config = read_folder(tmp_path / "one")[0]
    kept = (tmp_path / "one" / "model.safetensors").read_bytes()
    shutil.copy(tmp_path / "two" / "model.safetensors", tmp_path / "one" / "model.safetensors")
    with pytest.raises(ModelUnavailableError, match="its weights are not those that it was saved with"):
        sk.load(tmp_path / "one")
    (tmp_path / "one" / "model.safetensors").write_bytes(kept)
    del config["arrays"]
    (tmp_path / "one" / "config.json").write_bytes(config_text(config, "one"))
    with pytest.warns(UserWarning, match="without a SHA-256 digest of its weights"):
        earlier = sk.load(tmp_path / "one")
    assert (earlier.scores(cohort.inputs()).values == head.scores(cohort.inputs()).values).all()


def test_a_folder_names_its_encoders_by_their_places(head, tmp_path, monkeypatch):
    """Read from elsewhere, a relative name would be that of another file."""
    monkeypatch.chdir(tmp_path)
    for name in ("films.py", "films.safetensors"):
        (tmp_path / name).write_text("")
    image = replace(head.modalities[0], encoder="python:films.py:Films#weights=films.safetensors")
    again = sk.load(sk.save(replace(head, modalities=(image, head.modalities[1])), "fused"))
    place = tmp_path.as_posix()
    assert again.modalities[0].encoder == f"python:{place}/films.py:Films#weights={place}/films.safetensors"
    assert again.modalities[1].encoder == ""
    assert place not in (tmp_path / "fused" / "README.md").read_text()
    assert again.modalities[0].reader == image.reader


def test_a_seed_gives_the_same_bits_and_leaves_the_callers_draws_alone(cohort, quick):
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    first = with_recipe(cohort, quick, epochs=2, seed=3)
    assert (torch.rand(3) == wanted).all()
    second, other = (with_recipe(cohort, quick, epochs=2, seed=seed) for seed in (3, 4))
    assert all((first.weights[name] == second.weights[name]).all() for name in first.weights)
    assert any((first.weights[name] != other.weights[name]).any() for name in first.weights)


@pytest.mark.parametrize("stop", [2, 3, 9, 14])  # in each stage of the first, second and last training
def test_a_stopped_run_goes_on_to_the_same_bits(cohort, quick, tmp_path, monkeypatch, stop):
    recipe = quick.with_settings(epochs=4, batch=200)
    rows = {"inputs": cohort.inputs(), "epochs": 4}
    wanted = with_recipe(cohort, recipe, **rows)
    epochs, write = [0], fit.Run.write

    def stopping(run):
        write(run)
        epochs[0] += 1
        if epochs[0] == stop:
            raise KeyboardInterrupt

    monkeypatch.setattr(fit.Run, "write", stopping)
    with pytest.raises(KeyboardInterrupt):
        sk.fuse(cohort.inputs(), cohort.labels, recipe=recipe, held=0, run=tmp_path, progress=False)
    monkeypatch.setattr(fit.Run, "write", write)
    found = sk.fuse(cohort.inputs(), cohort.labels, recipe=recipe, held=0, run=tmp_path, progress=False)
    assert all((found.weights[name] == wanted.weights[name]).all() for name in wanted.weights)
    assert found.record["held_losses"] == wanted.record["held_losses"]


def test_a_run_of_other_rows_is_refused(cohort, quick, tmp_path):
    recipe = quick.with_settings(epochs=1)
    sk.fuse(cohort.inputs(), cohort.labels, recipe=recipe, held=0, run=tmp_path, progress=False)
    with pytest.raises(DataError, match="begun with another recipe or other rows"):
        sk.fuse({"image": cohort.image}, cohort.labels, recipe=recipe, held=0, run=tmp_path, progress=False)


def test_a_frozen_encoder_has_the_same_bytes_after(cohort, quick):
    """Its running statistics too: the encoder is asked for vectors, and nothing else."""
    network = torch.nn.Sequential(torch.nn.Linear(24, 24), torch.nn.BatchNorm1d(24), torch.nn.ReLU()).eval()
    before = {name: one.clone() for name, one in network.state_dict().items()}
    with torch.inference_mode():
        vectors = network(torch.tensor(cohort.image.vectors, dtype=torch.float32)).numpy() + 0.01
    image = sk.Embeddings(vectors, cohort.image.ids, cohort.space)
    kept = image.vectors.copy()
    sk.fuse(
        {"image": image, "table": cohort.table}, cohort.labels, recipe=quick.with_settings(epochs=1), progress=False
    )
    assert all(one.numpy().tobytes() == before[name].numpy().tobytes() for name, one in network.state_dict().items())
    assert image.vectors.tobytes() == kept.tobytes()


def test_the_prior_is_that_of_the_rows_as_they_are_weighted(cohort, quick):
    some = np.flatnonzero((cohort.kind == 0) | (np.arange(len(cohort.ids)) % 4 == 0))
    labels, recipe = cohort.labels.take(some), quick.with_settings(epochs=1, contrastive="none", weight_decay=(0.1,))
    plain, even = (
        sk.fuse({"image": cohort.image}, labels, recipe=recipe.with_settings(balanced=balanced), held=0, progress=False)
        for balanced in (False, True)
    )
    np.testing.assert_allclose(plain.prior, labels.values.mean(axis=0), atol=0.01)
    assert plain.prior[0] > 0.6
    np.testing.assert_allclose(even.prior, 1 / 3, atol=0.01)


def test_tables_are_fitted_on_training_rows_alone(cohort, quick):
    head = sk.fuse(cohort.inputs(), cohort.labels, recipe=quick.with_settings(epochs=1), progress=False)
    ages = cohort.table.columns["age"]
    column = next(one for one in head.modalities[1].table.columns if one.name == "age")
    assert column.mean != pytest.approx(np.nanmean(ages), abs=1e-9)
    whole = sk.fuse(cohort.inputs(), cohort.labels, recipe=quick.with_settings(epochs=1), held=0, progress=False)
    column = next(one for one in whole.modalities[1].table.columns if one.name == "age")
    assert column.mean == pytest.approx(np.nanmean(ages), abs=1e-9)
    assert any("camera" in note for note in head.record["notes"])


def test_multi_label_classes_and_labels_that_are_not_known(cohort, quick):
    values = cohort.labels.values.copy()
    values[:, 1] = np.maximum(values[:, 1], values[:, 2])
    values[::7, 0] = np.nan
    labels = sk.Labels(values, cohort.ids, cohort.labels.classes, cohort.groups)
    head = with_recipe(cohort, quick, labels=labels, held=0.25)
    assert not head.multiclass
    rows = head.rows({"table": cohort.table})
    assert ((head.probabilities(rows).values > 0) & (head.probabilities(rows).values < 1)).all()
    assert 0.4 < head.prior[1] < 0.9


SETTINGS = [
    {"token": "add"}, {"token": "zero"}, {"token": "mean"}, {"contrastive": "infonce"}, {"contrastive": "none"},
    {"subsets": "random"}, {"subsets": "full"}, {"balanced": True}, {"standardise": False}, {"hidden": 0, "stages": 1},
]  # fmt: skip


@pytest.mark.parametrize("changes", SETTINGS, ids=str)
def test_every_setting_trains_a_head_that_beats_chance(cohort, quick, changes):
    head = with_recipe(cohort, quick, **changes)
    scores = head.scores(cohort.inputs())
    truth = cohort.labels.of_ids(scores.ids).values.argmax(axis=1)
    assert (scores.values.argmax(axis=1) == truth).mean() > 0.5


def test_one_modality_and_five_are_trained(cohort, quick):
    alone = with_recipe(cohort, quick, inputs={"image": cohort.image})
    assert alone.names == ("image",)
    rng = np.random.default_rng(0)
    several = {
        f"part-{i}": sk.Embeddings(
            cohort.image.vectors[:, i * 4 : i * 4 + 4] + 0.1 * rng.normal(size=(len(cohort.image), 4)),
            cohort.image.ids, sk.Space(f"part{i}", 4),
        )
        for i in range(5)
    }  # fmt: skip
    head = with_recipe(cohort, quick, inputs=several, held=0.25)
    assert len(head.names) == 5
    assert {one.present for one in head.decisions} >= {(), head.names, ("part-0",)}


def test_widths_that_differ_a_hundred_times_are_trained(cohort, quick):
    wide = np.random.default_rng(0).normal(size=(len(cohort.image), 2400))
    wide[:, :24] += 3 * cohort.image.vectors
    image = sk.Embeddings(wide, cohort.image.ids, sk.Space("wide", 2400))
    head = with_recipe(cohort, quick, inputs={"image": image, "table": cohort.table})
    alone = head.scores({"table": cohort.table})
    assert (alone.values.argmax(axis=1) == cohort.kind).mean() > 0.4  # 24 times fewer columns are not drowned


def test_gaps_in_training_are_no_obstacle(cohort, quick):
    """No row has both: the head is still one of both."""
    first, second = cohort.ids[:180], cohort.ids[180:]
    image = cohort.image.of_ids([one for one in cohort.image.ids if one in set(first)])
    table = cohort.table.take(np.flatnonzero(np.isin(cohort.table.ids, second)))
    head = with_recipe(cohort, quick, inputs={"image": image, "table": table})
    notes = head.row_notes(cohort.inputs())
    assert any("no training row had these together" in note for note in notes)


def test_a_cell_out_of_all_range_is_scored_without_an_overflow_and_said(cohort, head):
    """Ten standard deviations and 1e300 are one to the head, which says so."""
    column = next(one for one in head.modalities[1].table.columns if one.name == "age")
    ages = [column.mean + 10 * column.sd, 1e300, 60.0]
    table = sk.TableRows(["a", "b", "c"], {"age": ages, "site": ["arm"] * 3, "camera": ["x"] * 3})
    values = head.probabilities({"table": table}).values
    np.testing.assert_allclose(values[0], values[1], atol=1e-12)
    assert (values[0] != values[2]).any()
    assert any("first item 'b' with 1e+300" in note for note in head.row_notes({"table": table}))


@pytest.mark.parametrize("where", ["nowhere", "held out"])
@pytest.mark.parametrize("several", [False, True])
def test_a_class_that_no_training_row_has_gets_its_prior_and_is_said(cohort, quick, several, where, tmp_path):
    """The network learns to deny it, the more surely the longer it is trained."""
    values = np.stack([cohort.kind != 1, cohort.kind == 1, np.zeros(len(cohort.ids))], axis=1).astype(float)
    if where == "held out":
        rest = split_patients(cohort.labels, 0.25, quick.seed)[1][:40]
        values[rest] = [several, 0, 1]
    labels = sk.Labels(values, cohort.ids, ("nev", "mel", "bcc"), cohort.groups)
    head = sk.fuse(cohort.inputs(), labels, multiclass=not several, recipe=quick, progress=False)
    assert head.unseen == ("bcc",)
    told = [note for note in head.record["notes"] if "say nothing of 'bcc'" in note]
    assert told == [f"the training rows say nothing of 'bcc': every item gets the prior, {head.prior[2]:.3g}"]
    assert head.prior[2] < 0.01
    rows = head.rows(cohort.inputs(), cohort.ids)
    for one in (head, sk.load(sk.save(head, tmp_path / "fused"))):
        shares, logits = one.probabilities(rows).values, one.scores(rows).values
        np.testing.assert_allclose(shares[:, 2], head.prior[2])
        if several:
            np.testing.assert_allclose(1 / (1 + np.exp(-logits[:, 2])), head.prior[2])
        else:
            np.testing.assert_allclose(np.exp(logits[:, 2]), head.prior[2])
            np.testing.assert_allclose(np.exp(logits).sum(axis=1), 1)
            np.testing.assert_allclose(shares.sum(axis=1), 1)
        assert not one.decide(rows)[:, 2].any()
    assert head.decisions[0].calibration.classes == ("nev", "mel")
    kept = rows.present.any(axis=1) & (values[:, 2] == 0)
    assert (shares[kept].argmax(axis=1) == values[kept].argmax(axis=1)).mean() > 0.6


def test_a_class_of_which_no_label_is_known_gets_an_even_chance(cohort, quick):
    values = cohort.labels.values.copy()
    values[:, 2] = np.nan
    values[:, 1] = 1
    labels = sk.Labels(values, cohort.ids, ("nev", "always", "asked of nobody"), cohort.groups)
    head = sk.fuse(cohort.inputs(), labels, recipe=quick.with_settings(epochs=1), progress=False)
    assert head.unseen == ("always", "asked of nobody")
    shares = head.probabilities(cohort.inputs()).values
    np.testing.assert_allclose(shares[:, 2], 0.5)
    assert (shares[:, 1] == head.prior[1]).all()
    assert 0.99 < head.prior[1] < 1


# bad input


def test_a_column_that_is_the_label_or_an_id_is_named(cohort, quick):
    names = np.asarray(cohort.labels.classes)[cohort.kind]
    table = sk.TableRows(cohort.ids, {"age": cohort.table.columns["age"], "dx": names, "case": cohort.ids})
    with pytest.raises(LeakageError, match=r"'dx' tells the label .*; column 'case' has a different value"):
        sk.fuse({"table": table}, cohort.labels, recipe=quick, progress=False)


@pytest.mark.parametrize("name", [1, "", "../x", "a b", "a.b", "é", "x" * 61])
def test_names_of_modalities_are_those_of_bound_ones(cohort, quick, name):
    with pytest.raises(InputError, match="a modality is named by letters, digits, '-' and '_', such as 'image'"):
        sk.fuse({"table": cohort.table, name: cohort.image}, cohort.labels, recipe=quick, progress=False)


def test_a_folder_with_a_name_that_would_be_refused_now_is_read(cohort, head, tmp_path):
    """Names were not checked before; a head of one scores as it did."""
    parts = {key: key.partition(".") for key in head.weights}
    weights = {
        f"{part}.chest film.1" if rest == "image" else key: head.weights[key] for key, (part, _, rest) in parts.items()
    }
    modalities = (replace(head.modalities[0], name="chest film.1"), head.modalities[1])
    sk.save(replace(head, modalities=modalities, weights=weights, decisions=()), tmp_path / "odd")
    scores = sk.load(tmp_path / "odd").scores({"chest film.1": cohort.image})
    assert (scores.values == head.scores({"image": cohort.image}).values).all()


def test_a_mask_that_contradicts_the_vectors_is_refused_by_name():
    vectors = np.ones((3, 2))
    vectors[1, 0] = np.nan
    for odd in (np.nan, -np.inf, 1e300):
        vectors[1, 0] = odd
        with pytest.raises(InputError, match="item 'b' is said to have 'ct', and its vector holds NaN, infinity or"):
            sk.FusionRows(["a", "b", "c"], {"ct": vectors}, np.ones((3, 1), dtype=bool))
    rows = sk.FusionRows(["a", "b", "c"], {"ct": vectors}, np.asarray([[True], [False], [True]]))
    assert not rows.vectors["ct"][1].any()
    with pytest.raises(InputError, match=r"bool \(3, 1\)"):
        sk.FusionRows(["a", "b", "c"], {"ct": vectors}, np.ones((3, 2), dtype=bool))


def test_a_modality_without_rows_with_one_or_with_other_ids_is_named(cohort, quick):
    other = sk.Embeddings(cohort.image.vectors, [f"x{i}" for i in range(len(cohort.image))], cohort.space)
    for image in (other, cohort.image.take(np.asarray([0])), cohort.image.take(np.asarray([], dtype=np.int64))):
        with pytest.raises(InputError, match=r"modality 'image' has [01] rows? among \d+ training rows; it needs 2"):
            sk.fuse({"image": image, "table": cohort.table}, cohort.labels, recipe=quick, progress=False)


def test_items_of_other_ids_wrong_spaces_and_unknown_names_are_refused(cohort, head):
    with pytest.raises(DataError, match="no id of 'image', such as 'case"):
        head.scores({"image": cohort.image}, ["a", "b"])
    with pytest.raises(SpaceMismatchError, match="modality 'image' of the fused head"):
        head.scores({"image": sk.Embeddings(cohort.image.vectors, cohort.image.ids, sk.Space("other", 24, "f2"))})
    with pytest.raises(UnknownNameError, match="no modality is called 'imgae'; nearest: image"):
        head.scores({"imgae": cohort.image})
    with pytest.raises(InputError, match="got none of them"):
        head.scores({})
    with pytest.raises(InputError, match="takes the rows of a table; got ndarray"):
        head.scores({"table": np.ones((2, 3))})
    with pytest.raises(InputError, match="a mapping from modalities"):
        head.scores(cohort.image)


def test_labels_that_do_not_fit_are_refused(cohort, quick):
    values = np.ones((len(cohort.ids), 2))
    labels = sk.Labels(values, cohort.ids, ("a", "b"))
    with pytest.raises(InputError, match=r"multiclass=True, and some rows have none or several"):
        sk.fuse(cohort.inputs(), labels, multiclass=True, recipe=quick)
    with pytest.raises(DataError, match="none of 360 rows has a label"):
        sk.fuse(cohort.inputs(), sk.Labels(values * np.nan, cohort.ids, ("a", "b")), recipe=quick)
    with pytest.raises(DataError, match="all rows are of one patient"):
        sk.fuse(cohort.inputs(), cohort.labels, groups=["p"] * len(cohort.ids), recipe=quick)
    with pytest.raises(InputError, match="held=1"):
        sk.fuse(cohort.inputs(), cohort.labels, held=1, recipe=quick)


def test_recipes_come_from_a_file_or_a_publication_and_not_from_both(cohort, quick, tmp_path):
    file = tmp_path / "fusion.toml"
    file.write_text("hidden = 8\nlambda = 0.5\nepochs = 1\nweight_decay = [0.1]\n")
    head = sk.fuse(cohort.inputs(), cohort.labels, recipe=file, held=0, progress=False)
    assert head.record["recipe"]["lambda"] == 0.5
    file.write_text("hiden = 8\n")
    with pytest.raises((DataError, UnknownNameError), match="hiden"):
        sk.fuse(cohort.inputs(), cohort.labels, recipe=file)
    with pytest.raises(InputError, match="trained by one recipe"):
        sk.fuse(cohort.inputs(), cohort.labels, recipe=quick, paper="modality-dropout")
    with pytest.raises(UnknownNameError, match="known: modality-dropout"):
        sk.fuse(cohort.inputs(), cohort.labels, paper="x")


def test_vectors_of_extreme_size_end_with_an_error_that_says_so(cohort, quick):
    data = fit.TrainingRows(
        rows=sk.FusionRows(["a", "b"], {"ct": np.asarray([[1e30] * 8, [-1e30] * 8])}, np.ones((2, 1), dtype=bool)),
        targets=np.eye(2), groups=None, multiclass=True, normed=frozenset(), tables=frozenset(),
    )  # fmt: skip
    with pytest.raises(DataError, match="the loss of the fused head is"):
        fit_network(data, quick.with_settings(standardise=False, held=0, contrastive="none", learning_rate=1e9))


def test_calibrations_and_the_judgement_are_of_patients_who_were_not_trained_on(cohort, quick):
    fusion = fuse_and_judge(
        cohort.inputs(), cohort.labels, multiclass=None, groups=None, recipe=quick, held=0.25, alpha=0.1, encoders={},
        run=None, allow_leakage=False, judge=True, progress=False, replicates=50,
    )  # fmt: skip
    patient = dict(zip(cohort.ids.tolist(), cohort.groups.tolist(), strict=True))
    trained = {patient[one] for one in fusion.head.fitted_on.ids.tolist()}
    calibrated = [one.calibration.fitted_on for one in fusion.head.decisions if one.calibration is not None]
    assert calibrated
    held = {patient[one] for fit in calibrated for one in fit.ids.tolist()}
    assert not trained & held
    assert fusion.evaluation.n == len(cohort.ids) - len(fusion.head.fitted_on.ids)


def test_one_class_with_blank_negatives_is_the_class_that_is_stated(cohort, quick):
    values = cohort.labels.values.copy()
    blank = (values == 0) & (np.random.default_rng(0).random(values.shape) < 0.4)
    values[blank] = np.nan
    labels = sk.Labels(values, cohort.ids, cohort.labels.classes, cohort.groups)
    whole, part = (
        sk.fuse(cohort.inputs(), one, multiclass=True, recipe=quick, progress=False) for one in (cohort.labels, labels)
    )
    np.testing.assert_array_equal(part.scores(cohort.inputs()).values, whole.scores(cohort.inputs()).values)
    assert not sk.fuse(cohort.inputs(), labels, recipe=quick, progress=False).multiclass  # a blank may be a class too


def test_logits_of_one_class_are_logarithms_of_its_probability(head, cohort):
    logits = head.scores(cohort.inputs()).values
    np.testing.assert_allclose(np.exp(logits).sum(axis=1), 1, atol=1e-9)


def test_a_stopped_run_of_another_kind_of_labels_is_not_continued(cohort, quick, tmp_path):
    sk.fuse(cohort.inputs(), cohort.labels, recipe=quick, run=tmp_path / "run", progress=False)
    with pytest.raises(DataError):
        sk.fuse(cohort.inputs(), cohort.labels, multiclass=False, recipe=quick, run=tmp_path / "run", progress=False)


@pytest.mark.parametrize(
    "settings",
    [{"contrastive": "sigmod"}, {"token": "foo"}, {"held": 5.0}, {"epochs": 0}, {"weight_decay": ()}, {"hidden": -3}],
    ids=str,
)
def test_settings_of_a_recipe_are_checked_in_python_too(settings):
    with pytest.raises(InputError, match=next(iter(settings))):
        sk.FusionRecipe(**settings)


def test_lambda_is_a_setting_by_the_name_of_the_file():
    assert sk.FusionRecipe().with_settings(**{"lambda": 2.0}).subset_weight == 2


@pytest.mark.parametrize("share", [0.3, 0.4, 0.7])
def test_the_share_of_patients_held_out_is_the_one_that_was_asked_for(cohort, quick, share):
    rows = join_modalities(
        fitted_modalities({"image": cohort.image}, cohort.ids, {}, {})[0], {"image": cohort.image}, cohort.ids
    )
    data = TrainingRows(rows, cohort.labels.values, cohort.groups, True, frozenset({"image"}), frozenset())
    rest, held = held_out(data, quick.with_settings(held=share))
    assert abs(len(held) / len(cohort.ids) - share) < 0.05
    assert not set(cohort.groups[rest]) & set(cohort.groups[held])


def test_ids_choose_among_joined_rows(head, cohort):
    rows = head.rows(cohort.inputs())
    some = head.scores(rows, rows.ids[[5, 3]])
    np.testing.assert_array_equal(some.ids, rows.ids[[5, 3]])
    # to rounding, since products of matrices of other sizes add up in another order
    np.testing.assert_allclose(some.values, head.scores(rows).values[[5, 3]], rtol=0, atol=1e-12)
    assert np.abs(some.values[0] - some.values[1]).max() > 1e-6

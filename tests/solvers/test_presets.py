"""The four published maps against their literal recipes: standardise, pad, fit, take the padding off, undo."""

from __future__ import annotations

import numpy as np
import pytest
from laws import fit, paired

from stitchkit.core.errors import InputError, UnknownNameError
from stitchkit.solvers.presets import PRESETS, Preset, first_layer

SHAPES = [(80, 5, 9), (80, 9, 5), (80, 6, 6)]
NEW = {d: paired(15, d, d, seed=5)[0] for d in (5, 6, 9, 14, 40)}


def pad(rows, width):
    return np.pad(rows, ((0, 0), (0, width - rows.shape[1])))


def recipe(x, y, new, map_of):
    """What the published recipe predicts for ``new``: ``map_of`` padded standardised anchors gives a function."""
    (mx, sx), (my, sy) = ((rows.mean(0), rows.std(0, ddof=1)) for rows in (x, y))
    sx, sy = np.where(sx > 0, sx, 1), np.where(sy > 0, sy, 1)
    width = max(x.shape[1], y.shape[1])
    found = map_of(pad((x - mx) / sx, width), pad((y - my) / sy, width))
    return found(pad((new - mx) / sx, width))[:, : y.shape[1]] * sy + my


def by_linear(a, b):
    weight = np.linalg.pinv(a) @ b
    return lambda rows: rows @ weight


def by_l_ortho(a, b):
    u, _, vh = np.linalg.svd(np.linalg.pinv(a) @ b)
    return lambda rows: rows @ u @ vh


def by_ortho(a, b):
    u, _, vh = np.linalg.svd(a.T @ b)
    return lambda rows: rows @ u @ vh


def by_affine(a, b):
    """A training loop over the rows, from the same first weights."""
    torch = pytest.importorskip("torch")
    layer = torch.nn.Linear(a.shape[1], a.shape[1], dtype=torch.float64)
    with torch.no_grad():
        for part, fresh in zip((layer.weight, layer.bias), first_layer(a.shape[1], 3), strict=True):
            part.copy_(torch.asarray(fresh))
    a, b = torch.asarray(a), torch.asarray(b)
    steps = torch.optim.Adam(layer.parameters(), lr=1e-3)
    for _ in range(300):
        steps.zero_grad()
        torch.nn.functional.mse_loss(layer(a), b).backward()
        steps.step()
    return lambda rows: layer(torch.asarray(rows)).detach().numpy()


LITERAL = {"affine": by_affine, "linear": by_linear, "l-ortho": by_l_ortho, "ortho": by_ortho}
CLOSED = [name for name in LITERAL if name != "affine"]


def test_every_published_map_has_its_literal_recipe_here():
    assert set(LITERAL) == set(PRESETS)


@pytest.mark.parametrize("name", LITERAL)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rows", [True, False])
def test_the_literal_recipe_predicts_the_same(name, shape, rows):
    x, y = paired(*shape, noise=0.7)
    new = NEW[shape[1]]
    ours = fit(Preset(name, seed=3), x, y, rows=rows).to_target(new)
    np.testing.assert_allclose(ours, recipe(x, y, new, LITERAL[name]), atol=1e-6 if name == "affine" else 1e-10)


@pytest.mark.parametrize("name", LITERAL)
def test_a_constant_feature_keeps_its_unit(name):
    x, y = paired(80, 5, 5, noise=0.7)
    x[:, 1], y[:, 2] = 4.0, -3.0
    new = NEW[5]
    ours = fit(Preset(name, seed=3), x, y).to_target(new)
    tolerance = 1e-6 if name == "affine" else 1e-9
    if name == "linear":  # the polar factors below rank are completed in the recipe, not here
        np.testing.assert_allclose(ours, recipe(x, y, new, LITERAL[name]), atol=tolerance)
    if name != "affine":
        np.testing.assert_allclose(ours[:, 2], -3.0, atol=tolerance)
    assert np.isfinite(ours).all()


@pytest.mark.parametrize("name", ["linear", "affine"])
@pytest.mark.parametrize("rows", [True, False])
def test_with_fewer_anchors_than_dimensions_the_recipe_is_kept_too(name, rows):
    x, y = paired(8, 14, 9, noise=0.7)
    ours = fit(Preset(name, seed=3), x, y, rows=rows).to_target(NEW[14])
    np.testing.assert_allclose(ours, recipe(x, y, NEW[14], LITERAL[name]), atol=1e-6 if name == "affine" else 1e-9)


def test_so_few_anchors_that_their_rows_are_stepped_along_give_the_scatters_own_map():
    x, y = paired(12, 40, 9, noise=0.7)
    by_rows, by_scatters = (fit(Preset("affine", seed=3), x, y, rows=rows).to_target(NEW[40]) for rows in (True, False))
    np.testing.assert_allclose(by_rows, by_scatters, atol=1e-10)
    np.testing.assert_allclose(by_rows, recipe(x, y, NEW[40], LITERAL["affine"]), atol=1e-6)


@pytest.mark.parametrize("rows", [True, False])
def test_wide_spaces_are_stepped_through_in_single_precision_as_the_published_code_does(rows):
    x, y = paired(40, 160, 130, noise=0.7)
    new = paired(15, 160, 160, seed=5)[0]
    fitted = fit(Preset("affine", seed=3), x, y, rows=rows)
    assert fitted.record["precision"] == "single"
    assert fitted.record["method"] == ("adam on rows" if rows else "adam on moments")
    assert fitted.to_target.weight.dtype == np.float64
    wanted = recipe(x, y, new, LITERAL["affine"])
    np.testing.assert_allclose(fitted.to_target(new), wanted, atol=1e-3 * wanted.std())


@pytest.mark.parametrize("name", ["l-ortho", "ortho"])
def test_with_fewer_anchors_than_dimensions_the_isometry_is_that_part_of_the_recipe_that_anchors_determine(name):
    x, y = paired(6, 9, 9, noise=0.7)
    alignment = fit(Preset(name), x, y)
    assert alignment.record["rank"] == 5
    on_span = np.random.default_rng(0).normal(size=(4, 6)) @ (x - x.mean(0)) + x.mean(0)
    np.testing.assert_allclose(
        alignment.to_target(on_span), recipe(x, y, on_span, LITERAL[name]), atol=1e-9
    )  # the completion only acts outside the span
    weight = np.diag(x.std(0, ddof=1)) @ alignment.to_target.weight / y.std(0, ddof=1)
    np.testing.assert_allclose(np.linalg.svd(weight)[1], [1] * 5 + [0] * 4, atol=1e-10)


@pytest.mark.parametrize("name", LITERAL)
def test_the_common_space_is_the_target_space_centred(name):
    x, y = paired(80, 5, 9)
    alignment = fit(Preset(name), x, y)
    np.testing.assert_allclose(alignment.target_map(y), y - y.mean(0), atol=1e-12)
    np.testing.assert_allclose(alignment.source_map(x), alignment.to_target(x) - y.mean(0), atol=1e-12)
    assert alignment.record["settings"] == {"name": name, "seed": 0}


def test_only_the_stepped_map_depends_on_the_seed():
    x, y = paired(80, 5, 9)
    for name in PRESETS:
        one, other = (fit(Preset(name, seed), x, y).to_target(x) for seed in (0, 1))
        assert np.array_equal(one, other) == (name != "affine")
        np.testing.assert_array_equal(one, fit(Preset(name, 0), x, y).to_target(x))


def test_the_first_layer_is_drawn_as_a_linear_layer_is():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    theirs = torch.nn.Linear(200, 200)
    for ours, reference in zip(first_layer(200, 0), (theirs.weight, theirs.bias), strict=True):
        reference = reference.detach().numpy()
        assert ours.shape == reference.shape
        assert abs(ours).max() <= 200**-0.5
        assert abs(reference).max() <= 200**-0.5
        assert ours.std() == pytest.approx(reference.std(), rel=0.1)


def test_an_unknown_name_lists_the_four():
    with pytest.raises(UnknownNameError, match="no published map is called 'lortho'; nearest: "):
        Preset("lortho")
    with pytest.raises(InputError, match="seed must be at least 0; got -1"):
        Preset("affine", seed=-1)

"""Streams, memory maps and sets: one chunk at a time, every fault named by chunk and row, nothing half-made."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from literal_moments import error, literal, same

from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import InputError, SpaceMismatchError, UnknownNameError
from stitchkit.core.moments.moments import Moments, moments_by, total
from stitchkit.core.space import Space

RNG = np.random.default_rng(5)
N = 600
X = RNG.normal(size=(N, 5)) + 3
Y = X @ RNG.normal(size=(5, 3)) + RNG.normal(size=(N, 3))
LABELS = RNG.integers(0, 4, size=N)


def pieces(x, y, *edges):
    return [(x[a:b, :], y[a:b, :]) for a, b in zip((0, *edges), (*edges, x.shape[0]), strict=True)]


# streams


def test_a_stream_gives_what_the_whole_gives(library):
    x, y = library(X, Y)
    stream = (pair for pair in pieces(x, y, 1, 50, 51, 400))
    assert error(Moments.of_chunks(stream), literal(X, Y)) < 1e-13


def test_even_chunks_are_the_whole_to_the_last_bit(library):
    x, y = library(X, Y)
    assert same(Moments.of_chunks(pieces(x, y, 200, 400)), Moments.of(x, y, chunk=200))
    assert same(Moments.of_chunks([(x, y)], chunk=200), Moments.of(x, y, chunk=200))


def test_chunks_without_rows_are_passed_over():
    whole = Moments.of_chunks([(X[:0], Y[:0]), (X[:300], Y[:300]), (X[300:300], Y[300:300]), (X[300:], Y[300:])])
    assert same(whole, Moments.of(X, Y, chunk=300))


def test_a_stream_of_embeddings_keeps_its_spaces():
    def of(rows, mark="f1"):
        ids = np.arange(len(rows)).astype(str)
        return Embeddings(rows, ids, Space("dino", 5, mark)), Embeddings(rows[:, :3], ids, Space("bert", 3, "g1"))

    moments = Moments.of_chunks(of(X[a:b]) for a, b in ((0, 100), (100, N)))
    assert (moments.source, moments.target) == (Space("dino", 5, "f1"), Space("bert", 3, "g1"))
    with pytest.raises(SpaceMismatchError, match=r"before chunk 1 \(x\).*f2"):
        Moments.of_chunks([of(X[:9]), of(X[9:], "f2")])


@pytest.mark.parametrize("empty", [[], iter(()), (pair for pair in ())])
def test_an_empty_stream_is_refused(empty):
    with pytest.raises(InputError, match=r"holds no chunk.*fresh iterator"):
        Moments.of_chunks(empty)


def test_a_stream_of_empty_chunks_is_refused():
    with pytest.raises(InputError, match="every chunk is empty"):
        Moments.of_chunks([(X[:0], Y[:0])] * 3)


def test_an_iterator_that_was_used_up_is_refused():
    stream = iter(pieces(X, Y, 300))
    Moments.of_chunks(stream)
    with pytest.raises(InputError, match="Was it read before"):
        Moments.of_chunks(stream)


@pytest.mark.parametrize(
    ("item", "match"),
    [
        ((X[:5], Y[:4]), "source has 5 rows and target has 4"),
        ((X[:5, :4], Y[:5]), r"x of chunk 2 is 4 wide and of chunk 0 5"),
        ((X[:5], Y[:5, :1]), r"y of chunk 2 is 1 wide and of chunk 0 3"),
        ((X[:5],), r"chunk 2 of the stream is a tuple of 1 things; give \(x, y\)"),
        (X[:2], r"chunk 2 of the stream is a ndarray; give"),
        ((X[:5], Y[:5], np.ones(4)), r"weights of chunk 2 must be \(5,\)"),
        ((X[0], Y[0]), r"x of chunk 2 must be \(n, d\)"),
        ((X[:5] * 1j, Y[:5]), "the numbers of x of chunk 2 are complex128"),
    ],
)
def test_an_item_that_does_not_fit_is_named(item, match):
    with pytest.raises(InputError, match=match):
        Moments.of_chunks([*pieces(X, Y, 300), item])


def test_the_error_of_a_stream_that_breaks_off_comes_through():
    def breaking():
        yield X, Y
        raise OSError("the disk went away")

    with pytest.raises(OSError, match="went away"):
        Moments.of_chunks(breaking())


def test_libraries_in_one_stream_are_not_mixed():
    torch = pytest.importorskip("torch")
    with pytest.raises(InputError, match=r"different libraries.*Convert"):
        Moments.of_chunks([(X, Y), (torch.asarray(X), torch.asarray(Y))])


# rows that cannot be summed


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("precision", ["exact", "fast"])
def test_nan_in_chunk_900_is_named_by_chunk_and_row(bad, precision):
    def stream():
        for i in range(1000):
            x = X[:4].astype(np.float32)
            if i == 900:
                x[2, 1] = bad
            yield x, Y[:4].astype(np.float32)

    with pytest.raises(InputError, match=r"in x of chunk 900 row 2 holds NaN or infinity\. Find out"):
        Moments.of_chunks(stream(), precision=precision)


def test_the_absolute_row_of_the_first_bad_one_is_said(library):
    y = Y.copy()
    y[[431, 555], 1] = np.nan
    with pytest.raises(InputError, match="in y row 431 holds NaN"):
        Moments.of(*library(X, y), chunk=16)
    with pytest.raises(InputError, match="in y row 431 holds NaN"):
        moments_by(*library(X, y), LABELS, chunk=16)


def test_an_item_of_embeddings_is_named_by_its_id():
    broken = Embeddings.without_checks(
        np.where(np.arange(N)[:, None] == 7, np.nan, X), np.arange(N).astype(str), Space("m", 5)
    )
    with pytest.raises(InputError, match=r"in x \(m\) item '7' \(row 7\) holds NaN"):
        Moments.of(broken, Y)


def test_a_row_of_zeros_is_refused_unless_a_map_made_it(library):
    x = X.copy()
    x[123] = 0
    x[50, 0] = 0  # one zero is no fault
    with pytest.raises(InputError, match="in x row 123 is all zeros, which has no direction"):
        Moments.of(*library(x, Y), chunk=50)
    mapped = Embeddings.without_checks(x, np.arange(N).astype(str), Space("m", 5))
    assert Moments.of(mapped, Y).count == N


def test_float16_that_overflowed_is_said_to_have():
    with np.errstate(over="ignore"):
        x = (X * [1, 1, 1e5, 1, 1]).astype(np.float16)
    with pytest.raises(InputError, match=r"in x row 0 holds NaN or infinity \(float16 holds nothing above 65504\)"):
        Moments.of(x, Y)


def test_squares_that_overflow_are_told_from_rows_that_are_infinite():
    with pytest.raises(InputError, match="squares of rows 0 to 599 of x and y overflow"):
        Moments.of(X * 1e200, Y)
    with pytest.raises(InputError, match=r"with precision='fast' use 'exact'"):
        Moments.of((X * 1e25).astype(np.float32), Y.astype(np.float32), precision="fast")
    assert error(Moments.of((X * 1e25).astype(np.float32), Y), literal((X * 1e25).astype(np.float32), Y)) < 1e-12


def test_arrays_on_two_devices_are_refused():
    torch = pytest.importorskip("torch")
    with pytest.raises(InputError, match=r"x is on cpu and y on meta\. Move one"):
        Moments.of(torch.asarray(X), torch.empty((N, 3), device="meta"))


# sets


@pytest.mark.parametrize("chunk", [1, 64, 8192])
def test_sets_by_label_are_the_moments_of_their_rows(library, chunk):
    parts = moments_by(*library(X, Y), LABELS, chunk=chunk)
    assert [part.count for part in parts] == np.bincount(LABELS).tolist()
    for label, part in enumerate(parts):
        assert error(part, literal(X[label == LABELS], Y[label == LABELS])) < 1e-13
        assert type(part.scatter_st) is type(library(X))
    assert error(total(parts), literal(X, Y)) < 1e-13


def test_a_set_of_one_pair_has_no_scatter():
    only, rest = moments_by(X, Y, np.where(np.arange(N) == 17, 0, 1))
    assert (only.count, bool(only.scatter_st.any())) == (1, False)
    np.testing.assert_array_equal(only.mean_s, X[17])
    assert error(rest, literal(np.delete(X, 17, 0), np.delete(Y, 17, 0))) < 1e-13


def test_labels_may_come_from_any_library_and_names_through_unique(library):
    labels = library(LABELS)
    names = np.array(["b", "a", "c", "d"])[LABELS]
    by_name = moments_by(X, Y, np.unique(names, return_inverse=True)[1])
    assert [part.count for part in by_name] == [(names == name).sum() for name in "abcd"]
    assert same(moments_by(X, Y, labels)[2], moments_by(X, Y, LABELS.tolist())[2])


@pytest.mark.parametrize(
    ("labels", "match"),
    [
        (LABELS[:-1], rf"labels must be \({N},\) whole numbers"),
        (LABELS.astype(float), "got float64"),
        (np.where(LABELS == 2, -1, LABELS), r"got -1 in row \d+"),
        (np.where(LABELS == 1, 2, LABELS), "labels go up to 3, but no pair has label 1.*unique"),
        (LABELS + 1, "no pair has label 0"),
        (LABELS * 10**12, "no pair has label 1"),
        (np.array(["a"] * N), "whole numbers"),
    ],
)
def test_labels_that_number_no_sets_are_refused(labels, match):
    with pytest.raises(InputError, match=match):
        moments_by(X, Y, labels)


def test_wrong_settings_are_refused_before_anything_is_read():
    def unread():
        raise AssertionError("was read")
        yield

    for make in (lambda **s: Moments.of_chunks(unread(), **s), lambda **s: moments_by(X, Y, LABELS, **s)):
        with pytest.raises(UnknownNameError, match="nearest: fast"):
            make(precision="fats")
        with pytest.raises(InputError, match="chunk must be at least 1"):
            make(chunk=0)
    with pytest.raises(InputError, match="0 anchors"):
        moments_by(X[:0], Y[:0], LABELS[:0])


def test_the_sum_of_nothing_is_refused():
    with pytest.raises(InputError, match="no moments to add"):
        total(())


def test_moments_are_checked_when_they_are_made():
    good = Moments.of(X, Y)
    means, scatters = (good.mean_s, good.mean_t), (good.scatter_ss, good.scatter_st, good.scatter_tt)
    assert Moments(N, *means, *scatters, good.source, good.target).weight == N
    with pytest.raises(InputError, match=r"moments of \(5, 3\) wide rows need arrays"):
        Moments(N, *means[::-1], *scatters, good.source, good.target)
    with pytest.raises(InputError, match="got count 0"):
        Moments(0, *means, *scatters, good.source, good.target)


# memory


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory):
    """A memory map (200000, 32) float32 of 25.6 MB, opened for reading."""
    path = tmp_path_factory.mktemp("rows") / "rows.bin"
    rows = np.memmap(path, np.float32, "w+", shape=(200_000, 32))
    for start in range(0, len(rows), 50_000):
        rows[start : start + 50_000] = np.random.default_rng(start).normal(size=(50_000, 32)) + 1
    rows.flush()
    return np.memmap(path, np.float32, "r", shape=rows.shape)


@pytest.mark.parametrize("how", ["whole", "sets", "embeddings", "stream"])
def test_only_one_chunk_of_a_memory_map_is_in_memory(on_disk, how):
    labels = np.arange(len(on_disk)) % 5
    space = Space("s", 32, "f")
    mapped = Embeddings.without_checks(on_disk, np.arange(len(on_disk)), space) if how == "embeddings" else None
    make = {
        "whole": lambda: Moments.of(on_disk, on_disk),
        "embeddings": lambda: Moments.of(mapped, mapped),
        "sets": lambda: total(moments_by(on_disk, on_disk, labels)),
        "stream": lambda: Moments.of_chunks((on_disk[i : i + 20_000],) * 2 for i in range(0, len(on_disk), 20_000)),
    }[how]
    tracemalloc.start()
    try:
        moments = make()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 12e6  # a chunk of 8192 x (32 + 32) float64 is 4.2 MB, the file 25.6, one boolean an entry 6.4
    assert moments.count == len(on_disk)
    assert type(moments.scatter_st) is np.ndarray
    sample = np.cov(np.asarray(on_disk, np.float64).T, ddof=0) * len(on_disk)
    np.testing.assert_allclose(moments.scatter_st, sample, atol=1e-12 * sample.max())


def test_chunks_too_far_apart_for_their_squares_are_refused():
    near, far = np.random.default_rng(0).normal(size=(5, 2)), np.full((5, 2), 1e200)
    with pytest.raises(InputError, match="overflow"):
        Moments.of_chunks([(near, near), (far, near)])
    with pytest.raises(InputError, match="overflow"):
        Moments.of(near, near) + Moments.of(far, near)


def test_sum_takes_moments_and_nothing_else():
    rows = np.random.default_rng(0).normal(size=(6, 2))
    parts = [Moments.of(rows[:3], rows[:3]), Moments.of(rows[3:], rows[3:])]
    assert sum(parts).count == 6
    with pytest.raises(TypeError):
        parts[0] + 3


@pytest.mark.parametrize("chunk", [2.5, "8", True, 0])
def test_a_chunk_is_a_whole_number_of_rows(chunk):
    rows = np.ones((6, 2))
    with pytest.raises(InputError, match="chunk must be at least 1 row, a whole number"):
        Moments.of(rows, rows, chunk=chunk)


def test_what_is_no_stream_is_refused():
    with pytest.raises(InputError, match="an iterable of"):
        Moments.of_chunks(None)

"""Moments over ranks: two processes, each with its own rows, come to the same whole."""

from __future__ import annotations

import socket
import traceback

import numpy as np
import pytest

from stitchkit.core.arrays import to_numpy
from stitchkit.core.embeddings import Embeddings
from stitchkit.core.errors import InputError, StitchError
from stitchkit.core.moments.moments import Moments
from stitchkit.core.space import Space

torch = pytest.importorskip("torch", reason="torch is not installed")
dist = pytest.importorskip("torch.distributed", reason="torch was built without torch.distributed")

RANKS, N = 2, 301
NAMES = ("mean_s", "mean_t", "tail_s", "tail_t", "scatter_ss", "scatter_st", "scatter_tt")


def rows():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(N, 5)) * [1, 100, 1e-3, 1, 1] + [0, 0, 0, 1e8, 3]
    y = rng.normal(size=(N, 3)) + x[:, :3]
    x[200:] += [0, 0, 0, 0, 1e5]  # the second rank's site lies elsewhere
    return x, y, rng.uniform(0.1, 3, size=N)


def embeddings(values, mark):
    return Embeddings(values, np.arange(len(values)).astype(str), Space("enc", values.shape[1], mark))


def local_moments(case, rank):
    """What this rank brings to ``case``."""
    x, y, w = rows()
    mine = slice(0, 200) if rank == 0 else slice(200, N)
    if case == "none at all" or (case == "one without rows" and rank == 0):
        return None
    if case == "torch":
        return Moments.of(torch.asarray(x[mine]), torch.asarray(y[mine]))
    if case == "weights":
        return Moments.of(x[mine], y[mine], w[mine])
    if case == "other spaces":
        return Moments.of(embeddings(x[mine], f"f{rank}"), y[mine])
    return Moments.of(x[mine], y[mine])


CASES = ("two sites", "torch", "weights", "one without rows", "none at all", "other spaces")


def work(rank, port, queue):
    """One rank: every case in turn, in one process group."""
    from stitchkit.scale.ranks import all_reduce_moments

    found = {}
    try:
        dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=RANKS)
        for case in CASES:
            try:
                whole = all_reduce_moments(local_moments(case, rank))
                kind = type(whole.scatter_st).__module__
                arrays = {name: to_numpy(getattr(whole, name)).copy() for name in NAMES}
                found[case] = (whole.count, whole.weight, kind, arrays)
            except StitchError as error:
                found[case] = (type(error).__name__, str(error))
        dist.destroy_process_group()
    except Exception:  # said in the parent, which would otherwise only see a process that ended
        found["broke"] = traceback.format_exc()
    queue.put((rank, found))


def both(port, queue):
    """Both ranks: one process imports torch, and forks the other."""
    import os

    child = os.fork()
    work(0 if child else 1, port, queue)
    queue.close()
    queue.join_thread()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)


@pytest.fixture(scope="module")
def outcome():
    """What each rank got in each case."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = torch.multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=both, args=(port, queue))
    process.start()
    try:
        found = dict(queue.get(timeout=120) for _ in range(RANKS))
    finally:
        process.join(timeout=20)
        process.kill()
    broke = [one["broke"] for one in found.values() if "broke" in one]
    assert not broke, broke[0]
    return found


def error(arrays, whole):
    """Largest scatter error relative to sqrt(S_ii S_jj)."""
    sides = {"ss": (whole.scatter_ss,) * 2, "st": (whole.scatter_ss, whole.scatter_tt), "tt": (whole.scatter_tt,) * 2}
    return max(
        (
            abs(arrays[f"scatter_{pair}"] - getattr(whole, f"scatter_{pair}"))
            / np.sqrt(np.outer(np.diag(left), np.diag(right)))
        ).max()
        for pair, (left, right) in sides.items()
    )


@pytest.mark.parametrize("case", ["two sites", "torch", "weights"])
def test_all_ranks_get_the_whole(outcome, case):
    x, y, w = rows()
    whole = Moments.of(x, y, w if case == "weights" else None)
    for rank in range(RANKS):
        count, weight, kind, arrays = outcome[rank][case]
        assert (count, weight) == (N, pytest.approx(whole.weight, rel=1e-14))
        assert kind == ("torch" if case == "torch" else "numpy")
        assert error(arrays, whole) < 1e-12
        np.testing.assert_allclose(arrays["mean_s"], whole.mean_s, rtol=1e-13)


@pytest.mark.parametrize("case", ["two sites", "torch", "weights", "one without rows"])
def test_all_ranks_get_the_same_to_the_last_bit(outcome, case):
    (*one, _, arrays), (*other, _, others) = outcome[0][case], outcome[1][case]
    assert one == other
    assert all(np.array_equal(arrays[name], others[name]) for name in NAMES)
    assert np.array_equal(arrays["scatter_ss"], arrays["scatter_ss"].T)


def test_a_rank_without_rows_gets_the_others(outcome):
    x, y, _ = rows()
    count, _, kind, arrays = outcome[0]["one without rows"]
    assert (count, kind) == (N - 200, "numpy")
    assert error(arrays, Moments.of(x[200:], y[200:])) < 1e-12


def test_every_rank_hears_what_is_wrong(outcome):
    for rank in range(RANKS):
        kind, text = outcome[rank]["none at all"]
        assert (kind, text.split(".")[0]) == ("InputError", "none of the 2 ranks has rows")
        kind, text = outcome[rank]["other spaces"]
        assert kind == "InputError"
        assert "rank 1 differs" in text
        assert "f0" in text


def test_without_a_process_group_the_next_step_is_said():
    from stitchkit.scale.ranks import all_reduce_moments

    with pytest.raises(InputError, match=r"torch\.distributed is not running.*torchrun"):
        all_reduce_moments(None)


@pytest.mark.gpu
def test_nccl_adds_on_the_gpu_and_gives_back_the_callers_device(tmp_path):
    if not (torch.cuda.is_available() and dist.is_nccl_available()):
        pytest.skip("needs a CUDA device and NCCL")
    from stitchkit.scale.ranks import all_reduce_moments

    x, y, _ = rows()
    torch.cuda.set_device(0)
    dist.init_process_group("nccl", init_method=f"file://{tmp_path / 'meet'}", rank=0, world_size=1)
    try:
        whole = all_reduce_moments(Moments.of(torch.asarray(x, device="cuda"), torch.asarray(y, device="cuda")))
    finally:
        dist.destroy_process_group()
    assert whole.scatter_st.device.type == "cuda"
    assert error({name: to_numpy(getattr(whole, name)) for name in NAMES}, Moments.of(x, y)) < 1e-12

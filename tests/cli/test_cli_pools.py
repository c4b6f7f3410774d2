"""``stitchkit align`` with unpaired pools: the library's fit, from files and from items."""

from __future__ import annotations

import json

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.storage.embeddings import read_embeddings, write_embeddings


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Twelve pairs in both spaces, and pools of 60 other items of each."""
    folder, rng = tmp_path_factory.mktemp("pools"), np.random.default_rng(0)
    z = rng.normal(size=(132, 5))
    sides = {name: z @ rng.normal(size=(5, d)) + 0.1 * rng.normal(size=(132, d)) for name, d in (("x", 8), ("y", 7))}
    parts = {
        "few": {"x": range(12), "y": range(12)},
        "pool": {"x": range(12, 72), "y": range(72, 132)},
        "late": {"y": range(12, 72)},
    }
    for part, rows in parts.items():
        for name, which in rows.items():
            space = sk.Space(name, sides[name].shape[1], f"mark of {name}")
            made = sk.Embeddings(sides[name][list(which)], [f"item{i}" for i in which], space)
            write_embeddings(folder / f"{part}-{name}.safetensors", made)
    return folder


def test_files_are_aligned_with_their_pools_as_in_the_library(cli, files, tmp_path):
    few, pool = ([files / f"{part}-{name}.safetensors" for name in "xy"] for part in ("few", "pool"))
    line = ("align", *few, "--pool-source", pool[0], "--pool-target", pool[1], "--out", tmp_path / "map")
    plan = cli(*line, "--dry-run", "--json")
    assert plan.json["pools"] == [str(one) for one in pool]
    done = cli(*line, "--json")
    assert done.code == 0, done.err
    told = cli(*line, "--overwrite", "-v").out.splitlines()
    assert "anchors   12 pairs; patients not known; 10 folds" in told
    assert "  closed form  mrr 0." in "\n".join(told[told.index("branches") :])
    expected = sk.align(*map(read_embeddings, few), pool=tuple(map(read_embeddings, pool)))
    record = {key: value for key, value in expected.record.items() if key != "anchor_hashes"}
    record["notes"] = [note.replace("groups=", "--groups") for note in record["notes"]]  # in the words of the command
    assert done.json["record"] == json.loads(json.dumps(record))
    fresh = [pool[0], files / "late-y.safetensors"]
    gate = cli("gate", tmp_path / "map", "--source", fresh[0], "--target", fresh[1], "--min-mrr", "0", "--json")
    assert gate.json["audit"][-1] == f"{tmp_path / 'map'} was also fitted on pools, whose items it keeps no hashes of"
    found = sk.load(tmp_path / "map")
    sides = [read_embeddings(one) for one in few]
    assert np.array_equal(found.similarity(*sides), expected.similarity(*sides))
    assert done.err == "fitting a closed form, soft and hard matching on 12 pairs and the pools\n"


def test_encoders_read_the_items_of_the_pools(cli, world, tmp_path):
    (tmp_path / "texts.txt").write_text("\n".join(f"lung {'clear ' * i}heart no {i}" for i in range(30)))
    line = ("align", world.quick, world.quick_text, "--anchors", world.anchors, "--solver", "lowdin", "--json")
    pools = ("--pool-source", world.test, "--pool-target", tmp_path / "texts.txt")
    done = cli(*line, *pools, "--out", tmp_path / "map")
    assert done.code == 0, done.err
    assert "branch" in done.json["record"]
    assert "fitting a closed form, soft and hard matching on 40 pairs and the pools" in done.err


def test_a_pool_of_another_space_is_refused(cli, files, tmp_path):
    few, pool = ([files / f"{part}-{name}.safetensors" for name in "xy"] for part in ("few", "pool"))
    done = cli("align", *few, "--pool-source", pool[1], "--pool-target", pool[1], "--out", tmp_path / "map")
    assert done.code == 2
    assert not (tmp_path / "map").exists()

# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A general encoder drives a medical head
#
# A medical encoder comes with a head that was trained for it. Here another encoder, which never saw a chest, is to
# drive that head. All it takes is a map from its vectors to the medical encoder's, fitted on films that both have
# seen. The map needs **no labels and no reports**; nothing is trained; the head stays as it is.
#
# Everything runs offline on **chest phantoms**: films drawn by a program, not patients. The numbers show how the
# method behaves and say nothing about any clinic. With a folder of real films named in `STITCHKIT_REAL_DATA` the last
# section runs too.

# %%
# %config InlineBackend.figure_format = "retina"
import csv
import os
import tempfile
from itertools import pairwise
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import stitchkit as sk
from stitchkit.datasets.cohorts import read_cohort
from stitchkit.datasets.phantoms import FINDINGS, make_phantoms, render
from stitchkit.reports.figures import COLOURS, FAINT, GRID, INK

REAL = os.environ.get("STITCHKIT_REAL_DATA")  # a folder with cxr_nih/ and weights/, for the last section

BLUE, ORANGE, GREEN, PURPLE = COLOURS[:4]
plt.rcParams.update({
    "figure.constrained_layout.use": True, "figure.dpi": 90, "font.size": 11, "axes.titlesize": 11,
    "axes.spines.top": False, "axes.spines.right": False, "axes.spines.left": False, "axes.edgecolor": FAINT,
    "axes.axisbelow": True, "grid.color": GRID, "xtick.major.size": 0, "ytick.major.size": 0, "legend.frameon": False,
    "text.color": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK,
})  # fmt: skip

# %% [markdown]
# ## Two encoders, one head
#
# `demo:general` was trained on procedural shapes and textures, `demo:medical` on phantoms like these. The head
# belongs to the medical one and knows it: vectors of another encoder are refused, even where the width would fit.

# %%
general, medical = (sk.load_encoder(name, device="cpu") for name in ("demo:general", "demo:medical"))
head = medical.classifier()
anchors, test = make_phantoms(500, seed=6000), make_phantoms(700, seed=6001)


def films(some):
    return sk.Items(some.ids, list(some.images), "image")


x, x_test = (sk.embed(general, films(some), progress=False) for some in (anchors, test))
y, y_test = (sk.embed(medical, films(some), progress=False) for some in (anchors, test))
try:
    head.scores(x_test)
except sk.StitchError as error:
    print(error)

# %% [markdown]
# ## The map
#
# `purpose="head"` asks for a map into the target's own units. With the head at hand maps are chosen by how well it
# reads mapped held-out films; each fold is judged by what the other folds choose, and folds keep patients whole.

# %%
alignment = sk.align(x, y, groups=anchors.patients, purpose="head", head=head, progress=False)
model = sk.stitch(general, alignment, head, target_name="demo:medical")
print(alignment)
print(model.scores(films(test)).values.shape, "scores of", len(head.classes), "findings")

# %% [markdown]
# ## Against what it must be compared with
#
# - **own head**: the medical encoder itself drives its head. This is the ceiling.
# - **probe**: a tuned logistic regression on the general encoder, with the *labels* of the same films. If the stitch is
#   not above it, one could have labelled the films instead.
# - **another map**: the same films, an orthogonal map.
# - **no map**: the general vectors cut to the head's width and fed in as they are.
# - **metadata only**: view and sex. **Chance**: the same score for all.

# %%
labels = sk.Labels(
    np.concatenate([anchors.reported, test.labels]),  # of the anchors, what their reports say: for the probe alone
    np.concatenate([anchors.ids, test.ids]),
    FINDINGS,
    np.concatenate([anchors.patients, test.patients]),
    {"view": np.concatenate([anchors.views, test.views]), "sex": np.concatenate([anchors.sexes, test.sexes])},
)
every_x = sk.Embeddings(np.concatenate([x.vectors, x_test.vectors]), np.concatenate([x.ids, x_test.ids]), x.space)
orthogonal = sk.align(x, y, groups=anchors.patients, purpose="head", solver="procrustes", nested=False, progress=False)
cut = sk.Embeddings(x_test.vectors[:, : head.space.dim], x_test.ids, head.space)  # a lie about its space: no map at all
stitched = model.scores(x_test)
others = {
    "own head": head.scores(y_test),
    "another map": head.scores(orthogonal.to_target(x_test)),
    "no map": head.scores(cut),
}
result = sk.evaluate(
    stitched, labels, anchors=anchors.ids, embeddings=every_x, metadata=("view", "sex"), others=others, name="stitched"
)
print(result)

# %%
words = {
    "own head": "own head: the medical encoder",
    "stitched": "stitched: the general encoder",
    "probe on the anchors": "probe, with the anchors' labels",
    "another map": "orthogonal map, same anchors",
    "no map": "no map, cut to width",
    "metadata only": "view and sex alone",
    "chance": "chance",
}
colours = {"stitched": BLUE, "own head": PURPLE, "probe on the anchors": GREEN}
figure, axis = plt.subplots(figsize=(5.8, 3.5))
for row, name in enumerate(words):
    value, low, high = result.method(name).macro
    colour = colours.get(name, FAINT)
    axis.hlines(row, low, high, color=colour, lw=2.5)
    axis.plot(value, row, "o", color=colour, ms=8)
    axis.text(max(high, value + 0.01) + 0.015, row, f"{value:.2f}", va="center", color=colour, fontsize=10)
axis.axvline(0.5, color=FAINT, ls="--", lw=1)
axis.set_yticks(range(len(words)), words.values())
axis.set_ylim(len(words) - 0.5, -0.5)
axis.set(xlim=(0.44, 1.07), xticks=(0.5, 0.6, 0.7, 0.8, 0.9, 1))
axis.set_xlabel("mean AUROC of seven findings, 95 % over patients")
axis.grid(axis="x")
plt.show()

# %% [markdown]
# How much of the way from chance to the ceiling does the map go, finding by finding? Filled dots are the two ends,
# the ring is the probe.

# %%
order = sorted(FINDINGS, key=lambda label: -result.main.classes[label].value)
figure, axis = plt.subplots(figsize=(5.8, 3.6))
for row, label in enumerate(order):
    ours, own, probe = (
        result.method(name).classes[label].value for name in ("stitched", "own head", "probe on the anchors")
    )
    axis.hlines(row, ours, own, color=GRID, lw=6)
    axis.plot(ours, row, "o", color=BLUE, ms=9, label="stitched")
    axis.plot(own, row, "o", color=PURPLE, ms=9, label="own head")
    axis.plot(probe, row, "o", color=GREEN, ms=9, mfc="none", mew=2, label="probe")
axis.axvline(0.5, color=FAINT, ls="--", lw=1)
axis.set_yticks(range(len(order)), order)
axis.set_ylim(len(order) - 0.5, -0.5)
axis.set_xlim(0.48, 1.01)
axis.set_xlabel("AUROC on test films")
axis.grid(axis="x")
handles, told = axis.get_legend_handles_labels()
axis.legend(handles[:3], told[:3], loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3)
plt.show()

# %% [markdown]
# ## Faint findings are where it is lost
#
# A phantom knows how severe each finding is. Below, films with a finding are divided by severity, each part against
# all films without it (unknown labels are left out of an AUROC, so the other parts are called unknown).

# %%
graded = others | {"probe": sk.fit_probe(x, labels).scores(x_test)}
edges = (0, 0.25, 0.45, 0.65, 1)
parts = {}
for low, high in pairwise(edges):
    inside = (test.severity > low) & (test.severity <= high)
    known = np.where(inside, 1, np.where(test.severity > 0, np.nan, 0))
    truth = sk.Labels(known, test.ids, FINDINGS, test.patients)
    parts[f"{low:g} to {high:g}"] = sk.evaluate(stitched, truth, others=graded, name="stitched")

figure, axis = plt.subplots(figsize=(5.8, 3.6))
at = np.arange(len(parts))
for name, colour, shift in (("own head", PURPLE, -0.06), ("stitched", BLUE, 0), ("probe", GREEN, 0.06)):
    value, low, high = np.transpose([one.method(name).macro for one in parts.values()])
    axis.plot(at + shift, value, "o-", color=colour, lw=2, ms=7, label=name)
    axis.vlines(at + shift, low, high, color=colour, lw=2)
axis.axhline(0.5, color=FAINT, ls="--", lw=1)
axis.set_xticks(at, parts)
axis.set_ylim(0.45, 1.01)
axis.set_xlabel("severity of the finding, 0 absent to 1 severe")
axis.set_ylabel("mean AUROC, 95 % over patients")
axis.grid(axis="y")
axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3)
plt.show()

# %% [markdown]
# ## Keep it
#
# A stitched model is a folder: the map, the head, and a card that says where they come from. The encoders themselves
# are named, not copied; on loading, their fingerprint must still be the one the map was fitted on.

# %%
folder = Path(tempfile.mkdtemp(), "general-to-medical")
sk.save(model, folder, extra={"anchor_set": {"source": "500 chest phantoms, drawn by stitchkit"}})
print(*sorted(f"{file.name}: {file.stat().st_size / 1000:.0f} kB" for file in folder.iterdir()), sep="\n")
again = sk.load(folder)
print("the same scores, to the last bit:", np.array_equal(again.scores(x_test).values, stitched.values))
print(*(line for line in (folder / "README.md").read_text("utf-8").splitlines() if line.startswith("- **")), sep="\n")

# %% [markdown]
# ## A folder is an encoder again
#
# `stitchkit:FOLDER` loads the general encoder *with* the map as one encoder. Its vectors can be used like any
# other's: for example to look for films that are like a given one. How much more often than by chance do a film's
# five nearest neighbours (of other patients) have the finding that it has?

# %%
joined = sk.load_encoder(f"stitchkit:{folder}")
spaces = {"general": x_test, "stitched": sk.embed(joined, films(test), progress=False), "medical": y_test}


def nearest(vectors, k=5):
    """The k most similar films of other patients, for each film."""
    rows = vectors.vectors - vectors.vectors.mean(axis=0)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    cosine = rows @ rows.T
    cosine[test.patients[:, None] == test.patients] = -2
    return np.argsort(-cosine, axis=1)[:, :k]


neighbours = {name: nearest(vectors) for name, vectors in spaces.items()}
lifts = {
    name: [test.labels[rows[test.labels[:, c] == 1], c].mean() / test.labels[:, c].mean() for c in range(len(FINDINGS))]
    for name, rows in neighbours.items()
}
figure, axis = plt.subplots(figsize=(5.8, 3.6))
for name, colour in (("general", FAINT), ("stitched", BLUE), ("medical", PURPLE)):
    axis.plot(lifts[name], range(len(FINDINGS)), "o", color=colour, ms=9, label=name)
axis.axvline(1, color=FAINT, ls="--", lw=1)
axis.set_yticks(range(len(FINDINGS)), FINDINGS)
axis.set_ylim(len(FINDINGS) - 0.5, -0.5)
axis.set_xlim(0.5, None)
axis.set_xlabel("times as often among the nearest as among all films")
axis.grid()
axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3)
plt.show()

# %%
query = np.flatnonzero((test.severity[:, FINDINGS.index("cardiomegaly")] > 0.7) & (test.labels.sum(axis=1) == 1))[0]
figure, axes = plt.subplots(3, 4, figsize=(5.8, 4.65))
for line, (name, rows) in zip(axes, neighbours.items(), strict=True):
    for axis, row in zip(line, [query, *rows[query][:3]], strict=True):
        axis.imshow(render(test.phantoms[row], 192), cmap="gray", vmin=0, vmax=255)
        there = test.labels[row, FINDINGS.index("cardiomegaly")] == 1
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set(visible=True, color=BLUE if there else GRID, linewidth=3)
    line[0].set_ylabel(name)
axes[0, 0].set_title("query")
axes[0, 2].set_title("nearest films")
plt.show()

# %% [markdown]
# A blue frame marks cardiomegaly, the query's only finding. One query proves nothing; the dots above do the counting.
# The map does not teach the general encoder anything. It turns its vectors so that what the medical encoder cares
# about comes first, as far as they hold it.

# %% [markdown]
# ## On real films
#
# A ResNet-44 trained on small photographs of cats and cars is stitched to the output of a chest classifier (CheXNet),
# whose fourteen logits are a space like any other; its "head" reads them as they are. The map is fitted on the
# training films, without their labels, and judged on other patients. The set is small: look at the intervals, and
# read the notes under the table first.

# %%
if REAL:
    fourteen = sk.read_prompts("nih14").classes
    with open(Path(REAL, "cxr_nih", "chexnet_preds.csv"), encoding="utf-8") as file:
        outputs = {row["path"]: [float(row[f"prob_{label}"]) for label in fourteen] for row in csv.DictReader(file)}
    columns = ("subset", "view", "sex", "age")
    chest = read_cohort("table", Path(REAL, "cxr_nih"), split="split", classes=fourteen, columns=columns)
    honest = np.isin(chest.labels.columns["subset"], ["starter", "both"]) & np.isin(chest.images.ids, list(outputs))
    chest = chest.take(honest)
    p = np.clip([outputs[one] for one in chest.images.ids], 1e-6, 1 - 1e-6)
    logits = sk.Embeddings(np.log(p / (1 - p)), chest.images.ids, sk.Space("chexnet", 14, "logits"))
    as_it_is = sk.LinearHead(logits.space, fourteen, np.eye(14), np.zeros(14))

    weights = Path(REAL, "weights", "cifar_resnet44.safetensors")
    resnet = sk.load_encoder(f"python:resnet44.py:ResNet44#weights={weights}", device="cpu")
    seen = sk.embed(resnet, chest.images, progress=False)
    train, tested = chest.part("train"), chest.part("test").images.ids
    pairs = (seen.of_ids(train.images.ids), logits.of_ids(train.images.ids))
    driven = {"groups": train.labels.groups, "purpose": "head", "head": as_it_is}
    real = sk.stitch(resnet, sk.align(*pairs, **driven, progress=False), as_it_is)
    table = sk.evaluate(
        real.scores(seen.of_ids(tested)), chest.labels, anchors=train.images.ids, embeddings=seen, metadata=columns[1:],
        others={"own output": as_it_is.scores(logits.of_ids(tested))}, name="stitched", min_positives=3,
    )  # fmt: skip
    print(table)
else:
    print("STITCHKIT_REAL_DATA names no folder: this section was left out.")

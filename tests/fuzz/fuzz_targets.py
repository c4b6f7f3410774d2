"""All readers and artefacts: a small sound example of each, the changes that are made to it, and what reads it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from checkpoint_targets import CHECKPOINTS, of_tests
from command_targets import COMMANDS
from mutations import Change, Target, change_arrays, change_bytes, change_config, change_json, change_state
from PIL import Image
from run_logs import log_lines

import stitchkit as sk
from stitchkit.core.space import Space
from stitchkit.datasets.content_keys import content_key
from stitchkit.datasets.dicom.columns import COLUMNS, dicom_columns, dicom_patients
from stitchkit.datasets.images import image_metadata, read_image
from stitchkit.datasets.tables import read_items
from stitchkit.encoders.shared.encoder import ImageBatch
from stitchkit.runtime.progress import Progress
from stitchkit.storage.embedding_cache import EmbeddingStore
from stitchkit.storage.folders import write_folder
from stitchkit.storage.scores import read_scores, write_scores
from stitchkit.studies.cells import Cell, CellLog
from stitchkit.studies.identity import IDENTITY, KEYS, read_identity
from stitchkit.studies.plan_consent import check_plan_names
from stitchkit.studies.plans import read_plan
from stitchkit.training.checkpoints import STATE, check_same, read_run_state, restoring, save_state
from stitchkit.training.packing import pack_images
from stitchkit.training.recipes import read_recipe
from stitchkit.training.run_log import LOG
from stitchkit.training.validation import Validation
from stitchkit.training.vocabularies import Vocabulary

ROOT = Path(__file__).parents[2]
DICOM_FILES = ("MR_small_RLE.dcm", "JPEG2000.dcm", "MR_small_jpeg_ls_lossless.dcm", "SC_rgb_small_odd_jpeg.dcm")


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


def _pictures(folder: Path) -> None:
    for name in ("a", "b", "c"):
        Image.new("L", (4, 4), 9).save(folder / f"{name}.png")


def _dicom(folder: Path) -> None:
    """Pictures of every kind of compression that is read, cut to what is quickly changed, and one with tables."""
    shipped = Path(find_spec("pydicom").origin).parent / "data" / "test_files"
    for name in DICOM_FILES:
        shutil.copy(shipped / name, folder / name)
    files = of_tests("datasets/dicom_files.py")
    film = _rng().integers(0, 4096, (9, 8)).astype(np.uint16)
    tables = {"VOILUTSequence": files.lut(0, range(50), 8), "ModalityLUTSequence": files.lut(0, range(90), 8, "OW")}
    files.write_dicom(folder / "tables.dcm", film, bits=12, PixelPaddingValue=3, **tables)


def _use_dicom(folder: Path) -> object:
    paths = sorted(folder.glob("*.dcm"))
    columns = dicom_columns(paths, list(COLUMNS)), dicom_patients(paths)
    return columns, [(read_image(f"{path}#frame=1"), image_metadata(path), content_key(f"{path}#frame=1", "image"))
                     for path in paths]  # fmt: skip


def _text(name: str, text: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        _pictures(folder)
        (folder / name).write_text(text, "utf-8")

    return make


TABLE = (
    "id,path,text,patient,split,Edema,Mass,finding,age\n"
    '1,a.png,"No edema, no mass.",p1,train,0,1,Edema,61\n'
    "2,b.png,Large mass.,p2,train,1,0,Mass,\n"
    "3,c.png,Effusion.,007,test,,-1,Edema,70.5\n"
)
LINES = "No edema.\nLarge mass.\nEffusion.\n"
JSON_LINES = "".join(
    json.dumps({"id": str(k), "path": f"{name}.png", "text": "No edema."}) + "\n" for k, name in enumerate("abc")
)
PROMPTS_TOML = (
    'name = "mine"\nlicence = "CC0"\ntemplates = ["a film with {}.", "{} is seen."]\n\n'
    '[classes]\nEdema = ["edema", "pulmonary edema"]\nMass = ["a mass"]\n'
)


def _tables(name: str, text: str, read: Callable[[Path], object]) -> Target:
    json_too = (change_bytes, change_json) if name.endswith("l") else (change_bytes,)
    return Target(_text(name, text), lambda folder: read(folder / name), {name: json_too})


def _items(path: Path) -> Any:
    found = read_items(path)
    return found.ids.tolist(), list(found.values)


def _prompts_toml(folder: Path) -> None:
    shutil.copytree(ROOT / "anchors" / "prompts", folder, dirs_exist_ok=True)


def _read_prompts(folder: Path) -> object:
    return [sk.read_prompts(one) for one in sorted(folder.glob("*.toml"))]


def _prompts_json(folder: Path) -> None:
    (folder / "p.json").write_text(json.dumps({"Edema": ["edema", "pulmonary edema"], "Mass": ["a mass"]}))


def _plans(folder: Path) -> None:
    for name in ("studies", "recipes"):
        shutil.copytree(ROOT / "examples" / name, folder / name)


def _use_plans(folder: Path) -> None:
    for one in sorted((folder / "studies").glob("*.toml")):
        check_plan_names(read_plan(one))


def _layout(name: str, copy: Any) -> Target:
    def read(folder: Path) -> object:
        cohort = sk.read_cohort(name, folder, **copy.settings)
        return list(cohort.images.values), cohort.card, None if cohort.texts is None else list(cohort.texts)

    tables = dict.fromkeys(("*.csv", "*.txt", "*.json", "*.jsonl", "*.csv.gz"), (change_bytes,))
    return Target(copy.build, read, tables)


def _images(folder: Path) -> None:
    grey = (np.arange(400).reshape(20, 20) % 256).astype(np.uint8)
    Image.fromarray(grey).save(folder / "grey.png")
    Image.fromarray(np.stack([grey] * 3, axis=2)).save(folder / "colour.jpg", exif=_exif(), icc_profile=b"\0" * 200)
    Image.fromarray(grey).save(folder / "plain.bmp")
    Image.fromarray(grey).save(folder / "packed.tif", compression="tiff_lzw")
    Image.fromarray(grey.astype(np.uint16) * 200).save(folder / "deep.tif")
    Image.fromarray(grey.astype(np.uint16) * 200).save(folder / "deep.png")
    Image.fromarray(grey).convert("P").save(folder / "palette.png", transparency=0)
    Image.new("RGB", (24, 20), 9).save(folder / "phone.jpg", "MPO", save_all=True,
                                       append_images=[Image.new("RGB", (8, 8), 9)])  # fmt: skip


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[274], exif[305] = 6, "scanner"
    return exif


def _read_images(folder: Path) -> list[object]:
    found: list[object] = []
    for path in sorted(folder.iterdir()):
        try:
            found.append(np.asarray(read_image(path)).sum())
        except sk.StitchError as error:
            found.append(str(error))
    return found


def _vectors() -> tuple[np.ndarray, np.ndarray]:
    rng = _rng()
    return rng.normal(size=(40, 5)), rng.normal(size=(40, 4))


def _embeddings(folder: Path) -> None:
    x, _ = _vectors()
    sk.write_embeddings(folder / "e.safetensors", sk.Embeddings(x, np.arange(40).astype(str), Space("s", 5, "f")))


def _moments(folder: Path) -> None:
    sk.save(sk.Moments.of(*_vectors()), folder / "m.safetensors")


def _alignment(solver: Any) -> Callable[[Path], object]:
    return lambda folder: sk.save(sk.align(*_vectors(), solver=solver, progress=False), folder / "m")


def _joint(folder: Path) -> None:
    x, y = _vectors()
    sk.save(sk.align_many({"a": x, "b": y}), folder / "m")


def _use_alignment(folder: Path) -> object:
    found = sk.load(folder / "m")
    with _any_numbers():
        return str(found), found.similarity(*_vectors())


def _use_joint(folder: Path) -> object:
    found = sk.load(folder / "m")
    with _any_numbers():
        return str(found), found.between("a", "b").similarity(*_vectors())


def _head(folder: Path) -> None:
    rng = _rng()
    sk.save(sk.LinearHead(Space("t", 4, "f"), ("a", "b"), rng.normal(size=(4, 2)), np.zeros(2)), folder / "m")


def _use_head(folder: Path) -> object:
    found = sk.load(folder / "m")
    with _any_numbers():
        return found.scores(_vectors()[1]).values


def _any_numbers() -> np.errstate:
    """Finite weights may be huge: what is reading's concern are values that are none."""
    return np.errstate(all="ignore")


class _Source:
    """The encoder that a stitched folder is loaded with."""

    name, modality, space = "source", "text", Space("source", 5, "f")

    def prepare(self, items: Any) -> Any:
        return items

    def encode(self, batch: Any) -> Any:
        raise NotImplementedError


def _stitched(folder: Path) -> None:
    from stitchkit.core.heads import ZeroShotHead

    x, y = _vectors()
    source = sk.Embeddings(x, np.arange(40).astype(str), _Source.space)
    alignment = sk.align(source, y, solver=sk.CSA(), progress=False)
    positive, negative = _rng().normal(size=(2, 3, alignment.source_map.target.dim))
    head = ZeroShotHead(alignment.source_map, ("a", "b", "c"), positive, negative, alignment.weights)
    sk.stitch(_Source(), alignment, head).save(folder / "m")


def _use_stitched(folder: Path) -> object:
    found = sk.load(folder / "m", encoder=_Source())
    with _any_numbers():
        return found.scores(sk.Embeddings(_vectors()[0], np.arange(40).astype(str), _Source.space)).values


def _shared(folder: Path) -> None:
    from stitchkit.encoders.pair_network import ImageInput, TextInput
    from stitchkit.encoders.shared.encoder import TOKENIZER, pack_shared
    from stitchkit.encoders.shared.network import SharedNetwork, SharedShape

    words = Vocabulary.of_captions(["no edema", "a large mass"], 270)
    inputs = {"image": ImageInput(4, 2, 1), "text": TextInput(8, words.size, words.end)}
    settings = {"start": words.start, "tokenizer": words.digest, "wide": 4, "mean": [0.5], "std": [0.2]}
    shape = SharedShape(8, 2, 2, 4, None, "token_wise", 2, inputs)
    config, arrays = pack_shared(SharedNetwork(shape), settings)
    write_folder(folder / "m", config, arrays, "card")
    (folder / "m" / TOKENIZER).write_text(words.text, "utf-8")


def _vocabulary(folder: Path) -> None:
    (folder / "tokenizer.json").write_text(Vocabulary.of_captions(["no edema", "a large mass"], 270).text, "utf-8")


def _use_shared(folder: Path) -> object:
    found: list[object] = []
    for modality, item in (("image", Image.new("L", (6, 5), 9)), ("text", "no edema")):
        encoder = sk.load_encoder(f"stitchkit:{folder / 'm'}#modality={modality}", device="cpu")
        found.append(encoder.encode(encoder.prepare([item])).pooled)
    return found


def _scores(folder: Path) -> None:
    origin = sk.Provenance(source="demo:general", anchors="pairs.csv, 40 pairs", anchors_sha256="ab" * 32)
    scores = sk.Scores(_rng().normal(size=(5, 2)), "logit", list("abcde"), ("Edema", "Mass"), origin)
    write_scores(folder / "s.csv", scores)


_SHELF = Space("demo", 2, "f1")
_KEYS = np.array([f"{k:016d}" for k in range(6)], "S16")


def _shelf(folder: Path) -> None:
    shelf = EmbeddingStore(folder).open(_SHELF)
    for start in range(0, 6, 2):
        shelf.append(_KEYS[start : start + 2], np.ones((2, 2)))


def _use_shelf(folder: Path) -> object:
    shelf = EmbeddingStore(folder).open(_SHELF)
    known = shelf.read(shelf.find(_KEYS[shelf.find(_KEYS) >= 0]))
    shelf.append(_KEYS, np.ones((6, 2)))
    found = EmbeddingStore(folder).open(_SHELF)
    assert (found.find(_KEYS) >= 0).all(), "what was appended is found"
    assert sum(path.stat().st_blocks * 512 for path in shelf.folder.iterdir()) < 2**20
    assert (shelf.folder / "vectors.bin").stat().st_size < 2**16, "no sparse file"
    return known


def _state(folder: Path) -> None:
    import torch

    network, objective = torch.nn.Linear(2, 3), torch.nn.Linear(1, 1)
    optimizer = torch.optim.AdamW(network.parameters())
    best = Validation(step=3, loss=0.5, reciprocal=0.2, recall={"a@1": 0.1}, chance={"a@1": 0.1}, pairs=4, captions=4)
    save_state(folder, {"network": network.state_dict(), "objective": objective.state_dict(),
                        "optimizer": optimizer.state_dict(), "precision": {}, "step": 3, "since": 1, "world": 1,
                        "best": json.dumps(best.to_dict()), "recipe": '{"a": 1}',
                        "pairs": "0" * 64})  # fmt: skip


def _use_state(folder: Path) -> object:
    import torch

    stopped = read_run_state(folder)
    network = torch.nn.Linear(2, 3)
    if stopped is not None:
        with restoring(folder):
            network.load_state_dict(stopped.network)
            torch.nn.Linear(1, 1).load_state_dict(stopped.objective)
            torch.optim.AdamW(network.parameters()).load_state_dict(stopped.optimizer)
        check_same({"a": 1}, stopped.recipe, folder)
        assert stopped.best is None or stopped.best.better_than(stopped.best, "loss") is False
    return stopped


def _mark(folder: Path) -> None:
    (folder / IDENTITY).write_text(json.dumps(dict.fromkeys(KEYS, "a")))


def _packed(folder: Path) -> object:
    """Pixels are packed again where their files were changed."""
    reading = ImageBatch(4, 4, (0.5,), (0.2,))
    pictures = sk.Items(list("abc"), [Image.new("L", (6, 6), k) for k in (0, 100, 255)], "image")
    pack = pack_images(pictures, reading, folder / "p", Progress(False))
    assert pack.pixels[:, 0, 0, 0].tolist() == [0, 100, 255], "every pixel is that of its image"
    return pack


def _run_log(folder: Path) -> None:
    lines = [{"step": k, "loss": 0.5, "ranks": {"a": 1}} for k in range(4)]
    (folder / LOG).write_text("".join(json.dumps(line) + "\n" for line in lines))


def _use_run_log(folder: Path) -> object:
    from stitchkit.training.run_log import RunLog

    RunLog(folder, 2)
    return log_lines(folder)


def _cells(folder: Path) -> None:
    log = CellLog(folder)
    facts = {"kind": "cosine", "record": {}, "seconds": 0.5}
    for draw in range(2):
        log.add(f"k{draw}", Cell("a", "b", "csa", None, draw), np.ones((3, 2)), facts)
    log.keep("mark", {"x": np.ones(3)})


def _use_cells(folder: Path) -> object:
    log = CellLog(folder)
    arrays = log.read_arrays("mark")
    return [log.scores(key) for key in ("k0", "k1") if key in log], arrays


_FOLDER: dict[str, tuple[Change, ...]] = {
    "config.json": (change_bytes, change_config, change_config, change_config),
    "model.safetensors": (change_bytes, change_arrays, change_arrays),
}
_BYTES: tuple[Change, ...] = (change_bytes,)
_TENSORS: tuple[Change, ...] = (change_bytes, change_arrays)

TARGETS: dict[str, Target] = {
    "items csv": _tables("t.csv", TABLE, _items),
    "items tsv": _tables("t.tsv", TABLE.replace(", ", "; ").replace(",", "\t"), _items),
    "items txt": _tables("t.txt", LINES, _items),
    "items jsonl": _tables("t.jsonl", JSON_LINES, _items),
    "anchors csv": _tables("t.csv", TABLE, sk.read_anchors),
    "anchors jsonl": _tables("t.jsonl", JSON_LINES, sk.read_anchors),
    "labels csv": _tables("t.csv", TABLE, lambda path: sk.read_labels(path, classes=["Edema"])),
    "labels in one column": _tables("t.csv", TABLE, lambda path: sk.read_labels(path, label="finding")),
    "prompts toml": Target(_prompts_toml, _read_prompts, {"*.toml": _BYTES}),
    "prompts json": Target(_prompts_json, lambda folder: sk.read_prompts(folder / "p.json"),
                           {"p.json": (change_bytes, change_json)}),
    "plans": Target(_plans, _use_plans, {"studies/*.toml": _BYTES}),
    "recipes": Target(lambda folder: shutil.copy(ROOT / "examples" / "recipes" / "shared.toml", folder),
                      lambda folder: read_recipe(folder / "shared.toml"), {"*.toml": _BYTES}),
    "vocabularies": Target(_vocabulary, lambda folder: Vocabulary.of_folder(str(folder)).digest,
                           {"tokenizer.json": (change_bytes, change_json)}),
    "images": Target(_images, _read_images, {"*": _BYTES}),
    "DICOM files": Target(_dicom, _use_dicom, {"*.dcm": _BYTES}),
    "embeddings": Target(_embeddings, lambda folder: sk.read_embeddings(folder / "e.safetensors"),
                         {"*.safetensors": _TENSORS}),
    "moments": Target(_moments, lambda folder: sk.load(folder / "m.safetensors"),
                      {"*.safetensors": _TENSORS}),
    "affine alignments": Target(_alignment(sk.CSA()), _use_alignment, _FOLDER),
    "relative alignments": Target(_alignment(sk.Relative()), _use_alignment, _FOLDER),
    "joint alignments": Target(_joint, _use_joint, _FOLDER),
    "stitched models": Target(_stitched, _use_stitched, _FOLDER),
    "heads": Target(_head, _use_head, _FOLDER),
    "shared encoders": Target(_shared, _use_shared, {**_FOLDER, "tokenizer.json": (change_bytes, change_json)}),
    "scores": Target(_scores, lambda folder: read_scores(folder / "s.csv"),
                     {"*.csv": _BYTES, "*.provenance.json": (change_bytes, change_json)}),
    "embedding store": Target(_shelf, _use_shelf, {"manifest.jsonl": (change_bytes, change_json), "*.bin": _BYTES}),
    "training states": Target(_state, _use_state, {STATE: (change_bytes, change_state)}),
    "packed pixels": Target(_packed, _packed, {"p/*.npy": _BYTES, "p/*.sha256": _BYTES}),
    "study names": Target(_mark, read_identity, {IDENTITY: (change_bytes, change_json)}),
    "training logs": Target(_run_log, _use_run_log, {LOG: (change_bytes, change_json)}),
    "study cells": Target(_cells, _use_cells, {"cells.jsonl": (change_bytes, change_json), "*.np[yz]": _BYTES}),
    **CHECKPOINTS,
    **COMMANDS,
    **{f"layout {name}": _layout(name, copy) for name, copy in of_tests("datasets/published_copies.py").COPIES.items()},
}  # fmt: skip

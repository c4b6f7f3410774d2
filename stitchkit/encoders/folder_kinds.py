"""Folders that are no checkpoint of transformers or timm: what they are, by their files, and the next step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from stitchkit.core.errors import ModelUnavailableError, StitchError
from stitchkit.core.strict_json import parse_json
from stitchkit.encoders.names import ADAPTER as OPTION
from stitchkit.encoders.names import FAMILY, EncoderName
from stitchkit.storage.path_checks import checked_file

PYTHON = "Or write a python: encoder around it."
WEIGHTS_OF_ITS_OWN = "Take the checkpoint that it was made from, with weights in safetensors, and load that folder."

# files that tell, what such a folder is, what to do; the first that fits is taken
KINDS = (
    (("open_clip_config.json", "open_clip_*.bin", "open_clip_*.safetensors", "open_clip_*.pt"),
     "an open_clip checkpoint",
     "Load it as open_clip:FOLDER#modality=image or #modality=text (pip install open_clip_torch)."),
    (("model_index.json",),
     "a diffusers pipeline of several models",
     "Copy the encoder that you need (text_encoder or image_encoder, with its tokenizer or image processor) into a "
     "folder of its own and load that."),
    (("*.onnx", "onnx/*.onnx"), "an ONNX export",
     f"Load it as onnx:FOLDER (pip install onnxruntime). Or: {WEIGHTS_OF_ITS_OWN}"),
    (("openvino_model.xml", "openvino/*.xml"), "an OpenVINO export", WEIGHTS_OF_ITS_OWN),
    (("*.gguf",), "a GGUF file of quantised weights", WEIGHTS_OF_ITS_OWN),
    (("*.tflite", "*.mlmodel", "*.mlpackage", "*.engine"), "an export for another runtime", WEIGHTS_OF_ITS_OWN),
    (("tf_model.h5", "tf_model*.h5", "*.keras", "saved_model.pb", "*.ckpt.index"), "a TensorFlow checkpoint",
     "Convert it with transformers 4 (AutoModel.from_pretrained(folder, from_tf=True).save_pretrained(other)) and load "
     f"the other folder. {PYTHON}"),
    (("flax_model.msgpack", "flax_model*.msgpack"), "a Flax checkpoint",
     "Convert it with transformers 4 (AutoModel.from_pretrained(folder, from_flax=True).save_pretrained(other)) and "
     "load the other folder."),
    (("configs/metadata.json", "configs/inference.json"), "a MONAI bundle",
     "Write a python: encoder that builds its network and loads its weights."),
    (("dataset_infos.json", "dataset_info.json", "data/*.parquet"), "a data set, no model", "Name the model's folder."),
    (("config.cfg",), "a spaCy pipeline", "Write a python: encoder around it."),
    (("modules.json",), "a sentence-transformers pipeline without its transformer", "Copy the whole folder."),
    (("trainer_state.json", "optimizer.pt", "optimizer.bin"), "a training state without a model",
     "Save the model with save_pretrained, and load that folder."),
    (("tokenizer.json", "vocab.txt", "tokenizer_config.json", "sentencepiece.bpe.model", "spiece.model"),
     "a tokenizer without a model", "Copy config.json and the weights next to it."),
    (("preprocessor_config.json", "processor_config.json"),
     "an image processor without a model", "Copy config.json and the weights next to it."),
)  # fmt: skip
ADAPTER = "adapter_config.json"


def describe_folder(folder: Path) -> str:
    """The kind of ``folder`` by its files, and the next step: two sentences, or none where nothing is known."""
    if (folder / ADAPTER).is_file():
        return adapter(folder)
    for patterns, what, step in KINDS:
        for pattern in patterns:
            if (file := next(iter(sorted(folder.glob(pattern))), None)) is not None:
                return f"It is {what} ({file.relative_to(folder).as_posix()}). {step}"
    below = sorted({file.parent for level in ("*", "*/*") for file in folder.glob(f"{level}/config.json")})
    if below:
        return f"Its folder {below[0].relative_to(folder).as_posix()} holds one. Load {below[0]}."
    if not any(folder.iterdir()):
        return "It is empty. Copy the whole folder from its source."
    return ""


def adapter(folder: Path) -> str:
    """The same for a folder that holds an adapter of PEFT."""
    file = checked_file(folder / ADAPTER, "a file of settings", ModelUnavailableError)
    try:
        base = parse_json(file.read_bytes(), any_float=True).get("base_model_name_or_path")
    except (ValueError, AttributeError):
        base = None
    known = base if isinstance(base, str) and base else None
    of = " of another model" if known is None else f" of {known!r}"
    return (
        f"It is a PEFT adapter{of} ({ADAPTER}), such as LoRA. Load its model with it: {_name_of(known, folder)} "
        f"(pip install 'stitchkit[train]')."
    )


def base_name(base: str) -> EncoderName | None:
    """The encoder that an adapter's settings name as its model; None where that is no name.

    Parameters
    ----------
    base
        Model of transformers, as PEFT writes it, or an encoder's name with its family, as our own training does.
    """
    family, colon, _ = base.partition(":")
    try:
        return EncoderName.parse(base if colon and FAMILY.fullmatch(family) else f"hf:{base}")
    except StitchError:
        return None


def _name_of(base: str | None, folder: Path) -> str:
    """The name of an encoder with the adapter in ``folder``."""
    name = None if base is None else base_name(base)
    name = EncoderName("hf", "BASE") if name is None else name
    return str(replace(name, options={**name.options, OPTION: str(folder)}))

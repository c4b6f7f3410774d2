"""Modules of sentence-transformers behind the pooling, as torch modules with a checkpoint's weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from stitchkit.core.errors import InputError, ModelUnavailableError
from stitchkit.encoders.checkpoints import check_weights
from stitchkit.encoders.hf.checkpoints import Source
from stitchkit.encoders.hf.sentence_pipeline import Part
from stitchkit.encoders.hub import loading

ACTIVATIONS = (
    "CELU", "ELU", "GELU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh", "Identity", "LeakyReLU", "LogSigmoid",
    "Mish", "ReLU", "ReLU6", "SELU", "SiLU", "Sigmoid", "Softplus", "Softshrink", "Softsign", "Tanh", "Tanhshrink",
)  # of torch.nn, elementwise and without settings or weights  # fmt: skip
DENSE_KEYS = {"in_features", "out_features", "bias", "activation_function", "use_residual",
              "module_input_name", "module_output_name"}  # fmt: skip
WIDEST = 2**24  # of the vectors that a module takes or gives
FILES = ("model.safetensors", "pytorch_model.bin")


class Dense(torch.nn.Module):
    """A linear layer and an activation, with or without a residual connection."""

    def __init__(self, width: int, height: int, bias: bool, activation: str, residual: bool) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(width, height, bias=bias)
        self.activation = getattr(torch.nn, activation)()
        self.has_residual = residual
        if residual and width != height:
            self.residual = torch.nn.Linear(width, height, bias=False)

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """(b, width) as (b, height)."""
        output: torch.Tensor = self.activation(self.linear(vectors))
        if not self.has_residual:
            return output
        return output + (self.residual(vectors) if hasattr(self, "residual") else vectors)


class Norm(torch.nn.Module):
    """A layer norm, under the name it is saved by."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = torch.nn.LayerNorm(width)

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """(b, width) as (b, width)."""
        output: torch.Tensor = self.norm(vectors)
        return output


class UnitLength(torch.nn.Module):
    """Vectors at length one."""

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """(b, d) as (b, d)."""
        return torch.nn.functional.normalize(vectors, dim=-1)


class Leading(torch.nn.Module):
    """The leading dimensions of vectors."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """(b, d) as (b, count), or (b, d) where there are no more."""
        return vectors[:, : self.count]


class After(torch.nn.Module):
    """Modules one after the other, in float32 whatever the encoder computes in."""

    def __init__(self, name: str, modules: Sequence[torch.nn.Module], settings: Sequence[Mapping[str, Any]]) -> None:
        super().__init__()
        self.name = name
        self.steps = torch.nn.ModuleList(modules)
        self.settings = list(settings)

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """Pooled vectors (b, d) as the last module gives them."""
        for place, step in enumerate(self.steps):
            wanted = getattr(getattr(step, "linear", None), "in_features", None)
            wanted = step.norm.normalized_shape[0] if isinstance(step, Norm) else wanted
            if wanted is not None and wanted != vectors.shape[1]:
                raise InputError(
                    f"the {self.settings[place]['type']} module of {self.name!r} takes vectors of width {wanted}; the "
                    f"pooling gives {vectors.shape[1]}. Use the pooling it declares, or #pipeline=none."
                )
            vectors = step(vectors)
        return vectors


def after_of(source: Source, parts: Sequence[Part], truncate: int | None) -> After | None:
    """The modules that follow the pooling with their weights, or None where nothing follows.

    Raises
    ------
    InputError
        For settings that cannot be followed.
    ModelUnavailableError
        For weights that are missing, or have another shape than the settings say.
    """
    modules = [_module(source, part) for part in parts]
    settings: list[dict[str, Any]] = [{"type": p.kind, **_facts(p, m)} for p, m in zip(parts, modules, strict=True)]
    if truncate is not None:
        modules, settings = [*modules, Leading(truncate)], [*settings, {"type": "truncate", "count": truncate}]
    return After(str(source.name), modules, settings) if modules else None


def _module(source: Source, part: Part) -> torch.nn.Module:
    if part.kind == "Normalize":
        return UnitLength()
    settings, name = part.settings, str(source.name)
    if part.kind == "LayerNorm":
        module: torch.nn.Module = Norm(_size(settings, "dimension", part, name))
    else:
        if strange := sorted(set(settings) - DENSE_KEYS):
            raise InputError(f"the Dense module of {name!r} sets {strange[0]!r}, which is not known. {_ADVICE}")
        sizes = [_size(settings, key, part, name) for key in ("in_features", "out_features")]
        bias, residual = bool(settings.get("bias", True)), bool(settings.get("use_residual", False))
        module = Dense(sizes[0], sizes[1], bias, _activation(settings, name), residual)
    return _fill(module, source, part)


_ADVICE = "Leave the pipeline out with #pipeline=none, or write a python: encoder around sentence_transformers."


def _size(settings: Mapping[str, Any], key: str, part: Part, name: str) -> int:
    value = settings.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= WIDEST:
        raise InputError(f"the {part.kind} module of {name!r} has {key} = {value!r}, which is no width. {_ADVICE}")
    return value


def _activation(settings: Mapping[str, Any], name: str) -> str:
    """The name in ``torch.nn`` of a Dense module's activation; by default it is the hyperbolic tangent."""
    named = str(settings.get("activation_function", "torch.nn.Tanh"))
    last = named.rpartition(".")[2]
    if not named.startswith("torch.nn.") or last not in ACTIVATIONS:
        raise InputError(
            f"the Dense module of {name!r} has the activation {named!r}; known are those of torch.nn without "
            f"settings, such as torch.nn.Tanh. {_ADVICE}"
        )
    return last


def _facts(part: Part, module: torch.nn.Module) -> dict[str, Any]:
    """The settings of a module that the fingerprint holds beside its weights."""
    if not isinstance(module, Dense):
        return {}
    return {"activation": type(module.activation).__name__, "residual": module.has_residual}


def _fill(module: torch.nn.Module, source: Source, part: Part) -> torch.nn.Module:
    """``module`` with the weights of the checkpoint, all of them of the right shape."""
    folder = part.path.rstrip("/")
    file = next((one for name in FILES if (one := source.file(f"{folder}/{name}")) is not None), None)
    if file is None:
        raise ModelUnavailableError(
            f"the checkpoint of {str(source.name)!r} lacks the weights of its {part.kind} module "
            f"({folder}/{FILES[0]}). Copy the whole folder from its source."
        )
    state = _state(file, source)
    wanted = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    held = {key: tuple(value.shape) for key, value in state.items()}
    for key in sorted({*wanted, *held}):
        if wanted.get(key) != held.get(key):
            raise ModelUnavailableError(
                f"{file}: {key!r} has shape {held.get(key)}; the {part.kind} module's settings say {wanted.get(key)}. "
                f"Copy {folder} again from its source."
            )
    module.load_state_dict(state)
    return module


def _state(file: Path, source: Source) -> dict[str, torch.Tensor]:
    """The tensors of a file of weights; a pickle of anything else is refused."""
    from safetensors.torch import load_file

    check_weights(file)
    with loading(source.name, source.hub_id):
        if file.suffix == ".safetensors":
            return load_file(file)
        state: dict[str, torch.Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    return state

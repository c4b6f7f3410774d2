"""Encoders of your own: a callable, a torch module or an encoder, named by import path.

``python:package.module:attribute`` or ``python:path/to/file.py:attribute``, with ``#key=value`` options.

The attribute is called with the options if it is a class, if it is a function whose name starts with ``load``, or
if options are given; what comes back is used. Only a class or function that is written in that module is called: what
it imports from elsewhere, a builtin, a ``functools.partial`` or an instance gets no options, and the error says to
write a function of your own. Otherwise the attribute is used as it is. What is used must be one of

1. an encoder: ``space``, ``modality``, ``prepare(items)`` and ``encode(batch)``;
2. a ``torch.nn.Module`` with a method ``prepare(items)``; ``module(prepare(items))`` must be (b, d). It is moved to
   the device and precision asked for, frozen, and put into evaluation mode;
3. a callable that takes a list of decoded items and gives a (b, d) array.

2 and 3 may have the attributes ``modality`` (``"image"`` unless set; or ``"text"``) and ``dim``. Without ``dim`` the
width is found by encoding one neutral item: a mid-grey 64 x 64 RGB image, or the text ``"a"``. Their fingerprint
covers the source file, the options, the contents of files and folders that options name, and a module's weights,
but not other files that the source imports.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from stitchkit.core.errors import OWN_CODE, InputError, ModelUnavailableError, StitchError, UnknownNameError
from stitchkit.core.heads import LinearHead
from stitchkit.core.items import MODALITIES
from stitchkit.core.roles import Batch, Encoded, Encoder, HasClassifier
from stitchkit.core.space import Space
from stitchkit.encoders.checkpoints import fingerprint
from stitchkit.encoders.devices import freeze, move
from stitchkit.encoders.names import EncoderName
from stitchkit.encoders.probing import width
from stitchkit.storage.path_checks import resolved_path

ROLE = ("space", "modality", "prepare", "encode")
PYTHON_CLASS = 1 << 9  # CPython's mark of a class made by a class statement, and not in C
DEEPEST = 100  # parts of an import path; a package in a package is imported by recursion


@dataclass(slots=True, eq=False)
class PythonEncoder:
    """A user's callable, torch module or encoder in the encoder's role."""

    name: str
    space: Space
    modality: str
    thing: Any = field(repr=False)
    kind: str  # "encoder", "module" or "callable"
    device: str
    dtype: str

    def prepare(self, items: Sequence[Any]) -> Batch:
        """The batch of the thing's own ``prepare``, or the items as a list for a plain callable."""
        if self.kind == "callable":
            return list(items)
        with _own_code(self.name):
            return self.thing.prepare(items)

    def encode(self, batch: Batch) -> Encoded:
        """Pooled vectors (b, d): float32 on the device, except for what is already an encoder."""
        import torch

        if self.kind == "encoder":
            with _own_code(self.name):
                encoded: Encoded = self.thing.encode(batch)
            return encoded
        with torch.inference_mode():
            return self.forward(batch)

    def forward(self, batch: Batch) -> Encoded:
        """As :meth:`encode` of a module or callable, with gradients where weights of a module are trained."""
        import torch

        inputs = move(batch, self.device, self.dtype) if self.kind == "module" else batch
        with _own_code(self.name):
            pooled = self.thing(inputs)
        return Encoded(torch.as_tensor(pooled).to(self.device, torch.float32))

    @property
    def model(self) -> Any:
        """The torch module, or None of what is none."""
        return self.thing if self.kind == "module" else None

    def classifier(self) -> LinearHead:
        """The classifier of what is already an encoder and has one."""
        if not isinstance(self.thing, HasClassifier):
            raise InputError(f"encoder {self.name!r} has no classifier. Fit a probe on its vectors.")
        return self.thing.classifier()


def load(name: EncoderName, *, device: str, dtype: str) -> PythonEncoder:
    """The encoder that an import path means; see the module's own text for what it may be."""
    module, thing = thing_at(name)
    kind = _kind(thing, name)
    if kind == "encoder":
        return PythonEncoder(str(name), thing.space, _modality(thing, name), thing, kind, device, dtype)
    attribute = name.id.rpartition(":")[2]
    digest = fingerprint(_state(thing), {"attribute": attribute, "options": _contents(name)}, _source(module))
    used = freeze(thing, device, dtype) if kind == "module" else thing
    encoder = PythonEncoder(str(name), Space(str(name), 1), _modality(thing, name), used, kind, device, dtype)
    encoder.space = Space(str(name), _dim(encoder), digest)
    return encoder


def thing_at(name: EncoderName) -> tuple[ModuleType, Any]:
    """The module that an import path means, and what its attribute is or makes."""
    path, colon, attribute = name.id.rpartition(":")
    if not colon or not path or not attribute.isidentifier():
        raise InputError(
            f"encoder {str(name)!r} needs python:package.module:attribute or python:path/to/file.py:attribute."
        )
    if name.revision:
        raise InputError(f"encoder {str(name)!r}: Python objects have no revisions. Leave out @{name.revision}.")
    module = _module(path, name)
    if not hasattr(module, attribute):
        known = [one for one in vars(module) if not one.startswith("_")]
        raise UnknownNameError.of(f"attribute of {path}", attribute, known)
    thing = getattr(module, attribute)
    if not _is_called(thing, name):
        return module, thing
    _check_own(thing, module, name)
    return module, _call(thing, name)


def _module(path: str, name: EncoderName) -> ModuleType:
    """The module at an import path or in a ``.py`` file; running it is what the user asked for."""
    if not path.endswith(".py"):
        if not _is_found(path):
            raise ModelUnavailableError(
                f"encoder {str(name)!r}: no module {path!r} can be imported. Install it, run from its folder, or name "
                f"the file: python:path/to/file.py:attribute."
            )
        return importlib.import_module(path)
    file = resolved_path(os.path.expanduser(path), ModelUnavailableError)
    if not file.is_file():
        raise ModelUnavailableError(f"encoder {str(name)!r}: there is no file {file}. Check the path.")
    key = f"stitchkit_file_{hashlib.sha256(str(file).encode()).hexdigest()[:16]}"
    spec = importlib.util.spec_from_file_location(key, file)
    if spec is None or spec.loader is None:
        raise ModelUnavailableError(f"encoder {str(name)!r}: Python cannot import {file}.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[key] = module  # dataclasses and pickle look their module up
    with _own_code(str(name)):
        spec.loader.exec_module(module)
    return module


def _is_found(path: str) -> bool:
    """True for an import path that leads to a module, or that is imported already, as ``__main__`` is."""
    if path in sys.modules:
        return sys.modules[path] is not None  # None: importing it is forbidden
    parts = path.split(".")
    if len(parts) > DEEPEST or not all(part.isidentifier() for part in parts):
        return False
    try:
        return importlib.util.find_spec(path) is not None
    except (ModuleNotFoundError, ValueError):  # a parent package is missing; a module made by hand has no origin
        return False


def _is_called(thing: Any, name: EncoderName) -> bool:
    """True for a class, a function that loads, and whatever has options."""
    loads = inspect.isroutine(thing) and thing.__name__.startswith("load")
    return inspect.isclass(thing) or loads or bool(name.options)


def _check_own(thing: Any, module: ModuleType, name: EncoderName) -> None:
    """Raise unless ``thing`` is a class or function that is written in ``module``.

    Raises
    ------
    InputError
        Naming where it is from, and the next step.
    """
    if not callable(thing):
        raise InputError(f"encoder {str(name)!r} has options, but a {type(thing).__name__} cannot be called with them.")
    if is_written_in(thing, module):
        return
    attribute = name.id.rpartition(":")[2]
    plain = inspect.isclass(thing) or inspect.isroutine(thing)
    origin = getattr(inspect.unwrap(thing), "__module__", None) if plain else None
    where = f" and comes from {origin}" if origin not in (None, module.__name__) else ""
    raise InputError(
        f"encoder {str(name)!r}: {attribute!r} is no class or function written in that module{where}, so it is not "
        f"called. Write 'def load_{attribute.lower()}(...)' in a file of your own that returns it, and name that "
        f"function."
    )


def is_written_in(thing: Any, module: ModuleType) -> bool:
    """True for a class or function defined at the top of ``module``'s own source, decorated or not."""
    if module.__name__.partition(".")[0] in sys.stdlib_module_names:
        return False
    kind = inspect.isclass(thing) or inspect.isroutine(thing)
    if not kind or getattr(thing, "__module__", None) != module.__name__ or _named_in(thing, module) is not thing:
        return False
    inner = inspect.unwrap(thing)
    if inspect.isclass(inner):
        return bool(inner.__flags__ & PYTHON_CLASS)
    return isinstance(inner, FunctionType) and inner.__globals__ is vars(module)  # not by what it says of itself


def _named_in(thing: Any, module: ModuleType) -> Any:
    """The object in ``module`` under the qualified name of ``thing``; None if there is none."""
    result: Any = module
    for part in str(getattr(thing, "__qualname__", "")).split("."):
        result = getattr(result, part, None)
    return result


def _call(thing: Any, name: EncoderName) -> Any:
    """The result of calling ``thing`` with the options."""
    try:
        inspect.signature(thing).bind(**name.options)
    except TypeError as error:
        raise InputError(
            f"encoder {str(name)!r}: the options do not fit {inspect.signature(thing)}: {error}. "
            f"Give them as #key=value&key=value."
        ) from error
    with _own_code(str(name)):
        return thing(**name.options)


@contextmanager
def _own_code(name: str) -> Iterator[None]:
    """Note on an error that the Python code of the encoder raises inside the block where it comes from."""
    try:
        yield
    except StitchError:
        raise
    except Exception as error:
        error.add_note(f"{OWN_CODE} {name!r}")
        raise


def _kind(thing: Any, name: EncoderName) -> str:
    """The part of the contract that ``thing`` fulfills."""
    import torch

    if isinstance(thing, Encoder) or all(hasattr(thing, part) for part in ROLE):
        return "encoder"
    if isinstance(thing, torch.nn.Module):
        if not callable(getattr(thing, "prepare", None)):
            raise InputError(
                f"encoder {str(name)!r} is a torch module without prepare(items), so its preprocessing is not known. "
                f"Give it a method prepare(items) that makes its input from decoded items."
            )
        return "module"
    if not callable(thing):
        raise InputError(
            f"encoder {str(name)!r} is a {type(thing).__name__}, which is no encoder, torch module or callable. "
            f"Name a function that takes a list of items and gives a (b, d) array."
        )
    return "callable"


def _modality(thing: Any, name: EncoderName) -> str:
    modality = getattr(thing, "modality", "image")
    if modality not in MODALITIES:
        raise InputError(f"encoder {str(name)!r} has modality {modality!r}; it must be 'image' or 'text'.")
    return str(modality)


def _dim(encoder: PythonEncoder) -> int:
    """The thing's own ``dim``, or the width of one neutral item's vector."""
    dim = getattr(encoder.thing, "dim", None)
    return int(dim) if isinstance(dim, int) else width(encoder)


def _state(thing: Any) -> dict[str, Any]:
    """The weights of a torch module; nothing for a plain callable."""
    import torch

    return dict(thing.state_dict()) if isinstance(thing, torch.nn.Module) else {}


def _source(module: ModuleType) -> list[bytes]:
    """The content of the module's file, if it has one."""
    file = getattr(module, "__file__", None)
    return [Path(file).read_bytes()] if file else [module.__name__.encode()]


def _contents(name: EncoderName) -> dict[str, str]:
    """The options, with the hash of what is in it for each that names a file or folder."""
    return {key: _hash(Path(value)) if os.path.exists(value) else value for key, value in name.options.items()}


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()

"""Changes of sound files: of bytes, of lines and words, of values and arrays under right digests."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from crafted import edited, with_arrays
from hypothesis import strategies as st

from stitchkit.core.errors import DataError
from stitchkit.storage.tensor_files import read_tensors

Draw = Callable[[st.SearchStrategy[Any]], Any]
Change = Callable[[Draw, Path, str], None]
EXAMPLES = 20  # of a target in the default suite


@dataclass(frozen=True)
class Target:
    """A reader, and what it reads.

    Parameters
    ----------
    make
        Writes sound files into a folder.
    read
        Reads them from there and uses what it read.
    changes
        Pattern of file names -> the changes that are made to such files.
    examples
        Number of changes in the default suite.
    """

    make: Callable[[Path], object]
    read: Callable[[Path], object]
    changes: dict[str, tuple[Change, ...]]
    examples: int = EXAMPLES


WORDS = [
    "", " ", "0", "-1", "-0", "1", "7.5", "1e999", "nan", "NaN", "inf", "-inf", "1_0", "٣", "9" * 25, "9" * 5000,
    "0x10", "true", "False", "null", "None", "NA", "?", "a", "é", "\x00", "\x1b[2J", "\u200b", "\u202e", "\ufeff",
    "\ufeff\ufeff", "\ud800", "'", '"', '""', "\\", "{", "}", "[", "[]", "{}", "{a}", "[[", "$x$", "=1+1", "..", "/",
    "../../x", "a/b.png", "\r", "\n", "\r\n", "\t", ",", ";", "|", "#", "=", "x" * 140_000, "python:os:getpid",
    "[" * 3000, "{" * 3000, "1979-05-27", "1979-05-27T07:32:00Z", "id", "path", "text", "key",
]  # fmt: skip
VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 7, 10**12, 2**63, 10**25, 0.5, -0.0, 1e308, float(2**60), "", "x", "a\x1b[2J", "\x00",
    "1", "a" * 5000, "é", [], [None], [1], ["a", "a"], [[]], {}, {"a": 1}, {"": None}, [0.5] * 40,
]  # fmt: skip
_WORD = re.compile(rb'"[^"\n]*"|[-+.\w]+')


def _place(draw: Draw, content: bytes) -> int:
    return draw(st.integers(0, len(content)))


def _flip(draw: Draw, content: bytes) -> bytes:
    at = _place(draw, content)
    return content[:at] + bytes([draw(st.integers(0, 255))]) + content[at + 1 :]


def _insert(draw: Draw, content: bytes) -> bytes:
    at = _place(draw, content)
    return content[:at] + draw(st.binary(min_size=1, max_size=9)) + content[at:]


def _cut(draw: Draw, content: bytes) -> bytes:
    at = _place(draw, content)
    return content[:at] + content[at + draw(st.integers(1, 40)) :]


def _truncate(draw: Draw, content: bytes) -> bytes:
    return content[: _place(draw, content)]


def _repeat(draw: Draw, content: bytes) -> bytes:
    at, length = _place(draw, content), draw(st.integers(1, 200))
    return content[:at] + content[at : at + length] + content[at:]


def _word(draw: Draw, content: bytes) -> bytes:
    """One word or quoted text replaced, within its quotes or with them."""
    found = list(_WORD.finditer(content[:100_000]))
    if not found:
        return _insert(draw, content)
    one = found[draw(st.integers(0, len(found) - 1))]
    word = draw(st.sampled_from(WORDS)).encode("utf-8", "surrogatepass")
    inside = one[0].startswith(b'"') and draw(st.booleans())
    start, end = (one.start() + 1, one.end() - 1) if inside else one.span()
    return content[:start] + word + content[end:]


def _lines(draw: Draw, content: bytes) -> bytes:
    """A line left out, repeated, moved or emptied."""
    lines = content.splitlines(keepends=True) or [b""]
    a, b = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
    lines[a : a + 1] = draw(st.sampled_from([[], [lines[a]] * 2, [lines[b]], [b"\n"], [lines[a].rstrip(b"\n")]]))
    return b"".join(lines)


def _other_newlines(draw: Draw, content: bytes) -> bytes:
    return content.replace(b"\n", draw(st.sampled_from([b"\r", b"\r\n", b"\n\n", b"\x85", b"\x0b", b""])))


def _recoded(draw: Draw, content: bytes) -> bytes:
    text = content.decode("latin-1")
    return text.encode(draw(st.sampled_from(["utf-16", "utf-16-le", "utf-32", "utf-8-sig", "utf-8"])))


ON_BYTES = (_flip, _insert, _cut, _truncate, _repeat)
ON_TEXT = (*ON_BYTES, _word, _word, _word, _word, _lines, _lines, _other_newlines, _recoded)


def change_bytes(draw: Draw, folder: Path, name: str) -> None:
    """One to three changes of the file ``name``."""
    path = folder / name
    content = path.read_bytes()
    is_text = b"\x00" not in content[:1000]
    for _ in range(draw(st.integers(1, 3))):
        content = draw(st.sampled_from(ON_TEXT if is_text else ON_BYTES))(draw, content)
    path.write_bytes(content)


def places_in(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The place of every value in a nest of mappings and lists."""
    if at:
        yield at
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inside:
        yield from places_in(one, (*at, key))


def changed_value(draw: Draw, whole: Any, others: list[Any]) -> Any:
    """``whole`` with one value replaced or taken out, or a further key."""
    new = deepcopy(whole)
    places = list(places_in(whole))
    at = places[draw(st.integers(0, len(places) - 1))]
    inner = new
    for key in at[:-1]:
        inner = inner[key]
    kind = draw(st.sampled_from(("replace", "replace", "replace", "remove", "add")))
    if kind == "remove":
        del inner[at[-1]]
    elif kind == "add" and isinstance(inner, dict):
        inner[draw(st.sampled_from(["x", "", "kind", "\x1b[2J"]))] = draw(st.sampled_from(others))
    else:
        inner[at[-1]] = draw(st.sampled_from(others))
    return new


def change_config(draw: Draw, folder: Path, name: str) -> None:
    """One value of the artefact's config, with the right digest."""

    def change(config: dict[str, Any]) -> None:
        new = changed_value(draw, dict(config), VALUES)
        config.clear()
        config.update(new)

    edited((folder / name).parent, change)


_ON_ARRAYS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "NaN": lambda one: np.where(np.arange(one.size).reshape(one.shape) == 0, np.nan, one),
    "infinity": lambda one: np.full(one.shape, -np.inf),
    "zeros": np.zeros_like,
    "negative": lambda one: -one.astype(np.float64),
    "huge": lambda one: np.full(one.shape, 1e308),
    "tiny": lambda one: np.full(one.shape, 5e-324),
    "fewer columns": lambda one: one[..., :-1] if one.ndim else one[None, None],
    "fewer rows": lambda one: one[:-1] if one.ndim else one[None],
    "none": lambda one: np.zeros(0),
    "one more dimension": lambda one: one[None],
    "flat": lambda one: one.reshape(-1),
    "transposed": lambda one: one.T.copy(),
    "int8": lambda one: np.nan_to_num(one).astype(np.int8),
    "bool": lambda one: one > 0,
    "half": lambda one: one.astype(np.float16),
    "uint64": lambda one: np.full(one.shape, 2**64 - 1, np.uint64),
}


def change_arrays(draw: Draw, folder: Path, name: str) -> None:
    """One array, or one entry of the metadata, of a safetensors file, with right digests."""
    path = folder / name
    whole = read_tensors(path, DataError)
    arrays, metadata = dict(whole.arrays), dict(whole.metadata)
    if metadata and draw(st.booleans()):
        key = draw(st.sampled_from(sorted(metadata)))
        metadata[key] = draw(st.sampled_from(WORDS)).encode("utf-8", "replace").decode()
        if draw(st.booleans()):
            del metadata[draw(st.sampled_from(sorted(metadata)))]
    else:
        key = draw(st.sampled_from(sorted(arrays)))
        kind = draw(st.sampled_from([*_ON_ARRAYS, "missing", "another name"]))
        old = arrays.pop(key)
        if kind in _ON_ARRAYS:
            arrays[key] = _ON_ARRAYS[kind](old)
        elif kind == "another name":
            arrays[key + "x"] = old
    with_arrays(path, arrays, metadata)


def change_json(draw: Draw, folder: Path, name: str) -> None:
    """One value of a JSON file, or of a line of a JSONL file."""
    path = folder / name
    lines = path.read_text("utf-8").splitlines() if path.suffix == ".jsonl" else [path.read_text("utf-8")]
    at = draw(st.integers(0, len(lines) - 1))
    lines[at] = json.dumps(changed_value(draw, json.loads(lines[at]), [*VALUES, float("nan"), "\ud800"]))
    path.write_text("\n".join(lines) + "\n", "utf-8")


def change_tensors(draw: Draw, folder: Path, name: str) -> None:
    """One array of a safetensors file of another library, which holds no digests."""
    from safetensors.numpy import load_file, save_file

    arrays = load_file(folder / name)
    key = draw(st.sampled_from(sorted(arrays)))
    kind = draw(st.sampled_from([*_ON_ARRAYS, "missing", "another name"]))
    old = arrays.pop(key)
    if kind != "missing":
        arrays[key if kind in _ON_ARRAYS else key + "x"] = _ON_ARRAYS.get(kind, np.asarray)(old)
    save_file({one: np.ascontiguousarray(array) for one, array in arrays.items()}, folder / name, {"format": "pt"})


def change_state(draw: Draw, folder: Path, name: str) -> None:
    """One value of the state of a training run, with the right digest."""
    from stitchkit.training.checkpoints import read_state, save_state

    state = read_state((folder / name).parent)
    save_state((folder / name).parent, changed_value(draw, state, VALUES))

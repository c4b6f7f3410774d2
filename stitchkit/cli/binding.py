"""Inputs of ``bind``: modalities, their tables and encoders as a command line names them, checked before any model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stitchkit.core.errors import InputError

if TYPE_CHECKING:
    from stitchkit.cli.loading import Loading
    from stitchkit.cli.options import Columns, VectorFiles
    from stitchkit.core.anchors import AnchorSet
    from stitchkit.core.embeddings import Embeddings
    from stitchkit.core.items import Items
    from stitchkit.core.roles import Encoder
    from stitchkit.datasets.anchor_tables import AnchorTable
    from stitchkit.fitting.fit_binding import ModalityItems


@dataclass(frozen=True, slots=True)
class ModalityRequest:
    """One modality as the command line names it.

    Parameters
    ----------
    path
        Table of its anchors, or table or folder of its items alone.
    encoder
        Name of its encoder, or vectors of its items.
    text_encoder
        Name of the encoder of its texts.
    has_texts
        True where the table pairs items with texts.
    """

    name: str
    path: Path
    encoder: str | Embeddings
    text_encoder: str
    has_texts: bool
    columns: Columns

    @property
    def table(self) -> AnchorTable:
        """The table of its anchors."""
        return self.columns.of(self.path)

    def count(self) -> int:
        """Number of its items."""
        if self.has_texts:
            return len(self.table.ids_only())
        from stitchkit.cli.loading import ItemsFile

        return len(ItemsFile.open(self.path, None, self.columns))

    def read(self, encoder: Encoder | Embeddings) -> AnchorSet | Items:
        """Its anchors, or its items alone, as its encoders read them."""
        if not self.has_texts:
            from stitchkit.cli.loading import ItemsFile

            return ItemsFile.open(self.path, None, self.columns).read(getattr(encoder, "modality", None))
        return self.table.read_for(getattr(encoder, "modality", None), "text")


@dataclass(frozen=True, slots=True)
class BindingRequest:
    """Every modality of a command line, by name, with the list of texts and the encoder of queries."""

    modalities: Mapping[str, ModalityRequest]
    texts: Sequence[str]
    query: str | None

    @classmethod
    def of(
        cls, named: Sequence[str], encoders: Sequence[str], text_encoders: Sequence[str], texts: Path | None,
        query: str | None, columns: Columns, files: VectorFiles, *, into: Sequence[str] = (),
    ) -> BindingRequest:  # fmt: skip
        """The request, with all that can be checked before an encoder is loaded; ``into`` are modalities there are."""
        from stitchkit.alignment.binding.modalities import check_modality_name
        from stitchkit.cli.pairs import side_called
        from stitchkit.datasets.text_lists import read_text_list
        from stitchkit.encoders import check_encoder_name

        paths = split_named(named, "MODALITY=TABLE")
        if len(paths) < 2 and not into:
            raise InputError(
                f"binding joins at least two modalities; got {len(paths)}. Name each with its table, "
                f"MODALITY=TABLE, or bring one encoder to its texts with 'stitchkit align'."
            )
        names: list[str] = list(into)
        for name in paths:
            check_modality_name(name, names)
            names.append(name)
        sides = by_modality(encoders, paths, "--encoder")
        readers = by_modality(text_encoders, paths, "--text-encoder")
        requests = {}
        for name, path in paths.items():
            place = existing(name, path)
            requests[name] = ModalityRequest(
                name=name,
                path=place,
                encoder=side_called(sides[name], files),
                text_encoder=check_encoder_name(readers[name]),
                has_texts=place.is_file() and columns.of(place).has_texts(),
                columns=columns,
            )
        if query is not None:
            check_encoder_name(query)
        return cls(requests, [] if texts is None else read_text_list(texts), query)

    def plan(self) -> dict[str, Any]:
        """Inputs that would be read."""
        return {
            **{name: f"{one.count()} items of {one.path}" for name, one in self.modalities.items()},
            **({"texts": len(self.texts)} if self.texts else {}),
        }

    def load(self, loading: Loading) -> tuple[dict[str, ModalityItems], Encoder | None]:
        """The modalities with their encoders, each encoder loaded once; and the encoder of queries, if it is named."""
        from stitchkit.fitting.fit_binding import ModalityItems

        loaded: dict[str, Encoder] = {}

        def encoder_of(name: str) -> Encoder:
            if name not in loaded:
                loaded[name] = loading.encoder(name)
            return loaded[name]

        modalities = {}
        for name, one in self.modalities.items():
            side = encoder_of(one.encoder) if isinstance(one.encoder, str) else one.encoder
            modalities[name] = ModalityItems(side, encoder_of(one.text_encoder), one.read(side))
        return modalities, None if self.query is None else encoder_of(self.query)


def split_named(named: Sequence[str], form: str) -> dict[str, str]:
    """``NAME=VALUE`` words as a mapping; a word without a name, and a name that stands twice, are errors."""
    named_values: dict[str, str] = {}
    for word in named:
        name, equals, value = word.partition("=")
        if not equals or not name or not value:
            raise InputError(f"{word!r} is not {form}. Write for example {form.split('=')[0].lower()}=value.")
        if name in named_values:
            raise InputError(f"{name!r} is named twice. Keep one.")
        named_values[name] = value
    return named_values


def by_modality(values: Sequence[str], names: Mapping[str, Any], option: str) -> dict[str, str]:
    """The value of each modality: of ``NAME=VALUE`` words, or the one word without a name, which is for the rest."""
    named_values, rest = {}, []
    for word in values:
        name, equals, value = word.partition("=")
        if equals and name in names:
            if name in named_values:
                raise InputError(f"{option} is given twice for {name!r}. Keep one.")
            named_values[name] = value
        else:
            rest.append(word)
    if len(rest) > 1:
        raise InputError(
            f"{option} is given {len(rest)} times for all modalities ({rest[0]}, {rest[1]}). Say of which one each is: "
            f"{option} {next(iter(names))}={rest[0]}."
        )
    lacking = [name for name in names if name not in named_values]
    if lacking and not rest:
        raise InputError(f"{lacking[0]!r} has no {option}. Pass {option} {lacking[0]}=NAME, or one for all.")
    return {name: named_values.get(name) or rest[0] for name in names}


def existing(name: str, path: str) -> Path:
    """The table or folder of a modality; that there is none is the caller's mistake."""
    if not Path(path).exists():
        raise InputError(f"there is no table or folder {path} of {name!r}. Check the path.")
    return Path(path)

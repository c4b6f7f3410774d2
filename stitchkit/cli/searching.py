"""Galleries that ``stitchkit search`` looks in: a bound folder, a stitched one, or a file of vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from stitchkit.cli import options as o
from stitchkit.core.errors import InputError, UnknownNameError
from stitchkit.core.escaping import escape

if TYPE_CHECKING:
    from stitchkit.alignment.binding.bound_space import BoundSpace
    from stitchkit.cli.loading import ItemsFile, Loading
    from stitchkit.core.alignments import Alignment
    from stitchkit.core.embeddings import Embeddings
    from stitchkit.core.items import Items
    from stitchkit.core.roles import Encoder
    from stitchkit.stitching import StitchedModel

QUERIES = ".txt"  # ending of a file of texts, one a line


@dataclass(frozen=True, slots=True, kw_only=True)
class Gallery:
    """Items that are searched, and the text encoder."""

    items: Annotated[
        list[str] | None,
        Option("--items", metavar="[NAME=]PATH",
               help="Items to search: a folder of images, a table, a .txt, an image or a file of vectors; of a bound "
                    "folder NAME=PATH for each modality (default: its index). May be repeated."),
    ] = None  # fmt: skip
    column: o.Column = None
    modalities: Annotated[
        list[str] | None,
        Option("--modality", metavar="NAME", help="Search only this modality of a bound folder; may be repeated."),
    ] = None
    text: Annotated[
        str | None,
        Option("--text", metavar="ENCODER",
               help="The text encoder: needed with a file of vectors; of a folder, if it has moved."),
    ] = None  # fmt: skip
    center: Annotated[
        str | None,
        Option("--center", metavar="global|modality",
               help="Of a bound folder, global (the default): modalities are told apart; modality: about each "
                    "modality's own mean, for one class across modalities."),
    ] = None  # fmt: skip

    def open(self, path: str, columns: o.Columns, vectors: o.VectorFiles) -> ItemsFile | Embeddings:
        """The items at ``path``, opened but not read; or their vectors."""
        from stitchkit.cli.loading import ItemsFile
        from stitchkit.cli.paths import existing_path
        from stitchkit.datasets.image_files import file_and_choice

        existing_path(file_and_choice(path)[0], "file or folder of items")
        file = ItemsFile.or_vectors(Path(path), self.column, columns, vectors)
        if isinstance(file, ItemsFile):
            file.check()
        return file

    def one(self, path: Path, what: str) -> str:
        """The only path of items of ``what`` that has one modality."""
        if self.modalities:
            raise InputError(f"--modality is of a bound folder; {path} is {what}. Leave it out.")
        if len(self.items or ()) != 1:
            count = len(self.items or ())
            raise InputError(f"{path} is {what}: pass the items to search with one --items PATH; got {count}.")
        return (self.items or [""])[0]


@dataclass(frozen=True, slots=True)
class SearchInputs:
    """All that a search needs, loaded.

    Parameters
    ----------
    space
        First argument of :func:`stitchkit.search`.
    text
        The text encoder.
    gallery
        Embeddings by modality.
    items
        Items by modality, where they were read and not their vectors alone.
    notes
        Remarks on the gallery.
    """

    space: BoundSpace | Alignment | None
    text: Encoder
    gallery: Mapping[str, Embeddings]
    items: Mapping[str, Items] = field(default_factory=dict)
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class BoundSource:
    """Modalities of a bound folder."""

    folder: Path
    space: BoundSpace
    gallery: Mapping[str, ItemsFile | Embeddings]
    text: str | None
    origins: Mapping[str, str]
    lacking: tuple[str, ...]  # modalities without items

    @classmethod
    def of(
        cls, folder: Path, only: str | None, gallery: Gallery, columns: o.Columns, vectors: o.VectorFiles
    ) -> BoundSource:
        """The folder's modalities, of which ``only`` may be one, as far as they can be checked without a model."""
        from stitchkit.persistence.bound_folders import index_of, read_bound, read_index
        from stitchkit.text_search.search import centring_of

        space = read_bound(folder)
        centring_of(space, gallery.center)
        names = [only] if only else list(gallery.modalities or space.names)
        for name in gallery.modalities or ():
            if name not in (names if only else space.names):
                raise UnknownNameError.of("modality of this bound folder", name, names if only else space.names)
        paths = _items_by_name(gallery.items or (), names, only)
        files: dict[str, ItemsFile | Embeddings] = {}
        origins = {}
        for name in names:
            index = index_of(folder, name)
            if name in paths:
                files[name], origins[name] = gallery.open(paths[name], columns, vectors), paths[name]
                _check_readable(space, name, files[name])
            elif index.is_file():
                files[name], origins[name] = read_index(folder, space, name), f"index/{index.name}"
        lacking = tuple(name for name in names if name not in files)
        if lacking and (gallery.modalities or only or not files):
            raise InputError(
                f"{folder} has no index of {lacking[0]!r}, so there is nothing to search. Name its items with --items "
                f"{lacking[0]}=PATH."
            )
        if gallery.text is None and not space.text_encoders.get(space.text):
            raise InputError(f"{folder} does not name its text encoder, so no text can be read. Name it with --text.")
        return cls(folder, space, files, gallery.text, origins, lacking)

    def plan(self) -> dict[str, Any]:
        """Inputs that would be loaded."""
        return {"bound": self.folder, **{name: len(file) for name, file in self.gallery.items()}}

    def load(self, loading: Loading) -> SearchInputs:
        """The gallery by its encoders, and the text encoder."""
        from stitchkit.alignment.binding.modalities import TEXT
        from stitchkit.cli.loading import ItemsFile
        from stitchkit.evaluation.fitted_pairs import audit_items

        if self.text is None:
            text = loading.stitched_model(self.folder / TEXT).require_encoder()
        else:
            text = loading.encoder(self.text)
        vectors: dict[str, Embeddings] = {}
        items, notes = {}, []
        for name, file in self.gallery.items():
            if isinstance(file, ItemsFile):
                encoder = loading.stitched_model(self.folder / name).require_encoder()
                items[name] = file.read(encoder.modality)
                vectors[name] = loading.embed(encoder, items[name])
            else:
                vectors[name] = file
            fitted = audit_items(self.space.alignment(name), items.get(name, vectors[name]), judged=False)
            notes += [_in_sample(name, note) for note in fitted]
        if self.lacking:
            notes.append(f"not searched, for want of items or an index: {', '.join(self.lacking)}")
        return SearchInputs(self.space, text, vectors, items, notes)


@dataclass(frozen=True, slots=True)
class StitchedSource:
    """A stitched folder from an encoder of items to a text encoder."""

    folder: Path
    stored: StitchedModel
    target: str
    file: ItemsFile | Embeddings
    text: str | None
    origins: Mapping[str, str]

    @classmethod
    def of(cls, folder: Path, gallery: Gallery, columns: o.Columns, vectors: o.VectorFiles) -> StitchedSource:
        """The folder with its items, as far as they can be checked without a model."""
        from stitchkit.cli.loading import ItemsFile
        from stitchkit.stitching import read_stitched
        from stitchkit.text_search.search import ITEMS, centring_of

        read_stitched(folder, vectors=True)  # refuses other kinds of folders before it asks for items
        path = gallery.one(folder, "a stitched folder")
        file = gallery.open(path, columns, vectors)
        config, stored = read_stitched(folder, vectors=not isinstance(file, ItemsFile))
        centring_of(stored.alignment, gallery.center)
        target = str(config.get("target_encoder") or "")
        if not target and gallery.text is None:
            raise InputError(f"{folder} does not name its target encoder, so no text can be read. Name it with --text.")
        return cls(folder, stored, target, file, gallery.text, {ITEMS: path})

    def plan(self) -> dict[str, Any]:
        """Inputs that would be loaded."""
        return {"stitched": self.folder, "items": len(self.file)}

    def load(self, loading: Loading) -> SearchInputs:
        """The gallery by the source encoder, and the target encoder."""
        from stitchkit.cli.loading import ItemsFile
        from stitchkit.core.roles import check_text
        from stitchkit.evaluation.fitted_pairs import audit_items
        from stitchkit.text_search.search import ITEMS

        named = self.text is not None
        text = loading.encoder(str(self.text)) if named else loading.folder_encoder(self.target, self.folder)
        check_text(text)
        items = {}
        if isinstance(self.file, ItemsFile):
            encoder = loading.stitched_model(self.folder).require_encoder()
            items[ITEMS] = self.file.read(encoder.modality)
            vectors = loading.embed(encoder, items[ITEMS])
        else:
            vectors = self.file
        notes = audit_items(self.stored.alignment, items.get(ITEMS, vectors), judged=False)
        return SearchInputs(
            self.stored.alignment, text, {ITEMS: vectors}, items, [_in_sample(ITEMS, one) for one in notes]
        )


@dataclass(frozen=True, slots=True)
class VectorsSource:
    """A file of vectors in the space of a text encoder, or of the other half of its CLIP-like pair."""

    path: Path
    vectors: Embeddings
    text: str
    origins: Mapping[str, str]

    @classmethod
    def of(cls, path: Path, gallery: Gallery, vectors: o.VectorFiles) -> VectorsSource:
        """The file, read."""
        from stitchkit.encoders import check_encoder_name
        from stitchkit.text_search.search import ITEMS, centring_of

        if gallery.items or gallery.modalities:
            flag = "--items" if gallery.items else "--modality"
            raise InputError(f"{path} holds the vectors that are searched. Leave {flag} out.")
        centring_of(None, gallery.center)
        if gallery.text is None:
            raise InputError(f"{path} holds vectors, which are found by the texts of an encoder. Name it with --text.")
        check_encoder_name(gallery.text)
        return cls(path, vectors.read(path), gallery.text, {ITEMS: str(path)})

    def plan(self) -> dict[str, Any]:
        """Inputs that would be loaded."""
        return {"vectors": self.path, "items": len(self.vectors), "text": self.text}

    def load(self, loading: Loading) -> SearchInputs:
        """The vectors, and the text encoder; of a pair also its other half, whose fingerprint is that of the file."""
        from stitchkit.core.roles import check_text
        from stitchkit.encoders.clip_pairs import clip_alignment
        from stitchkit.text_search.search import ITEMS

        text, space = loading.encoder(self.text), self.vectors.space
        check_text(text)
        alignment = None
        if not text.space.accepts(space) and getattr(text, "pair", None) and ":" in space.name:
            alignment = clip_alignment(loading.folder_encoder(space.name, self.path), text)
        elif not text.space.accepts(space):
            text.space.require(space, f"the text encoder {escape(repr(self.text))}")
        return SearchInputs(alignment, text, {ITEMS: self.vectors})


Source = BoundSource | StitchedSource | VectorsSource


def source_of(path: Path, gallery: Gallery, columns: o.Columns, vectors: o.VectorFiles) -> Source:
    """The gallery that FOLDER and the options name, as far as it can be checked without a model."""
    from stitchkit.cli.paths import existing_path
    from stitchkit.encoders import check_encoder_name, is_vectors_file
    from stitchkit.storage.folders import check_artefact, read_folder

    existing_path(path, "folder or file of vectors")
    if gallery.text is not None:
        check_encoder_name(gallery.text)
    if path.is_file():
        if not is_vectors_file(str(path)):
            raise InputError(f"{path} is neither a folder of stitchkit nor a file of vectors. Name one of these.")
        return VectorsSource.of(path, gallery, vectors)
    config, _ = read_folder(check_artefact(path))
    if config.get("kind") == "bound":
        return BoundSource.of(path, None, gallery, columns, vectors)
    if _is_modality(path):
        return BoundSource.of(path.resolve().parent, path.resolve().name, gallery, columns, vectors)
    return StitchedSource.of(path, gallery, columns, vectors)


def texts_called(words: Sequence[str]) -> tuple[str, ...]:
    """The texts of a command line, each as it is, or the lines of a ``.txt`` file."""
    from stitchkit.cli.paths import existing_path
    from stitchkit.datasets.rows import lines_of, read_text
    from stitchkit.text_search.search import check_queries

    texts: list[str] = []
    for one in words:
        if one.lower().endswith(QUERIES):
            file = existing_path(one, "file of texts")
            lines = [line.strip() for line in lines_of(read_text(file, "file of texts"))]
            texts += check_queries(lines, "line", str(file))
        else:
            texts.append(one)
    return check_queries(texts)


def _is_modality(path: Path) -> bool:
    """True for the folder of a modality in a bound folder, whose centres are those of the whole."""
    from stitchkit.storage.folders import is_foreign, read_folder

    above = path.resolve().parent
    if is_foreign(above):
        return False
    config, _ = read_folder(above)
    return config.get("kind") == "bound" and any(one["name"] == path.name for one in config["modalities"])


def _items_by_name(values: Sequence[str], names: Sequence[str], only: str | None) -> dict[str, str]:
    """Paths by modality, of ``NAME=PATH``; of one modality the path alone will do."""
    paths: dict[str, str] = {}
    for value in values:
        name, equals, path = value.partition("=")
        if not (equals and name in names):
            if only is None and not (len(names) == 1 and not equals):
                example = f"--items {names[0]}=PATH"
                raise InputError(f"--items {value} names none of the modalities {', '.join(names)}. Write {example}.")
            name, path = names[0], value
        if name in paths:
            raise InputError(f"--items names the modality {name!r} twice. Give one folder, table or file for each.")
        paths[name] = path
    return paths


def _check_readable(space: BoundSpace, name: str, file: ItemsFile | Embeddings) -> None:
    from stitchkit.cli.loading import ItemsFile

    if isinstance(file, ItemsFile) and not space.modality(name).encoder:
        raise InputError(
            f"the modality {name!r} was bound by its vectors alone, so no encoder reads its items. Give a file of "
            f"their vectors: --items {name}=FILE."
        )


def _in_sample(name: str, note: str) -> str:
    from stitchkit.cli.scoring import LEAKAGE

    return f"{name}: {note.removeprefix(LEAKAGE)}, whose similarities are therefore in-sample"

"""Options of commands as records: those that commands share, each declared once, and their flattening for typer."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin, get_type_hints

import typer
from typer import Argument, Option

from stitchkit.core.errors import InputError
from stitchkit.core.least_patients import MIN_POSITIVES, REPLICATES
from stitchkit.solvers import SOLVERS

if TYPE_CHECKING:
    import numpy as np

    from stitchkit.cli.loading import ItemsFile
    from stitchkit.core.embeddings import Embeddings
    from stitchkit.datasets.anchor_tables import AnchorTable


DANGEROUS = "Dangerous options"  # the last panel of a command's help
COMPUTE, COLUMNS, EVALUATION, OUTPUT = "Where and how it runs", "Columns of the table", "Evaluation", "Output"


class Form(StrEnum):
    """Format of printed results."""

    text = "text"
    md = "md"
    json = "json"


class OnError(StrEnum):
    """Treatment of damaged items."""

    raising = "raise"
    skip = "skip"


Seed = Annotated[  # at most what core/seeds.py allows
    int, Option("--seed", min=0, max=2**32 - 1, help="Seed of every random draw.", rich_help_panel=COMPUTE)
]


def existing_items(value: Path | None) -> Path | None:
    """``value`` if that file or folder is there, whatever frame is chosen behind it (``scan.dcm#frame=3``)."""
    from stitchkit.datasets.image_files import file_and_choice

    if value is not None and not os.path.exists(file_and_choice(value)[0]):
        raise typer.BadParameter(f"path {str(value)!r} does not exist.")
    return value


def existing_anchors(value: Path | None) -> Path | None:
    """The table of anchors at ``value`` if it is there, or that of the shipped set of this name."""
    if value is None:
        return None
    from stitchkit.datasets.anchor_sets import anchor_table

    table = anchor_table(value)
    if not table.exists():
        raise typer.BadParameter(f"path {str(value)!r} does not exist.")
    return table


@dataclass(frozen=True, slots=True, kw_only=True)
class Compute:
    """Device and precision of encoders, the store of their embeddings, and consent to run code."""

    batch_size: Annotated[
        int, Option("--batch-size", min=1, help="Items a batch; halved when memory runs out.", rich_help_panel=COMPUTE)
    ] = 32
    store: Annotated[
        str,
        Option("--store", metavar="DIR|none", rich_help_panel=COMPUTE,
               help="Folder that keeps embeddings; auto: the cache; none: keep nothing."),
    ] = "auto"  # fmt: skip
    device: Annotated[str, Option("--device", help="auto, cpu, cuda, cuda:1 or mps.", rich_help_panel=COMPUTE)] = "auto"
    dtype: Annotated[
        str, Option("--dtype", help="Encoders compute in float32, float16 or bfloat16.", rich_help_panel=COMPUTE)
    ] = "float32"
    offline: Annotated[bool, Option("--offline", help="Forbid every call to a model hub.", rich_help_panel=COMPUTE)] = (
        False
    )
    trust_remote_code: Annotated[
        bool,
        Option("--trust-remote-code", rich_help_panel=DANGEROUS,
               help="Run a hub repository's Python code; only with @ and a full commit."),
    ] = False  # fmt: skip
    trust_python: Annotated[
        list[str] | None,
        Option("--trust-python", metavar="NAME", rich_help_panel=DANGEROUS,
               help="Run this python: name where a folder or a study names it, exactly as written there; may be "
                    "repeated."),
    ] = None  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Columns of a table of anchors or items, where they are not the usual ones."""

    source_column: Annotated[
        str | None,
        Option("--source-column", rich_help_panel=COLUMNS,
               help="What the source encoder reads; default: path, or text."),
    ] = None  # fmt: skip
    target_column: Annotated[
        str | None,
        Option("--target-column", rich_help_panel=COLUMNS,
               help="What the target encoder reads; default: the source column if it reads the same, else path or "
                    "text."),
    ] = None  # fmt: skip
    id_column: Annotated[
        str | None, Option("--id-column", help="Unique ids; default: id, or the image paths.", rich_help_panel=COLUMNS)
    ] = None
    groups: Annotated[
        str | None,
        Option("--groups", "--patient-column", rich_help_panel=COLUMNS,
               help="Patient (lesion, site) of each row; default: patient or patient_id if there is one."),
    ] = None  # fmt: skip
    root: Annotated[
        Path | None,
        Option("--root", exists=True, rich_help_panel=COLUMNS,
               help="Folder the image paths are relative to; default: the table's."),
    ] = None  # fmt: skip

    def of(self, path: Path) -> AnchorTable:
        """The table of anchors at ``path`` with these columns."""
        from stitchkit.datasets.anchor_tables import AnchorTable

        return AnchorTable(path, self.source_column, self.target_column, self.id_column, self.groups, self.root)

    def of_optional(self, path: Path | None, *, beside: bool = False) -> AnchorTable | None:
        """The table of anchors, or None if none was given; a column of no table is refused.

        ``beside`` is for commands that read another table too, whose ids and patients the same options name.
        """
        if path is not None:
            return self.of(path)
        columns = {"--source-column": self.source_column, "--target-column": self.target_column}
        if not beside:
            columns |= {"--id-column": self.id_column, "--groups": self.groups}
        if flags := [flag for flag, column in columns.items() if column is not None]:
            raise InputError(f"{flags[0]} names a column of the anchors' table, and none is given. Pass --anchors CSV.")
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorFiles:
    """Ids and consent for files of vectors that other tools wrote."""

    ids: Annotated[
        str | None,
        Option("--ids", metavar="TABLE[:COLUMN]", rich_help_panel=COLUMNS,
               help="Table with the ids of the rows of .npy, .npz or .parquet files, in their order; and patients."),
    ] = None  # fmt: skip
    unstamped: Annotated[
        bool,
        Option("--unstamped", rich_help_panel=DANGEROUS,
               help="Take such files though they do not say which model made them; or stamp them: stitchkit import."),
    ] = False  # fmt: skip

    def read(self, path: str | Path) -> Embeddings:
        """The vectors in a file; that there is none is the caller's mistake."""
        from stitchkit.cli.paths import existing_path
        from stitchkit.datasets.vector_files import STAMPED, read_vectors

        file = existing_path(path, "file of vectors")
        if file.suffix.lower() == STAMPED:  # whose ids are its own; the option is of the other file
            return read_vectors(file)
        return read_vectors(file, ids=self.ids, unstamped=self.unstamped)

    def read_pool(self, path: Path) -> Embeddings:
        """The vectors of a pool, whose ids nobody needs."""
        from stitchkit.datasets.vector_files import read_pool_vectors

        return read_pool_vectors(path, unstamped=self.unstamped)

    def patients(self, ids: np.ndarray) -> np.ndarray | None:
        """The patient (n,) of each of ``ids``, where the table of ids knows all of them."""
        from stitchkit.datasets.vector_files import patients_of_ids

        return None if self.ids is None else patients_of_ids(self.ids, ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModalityFiles(VectorFiles):
    """Files of vectors of single modalities of a fused head."""

    modality_vectors: Annotated[
        list[str] | None,
        Option("--vectors", metavar="NAME=FILE", rich_help_panel=COLUMNS,
               help="Vectors of this modality of a fused head, by id; may be repeated."),
    ] = None  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """Solver of a map, and seed of its folds."""

    solver: Annotated[str, Option("--solver", help=f"auto, or one of {', '.join(SOLVERS)}.", metavar="NAME")] = "auto"
    seed: Seed = 0


AllowLeakage = Annotated[
    bool,
    Option("--allow-leakage", rich_help_panel=DANGEROUS,
           help="Go on though a patient or an item is both anchor and test; the result says so."),
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Reading of labels, and settings of an evaluation."""

    label_column: Annotated[
        str | None,
        Option("--label-column", rich_help_panel=EVALUATION,
               help="The one column that names each item's only class, instead of a column a class."),
    ] = None  # fmt: skip
    classes: Annotated[
        list[str] | None, Option("--class", help="Judge only this class; may be repeated.", rich_help_panel=EVALUATION)
    ] = None
    metadata: Annotated[
        str,
        Option("--metadata", metavar="COLUMN,COLUMN", rich_help_panel=EVALUATION,
               help="Columns of the labels that the metadata-only baseline may use."),
    ] = ""  # fmt: skip
    min_positives: Annotated[
        int,
        Option("--min-positives", min=1, rich_help_panel=EVALUATION,
               help="Classes with fewer positive or negative patients (items, if patients are not known) are not "
                    "judged."),
    ] = MIN_POSITIVES  # fmt: skip
    replicates: Annotated[
        int,
        Option("--replicates", min=1, rich_help_panel=EVALUATION,
               help="Resamples of patients, where an interval is made by resampling."),
    ] = REPLICATES  # fmt: skip
    uncertain: Annotated[
        str,
        Option("--uncertain", metavar="POLICY", rich_help_panel=EVALUATION,
               help="What the label -1 means: ignore, positive, negative or error."),
    ] = "error"  # fmt: skip
    allow_leakage: AllowLeakage = False

    @property
    def metadata_columns(self) -> tuple[str, ...]:
        """The columns that ``--metadata`` lists."""
        return tuple(one.strip() for one in self.metadata.split(",") if one.strip())


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Calibration items, the method of calibration and the rule of thresholds."""

    calibrate: Annotated[
        Path | None,
        Option("--calibrate", metavar="CSV|FOLDER", exists=True, rich_help_panel=EVALUATION,
               help="Scores of labelled items, neither anchors nor test, that give probabilities and thresholds; or "
                    "what 'stitchkit calibrate' wrote."),
    ] = None  # fmt: skip
    calibration: Annotated[
        str | None,
        Option("--calibration", metavar="METHOD", rich_help_panel=EVALUATION,
               help="platt, temperature (the default with --multiclass), isotonic, or none."),
    ] = None  # fmt: skip
    threshold: Annotated[
        str | None,
        Option("--threshold", metavar="RULE", rich_help_panel=EVALUATION,
               help="youden (the default), sensitivity=0.9 or another share, or none."),
    ] = None  # fmt: skip
    multiclass: Annotated[
        bool,
        Option("--multiclass", rich_help_panel=EVALUATION,
               help="Exactly one class applies: accuracy, balanced accuracy and F1 of the best one too."),
    ] = False  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Form of the output, and whether files are written; with typer's context of the running command."""

    ctx: typer.Context
    dry_run: Annotated[
        bool, Option("--dry-run", help="Say what would be done, and do nothing.", rich_help_panel=OUTPUT)
    ] = False
    overwrite: Annotated[bool, Option("--overwrite", help="Replace an earlier output.", rich_help_panel=OUTPUT)] = False
    json: Annotated[bool, Option("--json", help="One JSON document on stdout.", rich_help_panel=OUTPUT)] = False
    quiet: Annotated[
        bool,
        Option("--quiet", "-q", rich_help_panel=OUTPUT,
               help="No progress on stderr; notes, errors and estimates of minutes stay."),
    ] = False  # fmt: skip
    verbose: Annotated[
        bool,
        Option(
            "--verbose",
            "-v",
            help="All candidates of a fit, tracebacks, and what libraries say.",
            rich_help_panel=OUTPUT,
        ),
    ] = False


AnchorTableArgument = Annotated[
    Path,
    Argument(
        metavar="ANCHORS", help="Table of anchor pairs, one a row, or a shipped set by name.", callback=existing_anchors
    ),
]
TestTable = Annotated[
    Path | None,
    Option("--test", metavar="CSV", exists=True,
           help="Table of held-out items or pairs, in the anchors' columns: none of its patients may be an anchor's; "
                "diagnose and gate judge these."),
]  # fmt: skip
_ANCHORS = Option(
    "--anchors", metavar="CSV|NAME", callback=existing_anchors,
    help="Table of anchor pairs, one a row, or a shipped set by name.",
)  # fmt: skip
Anchors = Annotated[Path, _ANCHORS]
OptionalAnchors = Annotated[Path | None, _ANCHORS]
Column = Annotated[
    str | None,
    Option("--column", help="What is read of a CSV of items; default: path, or text.", rich_help_panel=COLUMNS),
]
ITEMS = "A folder of images, a table, a .txt, an image, or a file of vectors"


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemsToScore:
    """Items to score, and the column of a table that holds them."""

    items: Annotated[Path, Option("--items", help=f"{ITEMS}.", callback=existing_items)]
    column: Column = None
    raw: Annotated[
        bool, Option("--raw", help="Scores as the head gives them, also of a folder that has a calibration.")
    ] = False

    def open(self, columns: Columns, vectors: VectorFiles) -> ItemsFile | Embeddings:
        """The items, opened but not read; or their vectors."""
        from stitchkit.cli.loading import ItemsFile

        return ItemsFile.or_vectors(self.items, self.column, columns, vectors)


OptionalItems = Annotated[
    Path | None, Option("--items", help=f"{ITEMS}, for a stitched folder to score.", callback=existing_items)
]
LabelTable = Annotated[Path, Option("--labels", help="Table of labels, one item a row.", metavar="CSV", exists=True)]
Folds = Annotated[int, Option("--folds", min=2, help="Folds of patients.", rich_help_panel=EVALUATION)]
Format = Annotated[
    Form,
    Option("--format", help="What is printed; md: the tables as Markdown, json: as --json.", rich_help_panel=OUTPUT),
]
JsonOut = Annotated[Path | None, Option("--out", help="Also write the JSON document to this file.")]
_OUT_FOLDER = Option("--out", help="Folder to write.")
OutFolder = Annotated[Path, _OUT_FOLDER]
OptionalOutFolder = Annotated[Path | None, _OUT_FOLDER]
FolderEncoder = Annotated[
    str | None,
    Option("--encoder", metavar="NAME", help="The folder's source encoder, if it has moved."),
]
VectorsOut = Annotated[Path, Option("--out", help="The .safetensors file to write.")]
SourceSide = Annotated[
    str, Argument(metavar="SOURCE", help="An encoder, or a file of vectors: .safetensors, .npy, .npz or .parquet.")
]
TargetSide = Annotated[str, Argument(metavar="TARGET", help="The same for the target space; files are paired by id.")]
FolderSource = Annotated[
    str | None, Argument(metavar="[SOURCE]", help="An encoder or a file of vectors; default: the folder's own encoder.")
]
FolderTarget = Annotated[str | None, Argument(metavar="[TARGET]", help="The same for the target space.")]


@dataclass(frozen=True, slots=True)
class Subset:
    """Fields of a record that a command has; the others keep their defaults."""

    names: tuple[str, ...]
    kept: bool

    def __contains__(self, name: str) -> bool:
        return (name in self.names) is self.kept


def only(*names: str) -> Subset:
    """The fields ``names`` of a record and no other, in ``Annotated[Record, only(...)]``."""
    return Subset(names, kept=True)


def without(*names: str) -> Subset:
    """All fields of a record but ``names``, in ``Annotated[Record, without(...)]``."""
    return Subset(names, kept=False)


def flat(command: Callable[..., None]) -> Callable[..., None]:
    """``command`` as typer reads it: a parameter that is a record becomes the options of the record's fields.

    Parameters
    ----------
    command
        Its annotations are types, ``Annotated`` with typer's own, or records: dataclasses with such fields.
    """
    options: list[inspect.Parameter] = []
    records: dict[str, tuple[Any, list[str]]] = {}
    for name, parameter in inspect.signature(command, eval_str=True).parameters.items():
        record, *extras = get_args(parameter.annotation) if _is_annotated(parameter) else [parameter.annotation]
        if not is_dataclass(record):
            options.append(parameter.replace(kind=parameter.KEYWORD_ONLY))
            continue
        hints, subset = get_type_hints(record, include_extras=True), next(iter(extras), without())
        shown = [field for field in fields(record) if field.name in subset]
        records[name] = record, [field.name for field in shown]
        options += [_parameter(field.name, hints[field.name], field.default) for field in shown]

    @functools.wraps(command)
    def call(**values: Any) -> None:
        for name, (record, names) in records.items():
            values[name] = record(**{one: values.pop(one) for one in names})
        command(**values)

    options.sort(key=_is_dangerous)
    call.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    call.__annotations__ = {option.name: option.annotation for option in options}
    return call


def _is_annotated(parameter: inspect.Parameter) -> bool:
    return get_origin(parameter.annotation) is Annotated


def _is_dangerous(option: inspect.Parameter) -> bool:
    return any(getattr(extra, "rich_help_panel", None) == DANGEROUS for extra in get_args(option.annotation)[1:])


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    """A field as a parameter of the command; without a default it must be given."""
    usual = inspect.Parameter.empty if default is MISSING else default
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=usual, annotation=annotation)

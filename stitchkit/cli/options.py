"""The options that commands share, each declared once."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

from typer import Option

from stitchkit.solvers import SOLVERS

COMPUTE, TABLES, JUDGE, TALK = "Where and how it runs", "Columns of the table", "Evaluation", "Output"
DANGEROUS = "Dangerous options"


class Form(StrEnum):
    """Format of printed results."""

    text = "text"
    md = "md"
    json = "json"


class OnError(StrEnum):
    """Treatment of damaged items."""

    raising = "raise"
    skip = "skip"


Device = Annotated[str, Option("--device", help="auto, cpu, cuda, cuda:1 or mps.", rich_help_panel=COMPUTE)]
Dtype = Annotated[
    str, Option("--dtype", help="Encoders compute in float32, float16 or bfloat16.", rich_help_panel=COMPUTE)
]
Offline = Annotated[bool, Option("--offline", help="Forbid every call to a model hub.", rich_help_panel=COMPUTE)]
BatchSize = Annotated[
    int, Option("--batch-size", min=1, help="Items a batch; halved when memory runs out.", rich_help_panel=COMPUTE)
]
Store = Annotated[
    str,
    Option("--store", metavar="DIR|none", rich_help_panel=COMPUTE,
           help="Folder that keeps embeddings; auto: the cache; none: keep nothing."),
]  # fmt: skip
OnErrorOption = Annotated[
    OnError,
    Option("--on-error", rich_help_panel=COMPUTE,
           help="raise: a damaged item ends the work; skip: it is left out and listed in OUT's .left_out.csv."),
]  # fmt: skip
Seed = Annotated[int, Option("--seed", help="Of every random draw.", rich_help_panel=COMPUTE)]

Format = Annotated[
    Form, Option("--format", help="What is printed; md: the tables as Markdown, json: as --json.", rich_help_panel=TALK)
]
Json = Annotated[bool, Option("--json", help="One JSON document on stdout.", rich_help_panel=TALK)]
Quiet = Annotated[
    bool,
    Option("--quiet", "-q", help="No progress and no talk on stderr; notes and errors stay.", rich_help_panel=TALK),
]
Verbose = Annotated[
    bool, Option("--verbose", "-v", help="Show tracebacks and what libraries say.", rich_help_panel=TALK)
]
DryRun = Annotated[bool, Option("--dry-run", help="Say what would be done, and do nothing.", rich_help_panel=TALK)]
Overwrite = Annotated[bool, Option("--overwrite", help="Replace an earlier output.", rich_help_panel=TALK)]

Trust = Annotated[
    bool,
    Option("--trust-remote-code", rich_help_panel=DANGEROUS,
           help="Run a hub repository's Python code; only with @ and a full commit."),
]  # fmt: skip
TrustPython = Annotated[
    list[str] | None,
    Option("--trust-python", metavar="NAME", rich_help_panel=DANGEROUS,
           help="Run this python: name where a folder or a study names it, exactly as written there; may be repeated."),
]  # fmt: skip
AllowLeakage = Annotated[
    bool,
    Option("--allow-leakage", rich_help_panel=DANGEROUS,
           help="Go on though a patient or an item is both anchor and test; the result says so."),
]  # fmt: skip

Anchors = Annotated[Path, Option("--anchors", help="Table of anchor pairs, one a row.", metavar="CSV", exists=True)]
MaybeAnchors = Annotated[
    Path | None, Option("--anchors", help="Table of anchor pairs, one a row.", metavar="CSV", exists=True)
]
PoolSource = Annotated[
    Path | None,
    Option("--pool-source", metavar="ITEMS|FILE", exists=True,
           help="Few anchors: unpaired items for SOURCE, or a .safetensors file of their embeddings."),
]  # fmt: skip
PoolTarget = Annotated[
    Path | None, Option("--pool-target", metavar="ITEMS|FILE", exists=True, help="The same for TARGET.")
]
Column = Annotated[
    str | None,
    Option("--column", help="What is read of a CSV of items; default: path, or text.", rich_help_panel=TABLES),
]
SourceColumn = Annotated[
    str | None,
    Option("--source-column", help="What the source encoder reads; default: path, or text.", rich_help_panel=TABLES),
]
TargetColumn = Annotated[
    str | None,
    Option("--target-column", rich_help_panel=TABLES,
           help="What the target encoder reads; default: the source column if it reads the same, else path or text."),
]  # fmt: skip
IdColumn = Annotated[
    str | None, Option("--id-column", help="Unique ids; default: id, or the image paths.", rich_help_panel=TABLES)
]
Groups = Annotated[
    str | None,
    Option("--groups", "--patient-column", rich_help_panel=TABLES,
           help="Patient (lesion, site) of each row; default: patient or patient_id if there is one."),
]  # fmt: skip
Root = Annotated[
    Path | None,
    Option("--root", exists=True, rich_help_panel=TABLES,
           help="Folder the image paths are relative to; default: the table's."),
]  # fmt: skip
Solver = Annotated[str, Option("--solver", help=f"auto, or one of {', '.join(SOLVERS)}.", metavar="NAME")]

Labels = Annotated[Path, Option("--labels", help="Table of labels, one item a row.", metavar="CSV", exists=True)]
MaybeLabels = Annotated[
    Path | None,
    Option("--labels", metavar="CSV", exists=True, rich_help_panel=JUDGE,
           help="Table of labels: also evaluate the scores."),
]  # fmt: skip
LabelColumn = Annotated[
    str | None,
    Option("--label-column", rich_help_panel=JUDGE,
           help="The one column that names each item's only class, instead of a column a class."),
]  # fmt: skip
Classes = Annotated[
    list[str] | None, Option("--class", help="Judge only this class; may be repeated.", rich_help_panel=JUDGE)
]
Metadata = Annotated[
    str,
    Option("--metadata", metavar="COLUMN,COLUMN", rich_help_panel=JUDGE,
           help="Columns of the labels that the metadata-only baseline may use."),
]  # fmt: skip
MinPositives = Annotated[
    int,
    Option("--min-positives", min=1, rich_help_panel=JUDGE,
           help="Classes with fewer positive or negative patients (items, if patients are not known) are not judged."),
]  # fmt: skip
Replicates = Annotated[
    int,
    Option("--replicates", min=1, rich_help_panel=JUDGE,
           help="Resamples of patients, where an interval is made by resampling."),
]  # fmt: skip
Uncertain = Annotated[
    str,
    Option("--uncertain", metavar="POLICY", rich_help_panel=JUDGE,
           help="What the label -1 means: ignore, positive, negative or error."),
]  # fmt: skip

"""Labels, anchors and settings that scores are judged by, as a command line names them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stitchkit.cli.flags import in_flags

if TYPE_CHECKING:
    import numpy as np

    from stitchkit.cli.anchor_tables import AnchorTable
    from stitchkit.cli.calibration import Calibrating
    from stitchkit.cli.loading import Loading
    from stitchkit.core.alignments import Alignment
    from stitchkit.core.anchors import AnchorSet
    from stitchkit.core.embeddings import Embeddings
    from stitchkit.core.items import Items
    from stitchkit.core.roles import Encoder
    from stitchkit.core.scores import Labels, Scores
    from stitchkit.evaluation.scores.results import Evaluation


@dataclass(frozen=True, slots=True)
class Judging:
    """Labels and settings that scores are judged by, read and checked before there are scores."""

    labels: Labels
    table: AnchorTable | None
    classes: tuple[str, ...]
    metadata: tuple[str, ...]
    min_positives: int
    replicates: int
    seed: int
    allow_leakage: bool
    multiclass: bool = False
    calibrating: Calibrating | None = None

    @classmethod
    def of(
        cls,
        path: Path,
        scored: Sequence[str],
        table: AnchorTable | None,
        *,
        label_column: str | None,
        only: list[str] | None,
        groups: str | None,
        id_column: str | None,
        metadata: str,
        uncertain: str,
        min_positives: int,
        replicates: int,
        seed: int,
        allow_leakage: bool,
        multiclass: bool = False,
        calibrating: Calibrating | None = None,
    ) -> Judging:
        """The labels of the classes to judge, and all settings."""
        from stitchkit.core.errors import UnknownNameError
        from stitchkit.datasets.labels import read_labels

        for label in only or ():
            if label not in scored:
                raise UnknownNameError.of("scored class", label, scored)
        columns = tuple(one.strip() for one in metadata.split(",") if one.strip())
        classes = tuple(only or scored)
        labels = read_labels(
            path, classes=None if label_column else classes, label=label_column, id=id_column, groups=groups,
            columns=columns, uncertain=uncertain,
        ).of_classes(classes)  # fmt: skip
        return cls(
            labels, table, classes, columns, min_positives, replicates, seed, allow_leakage, multiclass, calibrating
        )

    def check(self, ids: np.ndarray) -> np.ndarray | None:
        """The patients of test items; raises for items without a label, or for leakage, before they are embedded."""
        from stitchkit.evaluation.leakage import audit
        from stitchkit.evaluation.scores.item_matching import labels_of_items

        pairs = None if self.table is None else self.table.ids_only()
        apart = () if pairs is None else pairs.ids.tolist()
        test = labels_of_items(self.labels, ids, apart, allow=self.allow_leakage).labels.of_ids(ids)
        if pairs is not None:
            audit(pairs.ids, ids, pairs.groups, test.groups, allow=self.allow_leakage)
        if self.calibrating is not None:
            self.calibrating.check(self.labels, ids, test.groups, allow_leakage=self.allow_leakage)
        return test.groups

    def evaluation(
        self, scores: Scores, items: Items | None, encoder: Encoder | None, vectors: Embeddings | None,
        notes: Sequence[str], alignment: Alignment | None, loading: Loading,
    ) -> Evaluation:  # fmt: skip
        """The evaluation; with an encoder and anchors also of a probe on their labels.

        Without a table of anchors the labels of those of the ``alignment`` are left out, as far as it knows them.
        """
        import stitchkit as sk
        from stitchkit.evaluation.fitted_pairs import without_anchors

        pairs = self._pairs(encoder, items)
        probed = None
        if encoder is not None and pairs is not None and vectors is not None:
            probed = _with_anchors(vectors, pairs, self.labels.ids, encoder, loading)
        calibration, thresholds = None, None
        if self.calibrating is not None:
            calibration, thresholds = self.calibrating.fitted(
                self.labels, self.classes, multiclass=self.multiclass, anchors=pairs, seed=self.seed,
                allow_leakage=self.allow_leakage, min_positives=self.min_positives, progress=loading.progress,
            )  # fmt: skip
        labels, own = self.labels, list[str]()
        if pairs is None and alignment is not None:
            labels, own = without_anchors(labels, alignment, scores.ids)
        result = sk.evaluate(
            scores.of_classes(self.classes),
            labels,
            calibration=calibration,
            thresholds=thresholds,
            multiclass=self.multiclass,
            anchors=pairs,
            items=items if items is not None and items.modality == "image" else None,
            metadata=self.metadata,
            embeddings=probed,
            min_positives=self.min_positives,
            replicates=self.replicates,
            seed=self.seed,
            allow_leakage=self.allow_leakage,
            progress=loading.progress,
        )
        return replace(result, notes=(*notes, *own, *map(in_flags, result.notes)))

    def _pairs(self, encoder: Encoder | None, items: Items | None) -> AnchorSet | None:
        """The anchors; without items their ids and patients are enough, and their files need not be here."""
        if self.table is None:
            return None
        if encoder is None and items is None:
            return self.table.ids_only()
        kind = encoder.modality if encoder is not None else items.modality if items is not None else "image"
        return self.table.read(kind, kind)


def _with_anchors(
    vectors: Embeddings, pairs: AnchorSet, labelled: Any, encoder: Encoder, loading: Loading
) -> Embeddings | None:
    """Vectors of the test items and of the labelled anchors; None if no anchor is labelled."""
    import numpy as np

    from stitchkit.core.embeddings import Embeddings

    wanted = np.flatnonzero(np.isin(pairs.ids, labelled) & ~np.isin(pairs.ids, vectors.ids))
    if not wanted.size:
        return None
    more = loading.embed(encoder, pairs.source_items.take(wanted))
    both = np.concatenate([np.asarray(vectors.vectors), np.asarray(more.vectors)])
    return Embeddings(both, np.concatenate([vectors.ids, more.ids]), vectors.space)

"""The scorer of a CLIP-like pair: two encoders of one checkpoint, which need no anchors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stitchkit.cli.scoring import ModelScorer
from stitchkit.encoders.names import EncoderName

if TYPE_CHECKING:
    from stitchkit.cli.loading import Loading
    from stitchkit.core.prompts import PromptSet
    from stitchkit.stitching import StitchedModel


@dataclass(frozen=True, slots=True)
class ClipScorer(ModelScorer):
    """The image encoder of a pair, with prompts read by its text encoder."""

    image: str
    text: str
    prompts: PromptSet

    @property
    def classes(self) -> tuple[str, ...]:
        """The prompts' classes."""
        return self.prompts.classes

    def plan(self) -> dict[str, Any]:
        """Inputs that would be loaded."""
        return {"image": self.image, "text": self.text, "anchors": "none, two encoders of one checkpoint"}

    def model(self, loading: Loading, *, vectors: bool = False) -> StitchedModel:
        """The image encoder with its zero-shot head, behind the alignment that the pair brings."""
        import stitchkit as sk

        image, text = loading.encoder(self.image), loading.encoder(self.text)
        alignment = sk.clip_alignment(image, text)
        head = sk.zeroshot(alignment, text, self.prompts, store=loading.store)
        return sk.stitch(image, alignment, head, target_name=self.text)


def clip_scorer(source: str, text: str, prompts: str) -> ClipScorer | None:
    """The scorer of a CLIP-like pair; None unless the names differ in the modality alone, as of one checkpoint."""
    from stitchkit.cli.prompts import prompts_called
    from stitchkit.encoders import is_vectors_file

    if is_vectors_file(source):
        return None
    first, second = (EncoderName.parse(one) for one in (source, text))
    options, others = ({**one.options} for one in (first, second))
    differ = options.pop("modality", None) != others.pop("modality", None)
    same = (first.family, first.id, first.revision, options) == (second.family, second.id, second.revision, others)
    return ClipScorer(source, text, prompts_called(prompts)) if same and differ else None

"""DeCLIP's objective: CLIP's, supervised by further views, within each modality, and by nearest captions."""

from __future__ import annotations

from typing import Annotated, Literal, cast

import torch
from msgspec import Meta
from torch import Tensor, nn

from stitchkit.encoders.pair_network import (
    Batch,
    ImageInput,
    PairNetwork,
    PairShape,
    TextInput,
    main_input,
    with_main_input,
)
from stitchkit.storage.toml_files import Flag, Share, Weight
from stitchkit.training.objectives.clip import Clip, ClipSettings, contrastive_loss
from stitchkit.training.objectives.draws import RowDraws
from stitchkit.training.objectives.masked_words import masked_outputs, masked_word_loss
from stitchkit.training.objectives.objective import BatchFacts, Outputs, modalities_of
from stitchkit.training.objectives.views import image_view, text_view

WIDER = 2  # width of the projector as a multiple of the vectors'; the predictor narrows it to the vectors' own
ROUNDING = 1e-9  # by which decimal shares may add up to more than 1
TILE = 32 * 2**20  # bytes of similarities to the queue that are in memory at once


class DeclipSettings(ClipSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of DeCLIP's objective, beside those of CLIP's.

    Parameters
    ----------
    unimodal, views, neighbours
        Weights of the losses within each modality, of the further pairings of views, and of nearest captions, at most
        1 together; the rest is the weight of CLIP's loss. Default: 0.2 each
    queue
        Number of earlier captions among which the nearest are searched. Default: 65536
    share
        Share of the words that are masked and predicted, in (0, 1]. Default: 0.15
    flip
        Views of images may be mirrored. Default: False, as left and right have a meaning in medical images
    """

    name: Literal["declip"] = "declip"  # type: ignore[assignment]
    unimodal: Weight = 0.2
    views: Weight = 0.2
    neighbours: Weight = 0.2
    queue: Annotated[int, Meta(ge=1, le=10**7, description="a whole number from 1 to 10,000,000")] = 65536
    share: Share = 0.15
    flip: Flag = False

    def __post_init__(self) -> None:
        if self.unimodal + self.views + self.neighbours > 1 + ROUNDING:
            raise ValueError(
                f"'unimodal', 'views' and 'neighbours' are shares of the loss, at most 1 together; got "
                f"{self.unimodal}, {self.views} and {self.neighbours}"
            )


class Declip(Clip):
    """Symmetric InfoNCE, and the supervision that views, masked words and earlier captions give.

    The first view of an image or a text is the item as it is. Until there are earlier captions, in the first step, the
    loss of nearest captions is 0.

    References
    ----------
    Li et al., ICLR 2022; the loss between views of an image: Chen and He, CVPR 2021.
    """

    Settings = DeclipSettings
    queue: Tensor
    count: Tensor

    def __init__(self, settings: DeclipSettings, shape: PairShape) -> None:
        super().__init__(settings, shape)
        self.unimodal, self.views, self.neighbours = settings.unimodal, settings.views, settings.neighbours
        self.share, self.flip = settings.share, settings.flip
        self.images, *_ = modalities_of(ImageInput, shape, settings.name, "draws views of both modalities")
        *_, self.texts = modalities_of(TextInput, shape, settings.name, "masks words")
        self.tokens_of = (self.texts,)
        self.inputs = cast(TextInput, shape.inputs[self.texts])
        self.head = nn.Linear(shape.dim, self.inputs.vocabulary)
        wide = WIDER * shape.dim
        self.projector = nn.Sequential(
            *_normed_layer(shape.dim, wide), *_normed_layer(wide, wide),
            nn.Linear(wide, wide, bias=False), nn.BatchNorm1d(wide, affine=False),
        )  # fmt: skip
        self.predictor = nn.Sequential(*_normed_layer(wide, shape.dim), nn.Linear(shape.dim, wide))
        self.register_buffer("queue", torch.zeros(settings.queue, shape.dim))
        self.register_buffer("count", torch.zeros((), dtype=torch.long))  # captions that went into the queue so far

    def outputs(self, network: PairNetwork, modality: str, inputs: Batch, draws: RowDraws) -> tuple[Tensor, ...]:
        """Pooled vectors of the items and of a view of each; of texts also what :func:`masked_outputs` gives."""
        features = network(modality, inputs)
        if modality == self.images:
            view = with_main_input(inputs, image_view(main_input(inputs), draws, "view", self.flip))
            return features.pooled.float(), network(modality, view).pooled.float()
        view = text_view(inputs, features.mask, draws, self.inputs)
        masked = masked_outputs(network, modality, inputs, features.mask, draws, self.share)
        return features.pooled.float(), network(modality, view).pooled.float(), *masked

    def loss(self, outputs: Outputs, facts: BatchFacts) -> Tensor:
        image, view = outputs[self.images]
        text, other, *masked = outputs[self.texts]
        same = facts.captions if self.equal_captions else None
        projected = [self.projector(one) for one in (image, view)]
        within = view_agreement(*projected, *(self.predictor(one) for one in projected))
        within = within + masked_word_loss(self.head, *masked)
        pairings = [(view, text), (image, other), (view, other)]
        further = torch.stack([contrastive_loss(*pairing, self.log_scale, same) for pairing in pairings]).mean()
        rest = 1 - self.unimodal - self.views - self.neighbours
        total = rest * super().loss(outputs, facts) + self.unimodal * within + self.views * further
        if known := min(int(self.count), len(self.queue)):
            captions = nearest(text.detach(), self.queue[:known])
            total = total + self.neighbours * contrastive_loss(image, captions, self.log_scale, same)
        if self.training:
            self._keep(text.detach())
        return total

    def _keep(self, texts: Tensor) -> None:
        """Put captions (n, d) into the queue in the place of the oldest."""
        last = nn.functional.normalize(texts[-len(self.queue) :], dim=1)
        places = (self.count + torch.arange(len(last), device=last.device)) % len(self.queue)
        self.queue[places] = last.to(self.queue)
        self.count += len(last)


def view_agreement(one: Tensor, two: Tensor, from_one: Tensor, from_two: Tensor) -> Tensor:
    """SimSiam's loss, in [-1, 1]: minus the cosine of each view (n, d) with what is predicted from the other.

    Parameters
    ----------
    one : (n, d), two : (n, d)
        Projections of the views, to which no gradient goes.
    from_one : (n, d), from_two : (n, d)
        Predictions from them.
    """
    cosines = [
        nn.functional.cosine_similarity(predicted, projected.detach(), dim=1).mean()
        for predicted, projected in ((from_one, two), (from_two, one))
    ]
    return -(cosines[0] + cosines[1]) / 2


def nearest(vectors: Tensor, queue: Tensor) -> Tensor:
    """The entry of a queue (q, d) of unit vectors with the largest cosine to each of some vectors (n, d)."""
    rows = max(TILE // (queue.element_size() * len(queue)), 1)
    return queue[torch.cat([(part.to(queue) @ queue.T).argmax(dim=1) for part in torch.split(vectors, rows)])]


def _normed_layer(width: int, wide: int) -> tuple[nn.Module, ...]:
    """A layer without a bias, which the norm behind it would take away again."""
    return nn.Linear(width, wide, bias=False), nn.BatchNorm1d(wide), nn.ReLU()

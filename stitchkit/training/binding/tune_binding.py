"""The verb ``tune_binding``: low-rank adapters for the encoders of a bound space, trained to agree on common texts."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stitchkit.core.errors import InputError
from stitchkit.encoders.adapters import import_peft, write_base
from stitchkit.encoders.consent import Consent, TrustPython
from stitchkit.encoders.devices import chosen_device
from stitchkit.encoders.names import ADAPTER, EncoderName
from stitchkit.runtime.progress import Progress
from stitchkit.storage.digests import sha256_of
from stitchkit.storage.folders import whole_folder
from stitchkit.storage.path_checks import resolved_path
from stitchkit.training.binding.losses import disagreement, fitted_log_scale
from stitchkit.training.binding.outcome import TunedBinding
from stitchkit.training.binding.preparing import SIDES, PreparedBinding
from stitchkit.training.binding.recipe import BindingRecipe, read_binding_recipe
from stitchkit.training.binding.state import TuningState, read_tuning_state, save_tuning_state
from stitchkit.training.binding.streams import Stream
from stitchkit.training.binding.towers import save_adapter
from stitchkit.training.binding.validation import BindingLoss
from stitchkit.training.checkpoints import RUN, alone_in_run, check_same, restoring
from stitchkit.training.objectives.clip import MAX_LOG_SCALE, contrastive_loss
from stitchkit.training.optimizer_states import check_groups_fit
from stitchkit.training.outcomes import TrainingError
from stitchkit.training.run_log import RunLog

ADAPTERS = "adapters"  # below the folder of a run


def tune_binding(
    recipe: str | Path | BindingRecipe,
    out: str | Path,
    *,
    device: str = "auto",
    store: str | Path | None = "auto",
    say: Callable[[str], None] = lambda _: None,
    progress: bool | None = None,
    trust_python: TrustPython = False,
) -> TunedBinding:
    """Train low-rank adapters for the encoders of a bound space, or go on with a run that was stopped.

    The space is first bound in closed form (:func:`stitchkit.bind`), and its maps stay as they are. Adapters of the
    query and value layers are then trained by each modality's own image-text loss and by the agreement of all text
    encoders on common texts. The adapters of the step with the lowest loss on held-out patients and texts are kept;
    bind the encoders anew with them afterwards.

    Parameters
    ----------
    recipe
        A TOML file with ``kind = "binding"``, or a recipe.
    out
        Folder of the run: adapters in PEFT's format in ``adapters/``, state and log in ``run/``.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``; one process on one device.
    store
        As in :func:`stitchkit.embed`, for the vectors of frozen encoders.
    say
        Reader of a line on the step that begins.
    progress
        A bar on a terminal or in a notebook: None after two seconds, True at once, False never.
    trust_python
        ``python:`` names that the recipe may run: a list of them, or True for every name.

    Returns
    -------
    TunedBinding
        Losses before and after, and the encoders' names with their adapters.

    Raises
    ------
    DataError
        For tables and texts that cannot be read, or too few rows to hold some out.
    InputError
        If ``out`` is no path that may be written, the run in it was begun with another recipe or other data, or no
        encoder takes adapters.
    TrainingError
        If a loss is not finite, or weights below an adapter have changed.
    MissingExtraError
        Without PEFT: ``pip install 'stitchkit[train]'``.

    References
    ----------
    Stage 1 of M3Bind, arXiv 2506.18072; LoRA: Hu et al., ICLR 2022.
    """
    recipe = recipe if isinstance(recipe, BindingRecipe) else read_binding_recipe(recipe)
    resolved_path(out)
    folder = Path(out)
    if folder.is_file():
        raise InputError(f"{folder} is a file; a run is a folder. Name a folder.")
    if folder.exists() and any(folder.iterdir()) and not (folder / RUN).is_dir():
        raise InputError(f"{folder} holds something that is no training run. Name an empty or a new folder.")
    stopped = read_tuning_state(folder / RUN)
    if stopped is not None:
        check_same(json.loads(json.dumps(recipe.to_dict())), stopped.recipe, folder)
    import_peft()
    data = PreparedBinding.of(recipe, chosen_device(device), store, say, progress, Consent.of(trust_python))
    if stopped is not None and stopped.data != data.digest:
        raise InputError(
            f"the run in {folder} was begun with other data: ids, texts, images or encoders have changed since. "
            f"Restore them, or name another folder."
        )
    (folder / RUN).mkdir(parents=True, exist_ok=True)
    with Progress(progress) as bar, alone_in_run(folder):
        return _Run.of(recipe, folder, data, say, bar, stopped).go()


@dataclass(slots=True)
class _Run:
    """One run: its towers, what is learnt, and where it stands."""

    recipe: BindingRecipe
    folder: Path
    data: PreparedBinding
    say: Callable[[str], None]
    bar: Progress
    scales: Mapping[str, nn.Parameter]
    optimizer: torch.optim.AdamW
    frozen: str
    step: int = 0
    since: int = 0  # looks since the best
    start: BindingLoss | None = None
    best: BindingLoss | None = None
    kept: dict[str, Tensor] = field(default_factory=dict)
    log: RunLog = field(init=False)

    @classmethod
    def of(
        cls, recipe: BindingRecipe, folder: Path, data: PreparedBinding, say: Callable[[str], None], bar: Progress,
        stopped: TuningState | None,
    ) -> _Run:  # fmt: skip
        device = data.text_center.device
        starts = _start_scales(recipe, data)
        scales = {name: nn.Parameter(torch.tensor(start, device=device)) for name, start in starts.items()}
        matrices = [one for tower in data.adapted.values() for _, one in tower.learnt()]
        groups: list[dict[str, Any]] = [
            {"params": matrices, "weight_decay": recipe.training.decay},
            {"params": list(scales.values()), "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=recipe.training.rate)
        run = cls(recipe, folder, data, say, bar, scales, optimizer, _frozen_digest(data))
        run._restore(stopped)
        return run

    def go(self) -> TunedBinding:
        """Every step that is left, then the adapters' folders."""
        training = self.recipe.training
        if self.best is None or self.start is None:
            self.start = self.best = self._look()
            self._remember()
            self.say(f"in closed form: {self.start}")
        self.bar.begin("training, steps", training.steps, self.step)
        with ThreadPoolExecutor(1) as loader:
            ahead = loader.submit(self._fetch, self.step)
            while self.step < training.steps and not self._out_of_patience():
                fetched = ahead.result()
                ahead = loader.submit(self._fetch, self.step + 1)
                self._make_step(fetched)
                self.bar.step(1)
                if self.step % training.validate_every == 0 or self.step == training.steps:
                    self._validate()
        if _frozen_digest(self.data) != self.frozen:
            raise TrainingError(
                "weights or statistics below an adapter have changed in training, so that its adapters would not fit "
                "the encoders on disk. Leave that encoder frozen with [lora] towers."
            )
        return self._outcome(self.start, self.best)

    def _fetch(self, step: int) -> dict[str, tuple[np.ndarray, Any, Any]]:
        """Rows, items and texts of every modality for a step; the common texts follow the modality's own."""
        training, seed = self.recipe.training, self.recipe.seed
        common = Stream(self.data.common, training.batch, (seed, 2)).batch(step)
        fetched = {}
        for number, (name, one) in enumerate(self.data.modalities.items()):
            rows = Stream(one.train, training.batch, (seed, 3, number)).batch(step)
            fetched[name] = (rows, *one.fetch(rows, common))
        return fetched

    def _terms(self, fetched: Mapping[str, tuple[np.ndarray, Any, Any]]) -> tuple[dict[str, Tensor], Tensor]:
        """Contrastive loss of each modality's rows, and the disagreement on the common texts."""
        contrast, views = {}, []
        for name, (rows, items, texts) in fetched.items():
            x, t, numbers, common = self.data.modalities[name].hub_pairs(rows, items, texts)
            contrast[name] = contrastive_loss(x, t, self.scales[name], numbers)
            views.append(nn.functional.normalize(common - self.data.text_center, dim=1))
        return contrast, disagreement(views)

    def _make_step(self, fetched: Mapping[str, tuple[np.ndarray, Any, Any]]) -> None:
        training = self.recipe.training
        seed = int(np.random.SeedSequence([self.recipe.seed, 4, self.step]).generate_state(1)[0])
        device = self.data.text_center.device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), _dropout(self.data):
            torch.manual_seed(seed)  # of the adapters' dropout: a run that goes on draws the same
            contrast, apart = self._terms(fetched)
            loss = torch.stack(list(contrast.values())).sum() + training.agreement * apart
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingError(
                f"the loss is {value} at step {self.step + 1}: the state of the last look at what is held out is kept. "
                f"Lower the rate."
            )
        rate = training.rate * _share_of_rate(self.step, training.warmup, training.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        with torch.no_grad():
            for scale in self.scales.values():
                scale.clamp_(0, MAX_LOG_SCALE)
        self.step += 1
        self.log.add({"step": self.step, "loss": value, "rate": rate})

    @torch.no_grad()
    def _look(self) -> BindingLoss:
        """The loss on what is held out, in batches of the recipe's size."""
        size = self.recipe.training.batch
        held = {name: _batches(one.held, size) for name, one in self.data.modalities.items()}
        texts = _batches(self.data.common_held, size)
        contrasts: dict[str, list[float]] = {name: [] for name in held}
        parts: list[float] = []
        for number in range(max(len(texts), *map(len, held.values()))):
            common = texts[number % len(texts)]
            rows = {name: batches[number % len(batches)] for name, batches in held.items()}
            contrast, apart = self._terms(
                {name: (some, *self.data.modalities[name].fetch(some, common)) for name, some in rows.items()}
            )
            parts += [float(apart)] if number < len(texts) else []
            for name, value in contrast.items():
                contrasts[name] += [float(value)] if number < len(held[name]) else []
        own = {name: float(np.mean(values)) for name, values in contrasts.items()}
        mean = float(np.mean(parts))
        return BindingLoss(self.step, own, mean, sum(own.values()) + self.recipe.training.agreement * mean)

    def _validate(self) -> None:
        """Look at what is held out, keep the best adapters, and the state to go on from."""
        result = self._look()
        if not math.isfinite(result.total):
            raise TrainingError(f"the held-out loss is {result.total} after step {self.step}. Lower the rate.")
        better = self.best is None or result.total < self.best.total
        self.since = 0 if better else self.since + 1
        if better:
            self.best = result
            self._remember()
        self.log.add(result.to_dict())
        self.log.sync()
        self.say(f"step {self.step}: {result}")
        if self.start is None or self.best is None:
            raise TrainingError("the loss before the first step is not known.")
        save_tuning_state(self.folder / RUN, TuningState(
            _values(self._learnt()), self.kept, self.optimizer.state_dict(), self.step, self.since, self.start,
            self.best, self.recipe.to_dict(), self.data.digest,
        ))  # fmt: skip

    def _learnt(self) -> dict[str, nn.Parameter]:
        """Everything that is learnt, by name."""
        adapters = {
            f"{name}.{side}.{key}": one
            for (name, side), tower in self.data.adapted.items()
            for key, one in tower.learnt()
        }
        return {**adapters, **{f"{name}.scale": one for name, one in self.scales.items()}}

    def _remember(self) -> None:
        self.kept = _values(self._learnt())

    def _restore(self, stopped: TuningState | None) -> None:
        """Stand where an earlier run was stopped."""
        if stopped is not None:
            with restoring(self.folder / RUN):
                self._put(stopped.learnt)
                check_groups_fit(stopped.optimizer, self.optimizer.param_groups)
                self.optimizer.load_state_dict(stopped.optimizer)
            self.step, self.since = stopped.step, stopped.since
            self.start, self.best, self.kept = stopped.start, stopped.best, dict(stopped.kept)
            self.say(f"going on after step {self.step}")
        self.log = RunLog(self.folder / RUN, self.step)

    def _put(self, values: Mapping[str, Any]) -> None:
        """Values into the parameters of their names; raises ValueError where they do not fit."""
        learnt = self._learnt()
        if values.keys() != learnt.keys():
            raise ValueError("it holds adapters of other encoders")
        with torch.no_grad():
            for name, parameter in learnt.items():
                if not isinstance(values[name], Tensor) or values[name].shape != parameter.shape:
                    raise ValueError(f"{name!r} has another shape")
                parameter.copy_(values[name])

    def _out_of_patience(self) -> bool:
        return bool(self.recipe.training.patience) and self.since >= self.recipe.training.patience

    def _outcome(self, start: BindingLoss, best: BindingLoss) -> TunedBinding:
        """The adapters of the best step in their folders, and the names of the encoders with them."""
        names = {
            (name, side): one.encoder if side == "image" else one.text_encoder
            for name, one in self.recipe.modalities.items()
            for side in SIDES
        }
        place = (self.folder / ADAPTERS).absolute()
        if best.step:
            with restoring(self.folder / RUN):
                self._put(self.kept)
            with whole_folder(self.folder / ADAPTERS) as draft:
                for (name, side), tower in self.data.adapted.items():
                    base, target = self.data.bases[name, side], draft / f"{name}-{side}"
                    save_adapter(tower, target, EncoderName.parse(base.name).public)
                    write_base(target, base.fingerprint, base.weights)
                    names[name, side] = _with_adapter(names[name, side], place / f"{name}-{side}")
        encoders, texts = ({name: names[name, side] for name in self.recipe.modalities} for side in SIDES)
        return TunedBinding(self.folder, self.step, start, best, encoders, texts, self.data.notes)


def _start_scales(recipe: BindingRecipe, data: PreparedBinding) -> dict[str, float]:
    """Logarithm of each modality's scale before the first step."""
    training = recipe.training
    if training.temperature is not None:
        return dict.fromkeys(data.modalities, math.log(1 / training.temperature))
    starts = {}
    for name, one in data.modalities.items():
        with torch.no_grad():
            batches = [
                one.hub_pairs(rows, *one.fetch(rows, data.common_held[:1]))[:3]
                for rows in _batches(one.held, training.batch)
            ]
        starts[name] = fitted_log_scale(batches)
    return starts


def _with_adapter(name: str, folder: Path) -> str:
    parsed = EncoderName.parse(name)
    return str(replace(parsed, options={**parsed.options, ADAPTER: str(folder)}))


@contextmanager
def _dropout(data: PreparedBinding) -> Iterator[None]:
    """The adapters' dropout turned on inside the block."""
    for tower in data.adapted.values():
        tower.train(True)
    try:
        yield
    finally:
        for tower in data.adapted.values():
            tower.train(False)


def _share_of_rate(step: int, warmup: int, steps: int) -> float:
    """Share of the peak rate: a line up to the end of the warm-up, a cosine down to 0 after it."""
    if step < warmup:
        return (step + 1) / warmup
    return (1 + math.cos(math.pi * (step - warmup) / max(steps - warmup, 1))) / 2


def _batches(rows: np.ndarray, size: int) -> list[np.ndarray]:
    """Whole batches of rows; all of them as one where there are fewer."""
    return [rows[place * size : (place + 1) * size] for place in range(max(len(rows) // size, 1))]


def _values(learnt: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: one.detach().cpu().clone() for name, one in learnt.items()}


def _frozen_digest(data: PreparedBinding) -> str:
    """Digest of all weights and statistics below the adapters."""
    parts = [
        f"{key} {sha256_of(value.detach().cpu().contiguous().numpy().tobytes())}"
        for tower in data.adapted.values()
        for key, value in sorted(tower.frozen_state().items())
    ]
    return sha256_of("\n".join(parts).encode())

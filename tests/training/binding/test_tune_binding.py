"""Adapters of a bound space's encoders: the loss by hand, frozen weights to the byte, stopped runs, and bad input."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

import stitchkit as sk
from stitchkit.core.errors import DataError, InputError, MissingExtraError, ModelUnavailableError, SpaceMismatchError
from stitchkit.encoders.consent import Consent
from stitchkit.storage.atomic_writes import exclusive_lock
from stitchkit.training.binding import preparing
from stitchkit.training.binding import tune_binding as module
from stitchkit.training.binding.losses import disagreement, fitted_log_scale
from stitchkit.training.binding.preparing import PreparedBinding
from stitchkit.training.binding.recipe import AdapterRecipe, TuningRecipe, read_binding_recipe
from stitchkit.training.binding.streams import Stream
from stitchkit.training.binding.towers import AdaptedTower, FrozenTower
from stitchkit.training.objectives.clip import contrastive_loss


def tuned(path, out, **settings):
    return sk.tune_binding(path, out, device="cpu", store=None, progress=False, **settings)


def prepared(path, **settings):
    return PreparedBinding.of(read_binding_recipe(path, settings), "cpu", None, lambda line: None, False, Consent())


def adapter_bytes(folder):
    files = sorted((folder / "adapters").glob("*/adapter_model.safetensors"))
    return {file.parent.name: file.read_bytes() for file in files}


@pytest.fixture(scope="module")
def once(world, tmp_path_factory):
    """A finished run, which no test may change."""
    folder = tmp_path_factory.mktemp("tuned")
    lines = ['kind = "binding"', f'texts = "{world / "texts.txt"}"']
    for name, image, text in (("xray", "vit", "bert-a"), ("skin", "resnet", "bert-b")):
        lines += [f"[modalities.{name}]", f'encoder = "timm:{world / image}"', f'text_encoder = "hf:{world / text}"',
                  f'anchors = "{world / name}.csv"']  # fmt: skip
    lines += ["[lora]", "rank = 2", "[training]", "steps = 12", "batch = 8", "rate = 2e-4", "warmup = 2"]
    lines += ["validate_every = 4", "held = 0.25", "temperature = 0.02"]
    (folder / "recipe.toml").write_text("\n".join(lines) + "\n")
    return tuned(folder / "recipe.toml", folder / "run")


def test_the_disagreement_equals_its_double_loop():
    rng = np.random.default_rng(0)
    views = [rng.normal(size=(5, 3)) for _ in range(4)]
    literal = sum(
        ((views[i] - views[j]) ** 2).sum() / 15 for i in range(4) for j in range(4) if i < j
    )  # fmt: skip
    assert float(disagreement([torch.as_tensor(one) for one in views])) == pytest.approx(literal, rel=1e-12)


def test_the_scale_at_the_start_has_the_least_loss():
    rng = np.random.default_rng(0)
    numbers = torch.as_tensor(rng.integers(0, 5, 24))
    meaning = torch.as_tensor(rng.normal(size=(5, 4)))
    batches = [(meaning[numbers] + torch.as_tensor(rng.normal(size=(24, 4))), meaning[numbers], numbers)]
    grid = [float(contrastive_loss(*batches[0][:2], torch.tensor(log), numbers)) for log in np.linspace(0, 4.6, 93)]
    best = fitted_log_scale(batches)
    assert 0.1 < best < 4
    assert float(contrastive_loss(*batches[0][:2], torch.tensor(best), numbers)) <= min(grid) + 1e-6


def test_streams_of_unequal_length_visit_every_row_once_a_pass_and_begin_anew():
    long, short = Stream(np.arange(12), 4, (0, 1)), Stream(np.arange(100, 106), 4, (0, 2))
    assert sorted(np.concatenate([long.batch(step) for step in range(3)])) == list(range(12))
    assert sorted(np.concatenate([long.batch(step) for step in range(3, 6)])) == list(range(12))
    assert not np.array_equal(long.batch(0), long.batch(3))
    assert all(len(set(short.batch(step))) == 4 for step in range(9))  # one batch a pass, what is left over left out
    assert sorted(Stream(np.arange(3), 8, (0,)).batch(5)) == [0, 1, 2]


def test_before_the_first_step_the_loss_is_that_of_the_space_in_closed_form(recipe):
    data = prepared(recipe())
    assert {key: type(tower) for key, tower in data.adapted.items()} == dict.fromkeys(
        [("xray", "image"), ("xray", "text"), ("skin", "text")], AdaptedTower
    )
    assert isinstance(data.modalities["skin"].image, FrozenTower)
    frozen = prepared(recipe(lora={"towers": "image"}))
    rows = np.arange(6)
    for name, one in data.modalities.items():
        for side, tower in one.towers().items():
            other = frozen.modalities[name].towers()[side]
            with torch.no_grad():
                here, there = (each.hub_rows(each.fetch(rows)).numpy() for each in (tower, other))
            np.testing.assert_allclose(here, there, atol=2e-5)


def test_held_out_rows_of_a_sorted_table_are_mixed(recipe, world, tmp_path):
    header, *lines = (world / "xray.csv").read_text().splitlines()
    rows = sorted((line.split(",") for line in lines), key=lambda cells: cells[2])
    text = "\n".join([header, *(",".join([one[0], str(world / one[1]), *one[2:]]) for one in rows)]) + "\n"
    (tmp_path / "sorted.csv").write_text(text)
    data = prepared(recipe(modalities={"xray": {"anchors": str(tmp_path / "sorted.csv")}, "skin": {}}))
    held = data.modalities["xray"].held
    assert not np.array_equal(held, np.sort(held))
    assert len(set(held) | set(data.modalities["xray"].train)) == 32


def test_the_loss_of_a_step_equals_its_formula(recipe, tmp_path):
    path = recipe(training={"agreement": 3.0, "temperature": 0.07})
    read = read_binding_recipe(path)
    data = prepared(path)
    run = module._Run.of(read, tmp_path / "run", data, lambda line: None, module.Progress(False), None)
    fetched = run._fetch(0)
    with torch.no_grad():
        contrast, apart = run._terms(fetched)
    common = Stream(data.common, 8, (0, 2)).batch(0)
    views = []
    for name, (rows, _, _) in fetched.items():
        one = data.modalities[name]
        with torch.no_grad():
            x = one.image.hub_rows(one.image.fetch(rows)).double() - one.mean
            both = one.text.hub_rows(one.text.fetch(np.concatenate([rows, len(one.captions) + common]))).double()
        t = both[: len(rows)] - one.text_mean
        unit = [part / part.norm(dim=1, keepdim=True) for part in (x, t)]
        logits = (unit[0] @ unit[1].T / 0.07).numpy()
        same = one.captions[rows][:, None] == one.captions[rows][None, :]
        target = same / same.sum(axis=1, keepdims=True)
        entropies = [
            -(target * (one - np.log(np.exp(one).sum(axis=1, keepdims=True)))).sum(axis=1).mean()
            for one in (logits, logits.T)
        ]  # fmt: skip
        assert float(contrast[name]) == pytest.approx(np.mean(entropies), rel=1e-4)
        centred = both[len(rows) :] - data.text_center
        views.append((centred / centred.norm(dim=1, keepdim=True)).numpy())
    assert float(apart) == pytest.approx(((views[0] - views[1]) ** 2).mean(), rel=1e-4)


def test_training_lowers_the_held_out_loss_and_shuffled_texts_do_not(recipe, world, tmp_path):
    long = {"steps": 40, "validate_every": 10, "rate": 0.01}
    found = tuned(recipe(lora={"towers": "text"}, training=long), tmp_path / "true")
    assert found.best.total < found.start.total - 0.01
    rng = np.random.default_rng(1)
    shuffled = {}
    for name in ("xray", "skin"):
        header, *lines = (world / f"{name}.csv").read_text().splitlines()
        cells = [line.split(",") for line in lines]
        texts = rng.permutation([one[2] for one in cells])
        rows = [[one[0], str(world / one[1]), text, one[3]] for one, text in zip(cells, texts, strict=True)]
        (tmp_path / f"{name}.csv").write_text("\n".join([header, *(",".join(row) for row in rows)]) + "\n")
        shuffled[name] = {"anchors": str(tmp_path / f"{name}.csv")}
    control = tuned(recipe(modalities=shuffled, lora={"towers": "text"}, training=long), tmp_path / "control")
    assert control.best.total > 2 * found.start.total


def test_the_adapters_load_by_name_and_give_the_vectors_of_the_run(once, world):
    assert set(adapter_bytes(once.folder)) == {"xray-image", "xray-text", "skin-text"}
    name = once.text_encoders["xray"]
    assert name == f"hf:{world / 'bert-a'}#adapter={once.folder / 'adapters/xray-text'}"
    texts = ["large bright spot left .", "no spot seen ."]
    merged, plain = (sk.load_encoder(one, device="cpu") for one in (name, f"hf:{world / 'bert-a'}"))
    assert merged.space.fingerprint != plain.space.fingerprint
    settings = json.loads((once.folder / "adapters/xray-text/adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == "hf:bert-a"  # without folders of this machine
    pairs = {}
    for modality in ("xray", "skin"):
        anchors, image = (
            sk.read_anchors(world / f"{modality}.csv"),
            sk.load_encoder(once.encoders[modality], device="cpu"),
        )
        sides = (sk.embed(one, items, store=None, progress=False)
                 for one, items in ((image, anchors.source_items), (merged, anchors.target_items)))  # fmt: skip
        pairs[modality] = sk.ModalityPairs(*sides)
    bound = sk.bind(pairs, solver="ridge")
    vectors = sk.embed(merged, texts, store=None, progress=False)
    with pytest.raises(SpaceMismatchError):
        bound.into_hub("text", sk.embed(plain, texts, store=None, progress=False))
    bound.into_hub("text", vectors)


def test_an_adapter_of_other_weights_is_refused(once, world):
    with pytest.raises(ModelUnavailableError, match="was trained on other weights"):
        sk.load_encoder(f"hf:{world / 'bert-b'}#adapter={once.folder / 'adapters/xray-text'}", device="cpu")


def test_weights_and_statistics_below_the_adapters_stay_to_the_byte(recipe, tmp_path, monkeypatch):
    digests = []
    original = module._frozen_digest
    monkeypatch.setattr(module, "_frozen_digest", lambda data: digests.append(original(data)) or digests[-1])
    tuned(recipe(), tmp_path / "run")
    assert len(digests) == 2
    assert digests[0] == digests[1]


def test_a_change_of_frozen_weights_is_refused(recipe, tmp_path, monkeypatch):
    original = module._Run._make_step

    def careless(self, fetched):
        original(self, fetched)
        tower = self.data.adapted["skin", "text"]
        next(one for one in tower.adapter.parameters() if not one.requires_grad).data.add_(1e-3)

    monkeypatch.setattr(module._Run, "_make_step", careless)
    with pytest.raises(module.TrainingError, match="below an adapter have changed"):
        tuned(recipe(), tmp_path / "run")
    assert not (tmp_path / "run/adapters").exists()


def test_a_run_that_is_stopped_goes_on_to_the_same_bytes(recipe, once, tmp_path, monkeypatch):
    original = module._Run._make_step

    def stops(self, fetched):
        if self.step == 7:  # after the look at step 4, before that at step 8
            raise KeyboardInterrupt
        original(self, fetched)

    out = tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr(module._Run, "_make_step", stops)
        with pytest.raises(KeyboardInterrupt):
            tuned(recipe(name="recipe"), out)
    assert not (out / "adapters").exists()
    again = tuned(recipe(name="recipe"), out)
    assert adapter_bytes(out) == adapter_bytes(once.folder)
    assert again.best == once.best
    lines = [json.loads(line) for line in (out / "run/log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == list(range(1, 13))


def test_a_run_goes_on_with_its_own_recipe_and_data_alone(recipe, world, tmp_path):
    tuned(recipe(), tmp_path / "run")
    with pytest.raises(InputError, match=r"another recipe: training\.rate was 0\.0002"):
        tuned(recipe(training={"rate": 0.02}), tmp_path / "run")
    table = tmp_path / "skin.csv"
    rows = [line.split(",") for line in (world / "skin.csv").read_text().splitlines()]
    lines = [",".join(rows[0]), *(",".join([one[0], str(world / one[1]), *one[2:]]) for one in rows[1:])]
    table.write_text("\n".join(lines) + "\n")
    other = {"xray": {}, "skin": {"anchors": str(table)}}
    tuned(recipe(modalities=other), tmp_path / "other")
    table.write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(InputError, match="begun with other data"):
        tuned(recipe(modalities=other), tmp_path / "other")


def test_where_no_step_is_better_there_are_no_adapters(recipe, world, tmp_path):
    found = tuned(recipe(training={"rate": 5.0, "steps": 4, "warmup": 0, "patience": 1}), tmp_path / "run")
    assert found.best.step == 0
    assert found.text_encoders == {"xray": f"hf:{world / 'bert-a'}", "skin": f"hf:{world / 'bert-b'}"}
    assert "no step lowered the held-out loss" in str(found)
    assert not (tmp_path / "run/adapters").exists()


def test_modalities_with_one_text_encoder_get_copies_of_their_own(recipe, world, tmp_path):
    same = {"xray": {}, "skin": {"text_encoder": f"hf:{world / 'bert-a'}"}}
    data = prepared(recipe(modalities=same))
    one, other = (data.adapted[name, "text"].encoder.model for name in ("xray", "skin"))
    assert one is not other
    found = tuned(recipe(modalities=same), tmp_path / "run")
    assert found.start.disagreement == pytest.approx(0, abs=1e-9)  # of equal encoders


def test_the_example_has_the_settings_of_the_paper():
    example = read_binding_recipe(Path(__file__).parents[3] / "examples/recipes/binding.toml")
    assert (example.lora, example.training) == (AdapterRecipe(), TuningRecipe())
    lora, training = example.lora, example.training
    assert (lora.rank, lora.alpha, lora.dropout) == (8, 8, 0.1)
    paper = (training.steps, training.batch, training.rate, training.decay, training.warmup)
    assert paper == (3000, 48, 2e-5, 1e-5, 100)


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"modalities": {"xray": {}}}, "'modalities' are two tables or more"),
        ({"modalities": {"xray": {}, "text": {"anchors": "a.csv"}}}, "'text' names the texts"),
        ({"lora": {"rank": 0}}, "rank"),
        ({"lora": {"towers": "images"}}, "towers"),
        ({"training": {"temperature": 0}}, "temperature"),
        ({"training": {"stepz": 3}}, "stepz"),
        ({"kind": "shared"}, "is no recipe of a binding"),
        ({"modalities": {"xray": {"reader": {"label": "x"}}, "skin": {}}}, "no key of .* is called 'label'"),
        ({"training": {"held": 0.01}, "texts": None}, "too few to hold out"),
    ],
)  # fmt: skip
def test_recipes_that_cannot_be_are_refused_with_the_key(recipe, tmp_path, tables, said):
    with pytest.raises(DataError, match=said):
        tuned(recipe(**tables), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_encoders_without_attention_are_named_when_there_are_no_others(recipe, world, tmp_path):
    frozen = {name: {"encoder": f"timm:{world / 'resnet'}"} for name in ("xray", "skin")}
    with pytest.raises(InputError, match=r"no encoder of this recipe takes adapters.*\[lora\] towers = 'image'"):
        tuned(recipe(modalities=frozen, lora={"towers": "image"}), tmp_path / "run")


def test_without_peft_the_extra_is_named_before_anything_is_read(recipe, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "peft", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'stitchkit\[train\]'"):
        tuned(recipe(), tmp_path / "run")


def test_the_command_tunes_and_names_the_command_that_binds(recipe, world, tmp_path):
    from stitchkit.cli.main import app

    def run(*words):
        return CliRunner().invoke(app, [str(word) for word in words])

    path, out = recipe(), tmp_path / "run"
    dry = run("train", path, "--out", out, "--device", "cpu", "--dry-run")
    assert (dry.exit_code, out.exists()) == (0, False)
    assert "rank 2, towers: both" in dry.stdout
    done = run("train", path, "--out", out, "--device", "cpu", "-q", "--json")
    found = json.loads(done.stdout)
    assert found["after"]["total"] < found["before"]["total"]
    words = shlex.split(found["next"])
    assert words[:4] == ["stitchkit", "bind", f"xray={world / 'xray.csv'}", f"skin={world / 'skin.csv'}"]
    assert f"xray=hf:{world / 'bert-a'}#adapter={out / 'adapters/xray-text'}" in words
    bound = run(*words[1:-1], tmp_path / "bound", "--store", "none", "--solver", "procrustes", "-q")
    assert (bound.exit_code, bound.stderr) == (0, "")
    assert run("train", path, "--out", out, "--tensorboard", "-q").exit_code == 2


def test_two_runs_in_one_folder_at_once_are_refused(recipe, tmp_path):
    tuned(recipe(), tmp_path / "run")
    before = (tmp_path / "run/run/log.jsonl").read_bytes()
    with exclusive_lock(tmp_path / "run/run"), pytest.raises(InputError, match="another process is training in"):
        tuned(recipe(), tmp_path / "run")
    assert (tmp_path / "run/run/log.jsonl").read_bytes() == before


def shared_patients(world, folder, **texts):
    """Tables whose patients have items of both modalities, and two items of each."""
    modalities = {}
    for name in ("xray", "skin"):
        header, *lines = (world / f"{name}.csv").read_text().splitlines()
        rows = [line.split(",") for line in lines]
        cells = [[one[0], str(world / one[1]), f"{one[2][:-2]} {texts.get(name, '')}.", f"p{i // 2}"]
                 for i, one in enumerate(rows)]  # fmt: skip
        (folder / f"{name}.csv").write_text("\n".join([header, *map(",".join, cells)]) + "\n")
        modalities[name] = {"anchors": str(folder / f"{name}.csv")}
    return modalities


def test_a_patient_who_is_held_out_trains_no_modality_and_no_hub(recipe, world, tmp_path):
    path = recipe(modalities=shared_patients(world, tmp_path), texts=None)
    sources = read_binding_recipe(path)
    data = prepared(path)
    people = {name: sk.read_anchors(one.anchors).groups for name, one in sources.modalities.items()}
    trained = {person for name, one in data.modalities.items() for person in people[name][one.train].tolist()}
    held = {person for name, one in data.modalities.items() for person in people[name][one.held].tolist()}
    assert trained.isdisjoint(held)
    assert len(held) >= 4
    for name, one in data.modalities.items():
        assert sorted([*one.train, *one.held]) == list(range(len(people[name])))


def test_common_texts_of_their_own_are_those_of_training_rows(recipe, world, tmp_path):
    path = recipe(modalities=shared_patients(world, tmp_path), texts=None)
    header, *lines = (tmp_path / "xray.csv").read_text().splitlines()
    unique = [line.replace(" .,", f" seen {i} .,") for i, line in enumerate(lines)]
    (tmp_path / "xray.csv").write_text("\n".join([header, *unique]) + "\n")
    data = prepared(path)
    one = data.modalities["xray"]
    texts = one.text.items[len(one.captions) :]
    held = {str(one.text.items[row]) for row in one.held}
    assert len(held) == len(one.held)
    assert held.isdisjoint(texts)
    assert len(texts) == len(data.common) + len(data.common_held)


def test_the_hub_is_fitted_without_the_held_out_texts(recipe, monkeypatch):
    shapes = []
    original = preparing.bind

    def remember(pairs, texts, **how):
        shapes.append({name: one.ids.tolist() for name, one in texts.items()})
        return original(pairs, texts=texts, **how)

    monkeypatch.setattr(preparing, "bind", remember)
    data = prepared(recipe())
    (ids,) = shapes
    assert all(sorted(map(int, one)) == sorted(data.common.tolist()) for one in ids.values())


def test_changed_images_end_a_run_that_goes_on(recipe, world, tmp_path):
    modalities = shared_patients(world, tmp_path)
    picture = tmp_path / "first.png"
    picture.write_bytes((world / "xray0.png").read_bytes())
    table = (tmp_path / "xray.csv").read_text().replace(str(world / "xray0.png"), str(picture))
    (tmp_path / "xray.csv").write_text(table)
    tuned(recipe(modalities=modalities), tmp_path / "run")
    picture.write_bytes((world / "xray1.png").read_bytes())
    with pytest.raises(InputError, match="begun with other data: ids, texts, images or encoders"):
        tuned(recipe(modalities=modalities), tmp_path / "run")


def test_an_adapter_knows_all_weights_below_it(once, world, tmp_path):
    folder = shutil.copytree(world / "bert-a", tmp_path / "bert-a")
    tensors = load_file(folder / "model.safetensors")
    tensors["embeddings.word_embeddings.weight"] += 0.1
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelUnavailableError, match="was trained on other weights"):
        sk.load_encoder(f"hf:{folder}#adapter={once.folder / 'adapters/xray-text'}", device="cpu")


def test_the_rate_rises_and_falls_and_the_log_holds_it(once):
    lines = [json.loads(line) for line in (once.folder / "run/log.jsonl").read_text().splitlines()]
    rates = [line["rate"] for line in lines if "rate" in line]
    assert rates[:2] == pytest.approx([1e-4, 2e-4])
    assert rates[2:] == pytest.approx([2e-4 * (1 + np.cos(np.pi * step / 10)) / 2 for step in range(10)])


def test_training_ends_after_looks_without_a_better_one_and_counts_them_over_a_stop(recipe, tmp_path, monkeypatch):
    settings = {"rate": 0.5, "steps": 40, "validate_every": 2, "warmup": 0, "patience": 3}
    whole = tuned(recipe(training=settings), tmp_path / "whole")
    assert whole.steps < 40
    assert whole.steps == whole.best.step + 2 * 3
    original = module._Run._make_step

    def stops(self, fetched):
        if self.step == whole.steps - 1:
            raise KeyboardInterrupt
        original(self, fetched)

    with monkeypatch.context() as patched:
        patched.setattr(module._Run, "_make_step", stops)
        with pytest.raises(KeyboardInterrupt):
            tuned(recipe(training=settings), tmp_path / "cut")
    assert tuned(recipe(training=settings), tmp_path / "cut").steps == whole.steps


def test_scales_stay_in_their_range_and_are_not_decayed(recipe, tmp_path):
    read = read_binding_recipe(recipe(training={"decay": 0.5, "temperature": 0.5}))
    run = module._Run.of(
        read, tmp_path, prepared(recipe(training={"decay": 0.5})), lambda line: None, module.Progress(False), None
    )
    assert [group["weight_decay"] for group in run.optimizer.param_groups] == [0.5, 0.0]
    assert run.optimizer.param_groups[1]["params"] == list(run.scales.values())
    fetched = run._fetch(0)
    for value, kept in ((-3.0, 0.0), (9.0, module.MAX_LOG_SCALE)):
        for scale in run.scales.values():
            torch.nn.init.constant_(scale, value)
        run._make_step(fetched)
        assert all(float(scale.detach()) == pytest.approx(kept, abs=1e-6) for scale in run.scales.values())


def test_a_folder_that_holds_something_else_is_left_alone(recipe, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/notes.txt").write_text("mine")
    with pytest.raises(InputError, match="holds something that is no training run"):
        tuned(recipe(), tmp_path / "run")
    assert [one.name for one in (tmp_path / "run").iterdir()] == ["notes.txt"]


def test_dropout_is_of_the_adapters_alone(recipe):
    data = prepared(recipe(lora={"dropout": 0.4}))
    tower = data.adapted["xray", "text"]
    with module._dropout(data):
        on = {name for name, one in tower.adapter.named_modules() if isinstance(one, torch.nn.Dropout) and one.training}
    assert on
    assert all(".lora_dropout." in name for name in on)
    assert {one.p for name, one in tower.adapter.named_modules() if name in on} == {0.4}
    assert not any(one.training for one in tower.adapter.modules() if isinstance(one, torch.nn.Dropout))

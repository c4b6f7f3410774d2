"""Names of encoders: taking them apart, putting them together, and what is refused."""

from __future__ import annotations

import pytest

from stitchkit.core.errors import InputError, ModelUnavailableError, StitchError, UnknownNameError
from stitchkit.encoders import EncoderName, check_encoder_name, load_encoder, runs_hub_code


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("timm:resnet18.a1_in1k", ("timm", "resnet18.a1_in1k", None, {})),
        ("timm:hf-hub:org/name@v1", ("timm", "hf-hub:org/name", "v1", {})),
        ("hf:org/name@main#pool=cls", ("hf", "org/name", "main", {"pool": "cls"})),
        ("hf:org/name#pool=cls&layer=-1", ("hf", "org/name", None, {"pool": "cls", "layer": "-1"})),
        ("hf:org/name#prompt=a=b: ", ("hf", "org/name", None, {"prompt": "a=b: "})),
        ("hf:org/name#prompt=a%26b%23c%25d", ("hf", "org/name", None, {"prompt": "a&b#c%d"})),
        ("hf:local-dir:/nowhere/x", ("hf", "local-dir:/nowhere/x", None, {})),
        ("python:package.module:thing#k=v", ("python", "package.module:thing", None, {"k": "v"})),
        ("demo:general-vision", ("demo", "general-vision", None, {})),
    ],
)
def test_a_name_comes_apart_and_together_again(text, parts):
    name = EncoderName.parse(text)
    assert (name.family, name.id, name.revision, dict(name.options)) == parts
    assert str(name) == text
    assert EncoderName.parse(str(name)) == name


def test_a_prompt_with_a_percent_sign_can_be_typed_as_it_is():
    name = EncoderName.parse("hf:a/b#prompt=100% sure")
    assert name.options["prompt"] == "100% sure"
    assert EncoderName.parse(str(name)) == name


@pytest.mark.parametrize("form", ["timm:{}", "timm:local-dir:{}"])
@pytest.mark.parametrize("folder", ["plain", "a@b", "a#b", "a@b#c=d"])
def test_an_existing_path_wins_over_signs_in_it(tmp_path, form, folder):
    (tmp_path / folder).mkdir()
    text = form.format(tmp_path / folder)
    name = EncoderName.parse(text)
    assert (name.folder, name.revision, dict(name.options)) == (tmp_path / folder, None, {})
    with_options = EncoderName.parse(text + "#pool=mean")
    assert (with_options.folder, dict(with_options.options)) == (tmp_path / folder, {"pool": "mean"})
    assert str(with_options) == text + "#pool=mean"


def test_a_long_prompt_is_not_taken_for_a_path():
    assert len(EncoderName.parse("hf:org/name#prompt=" + "a/b " * 2000).options["prompt"]) == 8000


def test_an_existing_python_file_wins_too(tmp_path):
    (tmp_path / "a@b").mkdir()
    (tmp_path / "a@b" / "mine.py").write_text("x = 1\n")
    name = EncoderName.parse(f"python:{tmp_path}/a@b/mine.py:x#k=v")
    assert (name.id, name.revision, dict(name.options)) == (f"{tmp_path}/a@b/mine.py:x", None, {"k": "v"})


@pytest.mark.parametrize(
    ("text", "candidates"),
    [
        ("resnet18", ["timm:resnet18", "hf:resnet18"]),
        ("org/name", ["hf:org/name", "timm:hf-hub:org/name"]),
        ("hf-hub:org/name", ["hf:org/name", "timm:hf-hub:org/name"]),
        ("local-dir:/x/y", ["timm:local-dir:/x/y", "hf:/x/y", "stitchkit:/x/y"]),
        ("x/mine.py", ["python:x/mine.py:ATTRIBUTE"]),
        ("C:\\models\\vit", ["timm:C:", "hf:C:"]),
    ],
)
def test_a_bare_name_is_refused_with_the_candidates(text, candidates):
    with pytest.raises(UnknownNameError, match="names no family") as caught:
        load_encoder(text)
    assert all(candidate in str(caught.value) for candidate in candidates)


def test_a_bare_path_is_refused_with_the_candidates(tmp_path):
    with pytest.raises(UnknownNameError, match=f"hf:{tmp_path} or stitchkit:{tmp_path}"):
        load_encoder(str(tmp_path))


def test_an_unknown_family_is_refused_with_the_nearest():
    with pytest.raises(UnknownNameError, match="no encoder family is called 'tim'; nearest: timm"):
        load_encoder("tim:resnet18")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hf:", "no model"),
        ("hf:local-dir:", "no model"),
        ("hf:org/name@", "without a revision"),
        ("hf:org/name#pool", "write key=value"),
        ("hf:org/name#pool=cls&pool=mean", "'pool' twice"),
        ("hf:org/name#=cls", "write key=value"),
    ],
)
def test_a_broken_name_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        load_encoder(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hf:org/name#pol=cls", "'pol', which hf encoders do not have; known options: pool, layer, norm, prompt"),
        ("timm:resnet18#pool=cls", "'pool', which timm encoders do not have; known options: resolution"),
    ],
)
def test_an_unknown_option_is_refused_with_the_known_ones(text, message):
    with pytest.raises(UnknownNameError, match=message):
        load_encoder(text)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"device": "gpu"}, "no device 'gpu'"),
        ({"device": "cuda:99"}, "no device 'cuda:99'"),
        ({"dtype": "float64"}, "float32, float16, bfloat16; got dtype='float64'"),
        ({"trust_remote_code": True}, "encoders of hf and stitchkit alone run"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        load_encoder("timm:resnet18", **settings)


FORMS = ("hf:", "hf:local-dir:", "hf:hf-hub:", "timm:", "timm:local-dir:", "stitchkit:", "python:", "demo:", "")
ODD = (
    "", "a" * 5000, "a/" + "b" * 5000, "a\0b", "\ud800", "..", "/", "#", "#x", "#x=", "@", "@@", "a@b@c", "a#b#c",
    "%00", "~nosuchuser/x", "//", "a:b:c", "\\\\x\\y", "a/b/c", "a/b@" + "f" * 5000, "a#pool=\0",
    "a/b#layer=" + "9" * 5000,
)  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_names_that_mean_nothing_end_in_errors_of_this_package(form):
    for odd in ODD:
        with pytest.raises(StitchError):
            load_encoder(form + odd, device="cpu", offline=True)


@pytest.mark.parametrize("name", ["demo:text", "hf:org/name@main", "timm:resnet18"])
def test_a_name_is_checked_without_loading(name):
    assert check_encoder_name(name) == name


def test_a_name_of_no_family_or_of_a_missing_folder_is_refused():
    with pytest.raises(UnknownNameError, match=r"nearest: timm, st\. Write FAMILY:NAME"):
        check_encoder_name("tim:resnet18")
    with pytest.raises(ModelUnavailableError, match="there is no folder /nowhere/x"):
        check_encoder_name("hf:local-dir:/nowhere/x")


def test_families_whose_repositories_hold_code_are_known():
    assert [runs_hub_code(name) for name in ("hf:org/name", "stitchkit:folder", "timm:resnet18")] == [True, True, False]


@pytest.mark.parametrize(
    ("name", "repository", "public"),
    [
        ("hf:org/name@main", "org/name", "hf:org/name@main"),
        ("timm:resnet18.a1_in1k", "timm/resnet18.a1_in1k", "timm:resnet18.a1_in1k"),
        ("timm:hf-hub:org/name", "org/name", "timm:hf-hub:org/name"),
        ("timm:local-dir:/home/ann/net", None, "timm:local-dir:net"),
        ("hf:local-dir:/home/ann/net#pool=mean", None, "hf:local-dir:net#pool=mean"),
        ("open_clip:ViT-B-32/openai#modality=text", None, "open_clip:ViT-B-32/openai#modality=text"),
        ("open_clip:hf-hub:org/name#modality=text", "org/name", "open_clip:hf-hub:org/name#modality=text"),
        ("python:/home/ann/mine.py:Net#weights=/home/ann/w.pt", None, "python:mine.py:Net#weights=w.pt"),
        ("demo:text", None, "demo:text"),
    ],
)
def test_what_others_may_read_of_a_name(name, repository, public):
    parsed = EncoderName.parse(name)
    assert (parsed.repository, parsed.public) == (repository, public)


def test_options_are_no_paths_though_files_of_their_name_are_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("48", "mean", "weights"):
        (tmp_path / name).mkdir()
    found = EncoderName.parse("hf:local-dir:weights#resolution=48&pool=mean").resolve()
    assert found.options == {"resolution": "48", "pool": "mean"}
    assert found.id == f"local-dir:{tmp_path / 'weights'}"
    own = EncoderName.parse("python:mine.py:Net#weights=weights").resolve()
    assert own.options == {"weights": str(tmp_path / "weights")}

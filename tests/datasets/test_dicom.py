"""DICOM files: every file that pydicom ships, grey levels held against pydicom's own, choices, refusals."""

from __future__ import annotations

import struct
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pydicom = pytest.importorskip("pydicom")

from dicom_files import BIG, ENHANCED_CT, EXPLICIT, IMPLICIT, dataset, lut, write_dicom  # noqa: E402

from stitchkit.core.errors import DataError, MissingExtraError, StitchError  # noqa: E402
from stitchkit.datasets.content_keys import content_key  # noqa: E402
from stitchkit.datasets.dicom.pictures import frame_count, stored_values  # noqa: E402
from stitchkit.datasets.images import image_metadata, looks_like_image, read_image  # noqa: E402
from stitchkit.datasets.near_duplicates import ImageFingerprints, find_alike, fingerprints_of  # noqa: E402
from stitchkit.datasets.tables import read_anchors, read_items  # noqa: E402
from stitchkit.encoders.images import rgb  # noqa: E402

RNG = np.random.default_rng(0)
SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"
NOT_DICOM = (".py", ".json", ".txt", ".md", ".pyc", ".icc", ".dump", ".gz", "")
NO_PICTURE = "holds no picture"
BY_ANOTHER_READER = r"pip install pylibjpeg pylibjpeg-libjpeg \(its licence is the GPL\) or pip install python-gdcm"
REFUSED = {  # of the files with pixels; all others decode
    "ExplVR_BigEndNoMeta.dcm": "does not begin with 128 bytes and DICM",
    "ExplVR_LitEndNoMeta.dcm": "does not begin with 128 bytes and DICM",
    "no_meta.dcm": "does not begin with 128 bytes and DICM",
    "meta_missing_tsyntax.dcm": "states no transfer syntax",
    "nested_priv_SQ.dcm": "states no Rows",
    "badVR.dcm": "its NumberOfFrames is no whole number",
    "MR_truncated.dcm": "damaged or cut off: its pixels cannot be decoded",
    "JPEG2000-embedded-sequence-delimiter.dcm": "its compressed picture has another size than it states",
    "JPEG-lossy.dcm": BY_ANOTHER_READER,  # 12 bits, which Pillow does not read
    "JPGExtended.dcm": BY_ANOTHER_READER,
    "SC_rgb_jpeg_gdcm.dcm": BY_ANOTHER_READER,  # lossless JPEG
}
NEEDS_PYLIBJPEG = {"GDCMJ2K_TextGBR.dcm"}  # a JP2 head, at which Pillow stops
OF_32_BITS = {f"rtdose{end}.dcm" for end in ("", "_1frame", "_expb", "_expb_1frame", "_rle", "_rle_1frame")}


def shipped():
    """Files of pydicom that are DICOM by their content or name."""
    for path in sorted(SHIPPED.rglob("*")):
        if path.is_file() and (path.suffix not in NOT_DICOM or path.read_bytes()[128:132] == b"DICM"):
            yield path


def with_pixels(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return any(tag in pydicom.dcmread(path, force=True) for tag in ("PixelData", "FloatPixelData"))


@pytest.mark.filterwarnings("ignore:1 of 1 16-bit images")
@pytest.mark.skipif("pylibjpeg_libjpeg" in sys.modules, reason="another reader is installed")
def test_every_file_that_pydicom_ships_decodes_as_there_or_is_refused_by_name():
    decoded, refused, pictureless = [], [], []
    for path in shipped():
        name = path.name
        if not with_pixels(path):
            pattern = NO_PICTURE if path.read_bytes()[128:132] == b"DICM" else "does not begin with"
            with pytest.raises(DataError, match=pattern):
                read_image(path)
            pictureless.append(name)
            continue
        if name in REFUSED:
            with pytest.raises(StitchError, match=REFUSED[name]):
                read_image(path)
            refused.append(name)
            continue
        try:
            frames = frame_count(path)
            for frame in {1, frames // 2 + 1, frames}:
                ours = stored_values(path, f"frame={frame}")
                theirs = shipped_pixels(path)
                np.testing.assert_array_equal(ours, theirs[frame - 1] if frames > 1 else theirs, err_msg=name)
        except DataError as error:
            if name in NEEDS_PYLIBJPEG and "pip install 'stitchkit[dicom]'" in str(error):
                refused.append(name)
                continue
            raise
        one = f"{path}#frame=middle" if frames > 1 else path
        if name in OF_32_BITS:
            with pytest.raises(DataError, match="32 bits and no window"):
                read_image(one)
            one = f"{path}#frame=middle&window=500000,1000000"
        image = read_image(one)
        facts = image_metadata(one)
        assert (image.width, image.height) == (facts["width"], facts["height"])
        assert rgb(image).size == image.size
        assert content_key(one, "image") == content_key(one, "image")
        decoded.append(name)
    assert (len(decoded), len(refused)) in ((86, 9), (87, 8))
    assert {"rtplan.dcm", "rtstruct.dcm", "waveform_ecg.dcm", "reportsi.dcm", "DICOMDIR"} <= set(pictureless)


def shipped_pixels(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pydicom.dcmread(path).pixel_array


@pytest.mark.parametrize(
    "name",
    ["CT_small.dcm", "MR_small_RLE.dcm", "JPEG2000.dcm", "MR_small_jpeg_ls_lossless.dcm", "SC_rgb_jpeg_dcmtk.dcm",
     "image_dfl.dcm", "examples_palette.dcm", "693_J2KI.dcm", "SC_rgb_jls_lossy_line.dcm", "SC_rgb_gdcm_KY.dcm"],
)  # fmt: skip
@pytest.mark.parametrize("share", [0.02, 0.2, 0.5, 0.8, 0.95])
def test_a_cut_off_file_is_refused(tmp_path, name, share):
    whole = (SHIPPED / name).read_bytes()
    path = tmp_path / "cut.dcm"
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(DataError, match=r"cut\.dcm"):
        read_image(path)


# --- grey levels -----------------------------------------------------------------------------------------------------

FILM = RNG.integers(0, 4096, (24, 20)).astype(np.uint16)
HU = RNG.integers(-1024, 3000, (24, 20)).astype(np.int16)


def levels(path):
    """Grey levels in [0, 1] of the picture that is read."""
    image = read_image(path)
    return np.asarray(image) / (255 if image.mode == "L" else 65535)


def theirs(path):
    """The same by pydicom's own functions."""
    data = pydicom.dcmread(path)
    values = pydicom.pixels.apply_modality_lut(data.pixel_array, data)
    shown = pydicom.pixels.apply_voi_lut(values, data)
    return np.asarray(shown, dtype=np.float64), data


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG])
@pytest.mark.parametrize("function", [None, "LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
def test_a_window_is_that_of_the_standard_and_monochrome1_is_inverted_last(tmp_path, syntax, function, kind):
    tags = {"VOILUTFunction": function} if function else {}
    path = write_dicom(
        tmp_path / "ct", HU, bits=16, syntax=syntax, WindowCenter=[40, -600], WindowWidth=[400, 1500],
        RescaleSlope="0.5", RescaleIntercept="-20", PhotometricInterpretation=kind, **tags,
    )  # fmt: skip
    shown, _ = theirs(path)
    # pydicom scales to the range of the stored bits after rescaling
    low, high = -32768 * 0.5 - 20, 32767 * 0.5 - 20
    share = (shown - low) / (high - low)
    expected = 1 - share if kind == "MONOCHROME1" else share
    np.testing.assert_allclose(levels(path), expected, atol=2e-5)


def test_the_edges_of_a_linear_window_are_those_of_the_standard(tmp_path):
    values = np.arange(0, 8, dtype=np.uint16).reshape(2, 4)
    path = write_dicom(tmp_path / "edges", values, bits=12, WindowCenter=4, WindowWidth=4)
    # C.11.2.1.2.1: x <= 4 - .5 - 1.5 is black, x > 4 - .5 + 1.5 is white, between them ((x - 3.5) / 3 + .5)
    expected = np.clip((values - 3.5) / 3 + 0.5, 0, 1)
    np.testing.assert_allclose(levels(path), expected, atol=1e-5)
    one = write_dicom(tmp_path / "one", values, bits=12, WindowCenter=4, WindowWidth=1)
    np.testing.assert_array_equal(levels(one), values >= 4)


@pytest.mark.parametrize("vr", ["US", "OW"])
@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_look_up_tables_are_those_of_pydicom(tmp_path, vr, syntax):
    curve = np.rint(np.sqrt(np.arange(3000)) * 18).astype(int)
    path = write_dicom(tmp_path / "a", FILM, bits=12, syntax=syntax, VOILUTSequence=lut(500, curve, 10, vr))
    np.testing.assert_allclose(levels(path), theirs(path)[0] / 1023, atol=1e-5)
    path = write_dicom(
        tmp_path / "b", FILM, bits=12, syntax=syntax, ModalityLUTSequence=lut(0, np.arange(4096)[::-1] * 4, 16, vr),
        WindowCenter=8000, WindowWidth=6000,
    )  # fmt: skip
    values = pydicom.pixels.apply_modality_lut(pydicom.dcmread(path).pixel_array, pydicom.dcmread(path))
    np.testing.assert_allclose(levels(path), np.clip((values - 7999.5) / 5999 + 0.5, 0, 1), atol=1e-5)
    path = write_dicom(
        tmp_path / "c", HU, syntax=syntax, VOILUTSequence=lut(-200, np.arange(600) * 100, 16, vr), WindowCenter=1,
        WindowWidth=2,
    )  # fmt: skip
    np.testing.assert_allclose(levels(path), np.clip((HU + 200.0) * 100, 0, 59900) / 65535, atol=1e-5)


def test_without_a_window_the_bits_stored_are_the_range(tmp_path):
    path = write_dicom(tmp_path / "twelve", FILM, bits=12)
    image = read_image(path)
    assert image.mode == "I;16"
    np.testing.assert_array_equal(np.asarray(image), np.rint(FILM / 4095 * 65535))
    eight = RNG.integers(0, 256, (9, 8)).astype(np.uint8)
    for kind, expected in (("MONOCHROME2", eight), ("MONOCHROME1", 255 - eight)):
        image = read_image(write_dicom(tmp_path / "eight", eight, PhotometricInterpretation=kind))
        assert image.mode == "L"
        np.testing.assert_array_equal(np.asarray(image), expected)
    sixteen = RNG.integers(0, 65536, (9, 8)).astype(np.uint16)
    np.testing.assert_array_equal(np.asarray(read_image(write_dicom(tmp_path / "full", sixteen))), sixteen)


@pytest.mark.filterwarnings("ignore:1 of 1 16-bit images")
def test_eight_bits_in_sixteen_are_read_as_eight_and_a_nearly_black_window_is_not(tmp_path):
    low = RNG.integers(0, 256, (9, 8)).astype(np.uint16)
    np.testing.assert_array_equal(np.asarray(read_image(write_dicom(tmp_path / "low", low))), low)
    dark = write_dicom(tmp_path / "dark", low, bits=12, WindowCenter=32768, WindowWidth=65536)
    assert np.asarray(rgb(read_image(dark), "L")).max() <= 1


def test_bits_above_those_stored_are_dropped(tmp_path):
    dirty = FILM | np.uint16(0xA000)  # an overlay of the older standard lies there
    path = write_dicom(tmp_path / "dirty", dirty, bits=12)
    clean = write_dicom(tmp_path / "clean", FILM, bits=12)
    np.testing.assert_array_equal(np.asarray(read_image(path)), np.asarray(read_image(clean)))


@pytest.mark.parametrize("syntax", [EXPLICIT, BIG])
def test_pixels_may_begin_above_the_lowest_bit(tmp_path, syntax):
    clean = read_image(write_dicom(tmp_path / "clean", FILM, bits=12))
    for shift in (2, 4):
        path = write_dicom(tmp_path / "high", FILM << shift | 1, bits=12, syntax=syntax, HighBit=11 + shift)
        np.testing.assert_array_equal(np.asarray(read_image(path)), np.asarray(clean))
    signed = (HU // 2).astype(np.int16)
    path = write_dicom(tmp_path / "signed", signed << 3, bits=13, HighBit=15, WindowCenter=40, WindowWidth=400)
    np.testing.assert_allclose(levels(path), np.clip((signed - 39.5) / 399 + 0.5, 0, 1), atol=1e-5)


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_and_the_picture_is_not_touched(tmp_path, syntax, kind):
    signed = HU.copy()
    signed[:, :3] = -2000
    signed[:, 3] = -1990
    window = {"WindowCenter": 40, "WindowWidth": 400, "PhotometricInterpretation": kind, "syntax": syntax}
    plain = levels(write_dicom(tmp_path / "plain", signed, **window))
    one = levels(write_dicom(tmp_path / "one", signed, PixelPaddingValue=-2000, **window))
    more = levels(
        write_dicom(tmp_path / "more", signed, PixelPaddingValue=-2000, PixelPaddingRangeLimit=-1980, **window)
    )
    assert not one[:, :3].any()
    assert not more[:, :4].any()
    np.testing.assert_array_equal(one[:, 4:], plain[:, 4:])
    np.testing.assert_array_equal(more[:, 4:], plain[:, 4:])
    assert plain[:, :3].all() == (kind == "MONOCHROME1")


def test_padding_of_signed_pixels_may_be_written_unsigned(tmp_path):
    signed = HU.copy()
    signed[0] = -2000
    made = dataset(signed, WindowCenter=40, WindowWidth=400, PhotometricInterpretation="MONOCHROME1")
    made.add_new("PixelPaddingValue", "US", 65536 - 2000)
    made.save_as(tmp_path / "odd", enforce_file_format=True)
    assert not levels(tmp_path / "odd")[0].any()


def test_a_negative_slope_and_an_enhanced_file_with_its_own_window_a_frame(tmp_path):
    path = write_dicom(tmp_path / "slope", FILM, bits=12, RescaleSlope=-1, RescaleIntercept=4095)
    np.testing.assert_allclose(levels(path), 1 - FILM / 4095, atol=1e-5)
    from pydicom.dataset import Dataset

    def group(slope=None, window=None):
        item = Dataset()
        if slope is not None:
            inner = Dataset()
            inner.RescaleSlope, inner.RescaleIntercept = slope, -100
            item.PixelValueTransformationSequence = [inner]
        if window is not None:
            inner = Dataset()
            inner.WindowCenter, inner.WindowWidth = window
            inner.VOILUTFunction = "LINEAR_EXACT"
            item.FrameVOILUTSequence = [inner]
        return item

    frames = np.stack([FILM, FILM[::-1]])
    path = write_dicom(
        tmp_path / "enhanced", frames, bits=12, kind=ENHANCED_CT, NumberOfFrames=2,
        SharedFunctionalGroupsSequence=[group(slope=2)],
        PerFrameFunctionalGroupsSequence=[group(window=(500, 1000)), group(window=(4000, 2000))],
    )  # fmt: skip
    for frame, (centre, width) in enumerate([(500, 1000), (4000, 2000)]):
        expected = np.clip((frames[frame] * 2.0 - 100 - centre) / width + 0.5, 0, 1)
        np.testing.assert_allclose(levels(f"{path}#frame={frame + 1}"), expected, atol=1e-5)


def test_a_window_may_be_named_and_takes_the_place_of_the_files_own(tmp_path):
    path = write_dicom(tmp_path / "ct.dcm", HU, VOILUTSequence=lut(0, range(100), 8), WindowCenter=1, WindowWidth=2)
    np.testing.assert_allclose(levels(f"{path}#window=-600,1500"), np.clip((HU + 600.5) / 1499 + 0.5, 0, 1), atol=1e-5)


@pytest.mark.parametrize("choice", ["window=40", "window=40,0", "window=a,b", "frame=0x1", "frame=", "frame=1&what=2"])
def test_a_choice_that_is_none_is_refused(tmp_path, choice):
    path = write_dicom(tmp_path / "ct.dcm", HU)
    with pytest.raises(DataError, match=r"ct\.dcm .*#frame=3"):
        read_image(f"{path}#{choice}")


def test_float_pixels_need_a_window(tmp_path):
    values = RNG.normal(size=(6, 5)).astype(np.float32)
    made = dataset(HU[:6, :5])
    del made.PixelData, made.BitsStored, made.HighBit, made.PixelRepresentation
    made.FloatPixelData, made.BitsAllocated = values.tobytes(), 32
    made.save_as(tmp_path / "map.dcm", enforce_file_format=True)
    with pytest.raises(DataError, match="floating-point pixels and no window"):
        read_image(tmp_path / "map.dcm")
    np.testing.assert_allclose(
        levels(f"{tmp_path / 'map.dcm'}#window=0.5,3"), np.clip((values - 0.0) / 2 + 0.5, 0, 1), atol=1e-5
    )


# --- colours ---------------------------------------------------------------------------------------------------------

PHOTO = RNG.integers(0, 256, (12, 10, 3)).astype(np.uint8)


def test_colours_in_both_planar_configurations_and_of_16_bits(tmp_path):
    path = write_dicom(tmp_path / "rgb", PHOTO)
    np.testing.assert_array_equal(np.asarray(read_image(path)), PHOTO)
    planes = dataset(PHOTO, PlanarConfiguration=1)
    planes.PixelData = PHOTO.transpose(2, 0, 1).tobytes()
    planes.save_as(tmp_path / "planes", enforce_file_format=True)
    np.testing.assert_array_equal(np.asarray(read_image(tmp_path / "planes")), PHOTO)
    deep = PHOTO.astype(np.uint16) * 257 - (PHOTO > 9)
    np.testing.assert_array_equal(np.asarray(read_image(write_dicom(tmp_path / "deep", deep))), deep >> 8)
    with pytest.raises(DataError, match="coloured, and a window"):
        read_image(f"{path}#window=40,400")


def test_ybr_becomes_rgb(tmp_path):
    ybr = np.asarray(Image.fromarray(PHOTO).convert("YCbCr"))
    path = write_dicom(tmp_path / "ybr", ybr, PhotometricInterpretation="YBR_FULL")
    assert np.abs(np.asarray(read_image(path)).astype(int) - PHOTO).max() <= 4  # both round


@pytest.mark.parametrize("bits", [8, 16])
def test_a_palette_is_applied(tmp_path, bits):
    from stitchkit.datasets.grey_levels import DEPTH

    indices = RNG.integers(0, 256, (12, 10)).astype(np.uint8)
    palette = RNG.integers(0, 2**bits, (256, 3))
    palette[0] = 2**bits - 1
    tags = {"PhotometricInterpretation": "PALETTE COLOR"}
    for name, column in zip(("Red", "Green", "Blue"), palette.T, strict=True):
        tags[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, bits]
        tags[f"{name}PaletteColorLookupTableData"] = column.astype("<u1" if bits == 8 else "<u2").tobytes()
    image = read_image(write_dicom(tmp_path / "palette", indices, **tags))
    np.testing.assert_array_equal(np.asarray(image), palette[indices] >> (bits - 8))
    assert (DEPTH in image.info) == (bits == 16)


def test_an_unknown_photometric_interpretation_is_refused_without_its_name(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", FILM, bits=12, PhotometricInterpretation="SECRET")
    with pytest.raises(DataError, match="PhotometricInterpretation that is not read here") as raised:
        read_image(path)
    assert "SECRET" not in str(raised.value)


# --- frames ----------------------------------------------------------------------------------------------------------

CINE = RNG.integers(0, 256, (5, 8, 9)).astype(np.uint8)


@pytest.fixture
def cine(tmp_path):
    return write_dicom(tmp_path / "cine.dcm", CINE, NumberOfFrames=5)


def test_a_file_of_several_frames_asks_for_one(cine):
    for reader in (read_image, lambda path: content_key(path, "image")):
        with pytest.raises(DataError, match=r"holds 5 frames, .*cine\.dcm#frame=1 to #frame=5, cine\.dcm#frame=middle"):
            reader(cine)
    np.testing.assert_array_equal(np.asarray(read_image(f"{cine}#frame=middle")), CINE[2])
    np.testing.assert_array_equal(np.asarray(read_image(f"{cine}#frame=5")), CINE[4])
    for wrong in ("0", "6"):
        with pytest.raises(DataError, match=r"5 frames, and frame .* was asked for\. Choose 1 to 5"):
            read_image(f"{cine}#frame={wrong}")
    assert len({content_key(f"{cine}#frame={k}", "image") for k in range(1, 6)}) == 5
    assert content_key(f"{cine}#frame=middle", "image") == content_key(f"{cine}#frame=3", "image")


def test_all_frames_are_items_of_their_own(tmp_path, cine):
    single = write_dicom(tmp_path / "one.dcm", CINE[0])
    items = read_items(f"{cine}#frame=all")
    assert items.ids.tolist() == [f"cine.dcm#frame={k}" for k in range(1, 6)]
    np.testing.assert_array_equal(np.asarray(read_image(items.values[3])), CINE[3])
    (tmp_path / "list.csv").write_text("id,path\na,cine.dcm#frame=all\nb,one.dcm\nc,cine.dcm#frame=middle\n")
    items = read_items(tmp_path / "list.csv")
    assert items.ids.tolist() == [*(f"a#frame={k}" for k in range(1, 6)), "b", "c"]
    (tmp_path / "list.txt").write_text("cine.dcm#window=99,200&frame=all\none.dcm\n")
    assert read_items(tmp_path / "list.txt").ids[4] == "cine.dcm#window=99,200&frame=5"
    assert len(read_items(tmp_path)) == 2
    assert single.name in read_items(tmp_path).ids
    (tmp_path / "pairs.csv").write_text("id,path,text\na,cine.dcm#frame=all,clear\n")
    pairs = read_anchors(tmp_path / "pairs.csv")
    with pytest.raises(DataError, match="one image or pair has room for one"):
        read_image(pairs.source_items.values[0])


def test_a_choice_behind_a_folder_holds_for_its_dicom_files(tmp_path, cine):
    write_dicom(tmp_path / "IM1", CINE[0])
    Image.fromarray(CINE[1]).save(tmp_path / "a.png")
    items = read_items(f"{tmp_path}#frame=middle")
    assert items.ids.tolist() == ["IM1", "a.png", "cine.dcm"]
    for value, expected in zip(items.values, (CINE[0], CINE[1], CINE[2]), strict=True):
        np.testing.assert_array_equal(np.asarray(read_image(value)), expected)
    assert len(read_items(f"{tmp_path}#frame=all")) == 7
    with pytest.raises(DataError, match="is a folder; texts"):
        read_items(f"{tmp_path}#frame=all", modality="text")


def test_other_images_have_no_frames(tmp_path):
    Image.fromarray(CINE[0]).save(tmp_path / "a.png")
    for reader in (read_image, image_metadata):
        with pytest.raises(DataError, match="no DICOM file"):
            reader(f"{tmp_path / 'a.png'}#frame=1")
    assert looks_like_image("a.IMA#frame=3")
    assert not looks_like_image("say a.dcm # of frames")


# --- files of a folder -----------------------------------------------------------------------------------------------


def test_files_without_an_ending_are_known_by_their_content(tmp_path):
    for name in ("IM000001", "1.2.840.113619.2.55", "a.dcm", "b.DICOM", "sub/c.ima"):
        write_dicom(tmp_path / name, FILM, bits=12)
    (tmp_path / "DICOMDIR").write_bytes((SHIPPED / "dicomdirtests" / "DICOMDIR").read_bytes())
    (tmp_path / "README").write_text("nothing")
    (tmp_path / "notes.txt").write_text("nothing")
    items = read_items(tmp_path)
    assert items.ids.tolist() == ["1.2.840.113619.2.55", "IM000001", "a.dcm", "b.DICOM", "sub/c.ima"]
    assert len(read_items(tmp_path / "IM000001")) == 1
    (tmp_path / "pairs.csv").write_text("path,text\nIM000001,clear\nsub/c.ima,clear\n")
    pairs = read_anchors(tmp_path / "pairs.csv")
    assert pairs.source_items.modality == "image"
    (tmp_path / "gone.csv").write_text("path,text\ngone.dcm#frame=2,clear\n")
    with pytest.raises(DataError, match=r"there is no file 'gone\.dcm#frame=2'"):
        read_anchors(tmp_path / "gone.csv")


def test_a_dicom_file_may_be_called_anything(tmp_path):
    path = write_dicom(tmp_path / "film.png", FILM, bits=12)
    assert read_image(path).mode == "I;16"


# --- keys ------------------------------------------------------------------------------------------------------------


def test_content_keys_are_of_pixels_and_not_of_patients(tmp_path):
    window = {"WindowCenter": 2000, "WindowWidth": 3000, "bits": 12}
    one = write_dicom(tmp_path / "one", FILM, PatientName="A", PatientID="1", **window)
    other = write_dicom(tmp_path / "other.dcm", FILM, PatientName="B", PatientID="2", StudyDate="20200101", **window)
    keys = [content_key(path, "image") for path in (one, other)]
    assert keys[0] == keys[1]
    changed = {
        "window": window | {"WindowWidth": 3001},
        "function": window | {"VOILUTFunction": "SIGMOID"},
        "slope": window | {"RescaleSlope": 2},
        "inverted": window | {"PhotometricInterpretation": "MONOCHROME1"},
        "padding": window | {"PixelPaddingValue": 0},
        "lut": window | {"VOILUTSequence": lut(0, range(4096), 12)},
        "other lut": window | {"VOILUTSequence": lut(0, range(1, 4097), 13)},
        "bits": window | {"bits": 13},
    }
    for name, settings in changed.items():
        keys.append(content_key(write_dicom(tmp_path / name, FILM, **settings), "image"))
    keys.append(content_key(write_dicom(tmp_path / "pixels", FILM[::-1], **window), "image"))
    keys.append(content_key(f"{one}#window=2000,3000", "image"))
    assert len(set(keys)) == len(keys) - 1


def test_a_png_of_a_dicom_file_has_the_same_pixels(tmp_path):
    from stitchkit.core.items import Items

    smooth = np.kron(RNG.integers(0, 256, (8, 8)), np.ones((8, 8))).astype(np.uint8)
    path = write_dicom(tmp_path / "film", smooth)
    Image.fromarray(smooth).save(tmp_path / "film.png")
    ids = np.asarray(["a", "b"])
    prints = ImageFingerprints.of(ids, list(fingerprints_of(Items(ids, [path, tmp_path / "film.png"], "image"))))
    alike, _ = find_alike(prints)
    assert [one.kind for one in alike] == ["same pixels"]


# --- what is missing or hostile --------------------------------------------------------------------------------------


def test_without_pydicom_the_error_names_the_extra(tmp_path, monkeypatch):
    path = write_dicom(tmp_path / "a.dcm", FILM, bits=12)
    monkeypatch.setitem(sys.modules, "pydicom.pixels", None)
    for reader in (read_image, image_metadata, lambda one: content_key(one, "image")):
        with pytest.raises(MissingExtraError, match=r"pip install 'stitchkit\[dicom\]'"):
            reader(path)


@pytest.mark.parametrize(
    ("name", "decoder", "step"),
    [
        ("MR_small_jpeg_ls_lossless.dcm", "JPEGLSLosslessDecoder", r"pip install 'stitchkit\[dicom\]'"),
        ("MR_small_jp2klossless.dcm", "JPEG2000LosslessDecoder", r"pip install 'stitchkit\[dicom\]'"),
        ("SC_rgb_jpeg_gdcm.dcm", "JPEGLosslessSV1Decoder", BY_ANOTHER_READER),
    ],
)
def test_without_a_reader_of_the_compression_the_error_has_the_pip_line(monkeypatch, name, decoder, step):
    monkeypatch.setattr(getattr(pydicom.pixels.decoders, decoder), "_available", {})
    with pytest.raises(MissingExtraError, match=step):
        read_image(SHIPPED / name)


def test_a_damaged_run_of_rle_is_refused(tmp_path):
    pytest.importorskip("pylibjpeg")  # pydicom's own reader drops what is too much
    whole = bytearray((SHIPPED / "MR_small_RLE.dcm").read_bytes())
    first = whole.rindex(b"\xfe\xff\x00\xe0") + 8 + 64  # behind the item's head and the table of segments
    whole[first : first + 200] = bytes([0x81, 7]) * 100  # runs of 128, more than the picture holds
    (tmp_path / "rle.dcm").write_bytes(whole)
    with pytest.raises(DataError, match=r"rle\.dcm"):
        read_image(tmp_path / "rle.dcm")


@pytest.mark.parametrize("error", [type("PanicException", (BaseException,), {}), MemoryError, KeyboardInterrupt])
def test_a_panic_of_a_reader_is_a_damaged_file_and_memory_is_not(tmp_path, monkeypatch, error):
    def decode(*args, **settings):
        raise error("no value of a tag")

    path = write_dicom(tmp_path / "a.dcm", FILM, bits=12)
    monkeypatch.setattr(pydicom.pixels, "pixel_array", decode)
    with pytest.raises(error if error.__name__ != "PanicException" else DataError):
        read_image(path)


def test_a_video_is_refused(tmp_path):
    made = dataset(CINE, NumberOfFrames=5)
    made.file_meta.TransferSyntaxUID = pydicom.uid.UID("1.2.840.10008.1.2.4.102")
    made.PixelData = pydicom.encaps.encapsulate([b"video data" * 10])
    made["PixelData"].VR = "OB"
    made["PixelData"].is_undefined_length = True
    made.save_as(tmp_path / "video.dcm", enforce_file_format=True)
    with pytest.raises(DataError, match="frames of a video as single images"):
        read_image(f"{tmp_path / 'video.dcm'}#frame=1")


@pytest.mark.parametrize(
    ("keyword", "value", "says"),
    [
        ("Rows", None, "states no Rows"),
        ("BitsStored", None, "states no BitsStored"),
        ("BitsStored", 99, "damaged"),
        ("HighBit", 3, "BitsAllocated, BitsStored and HighBit do not fit"),
        ("Rows", 0, "picture without pixels"),
        ("Rows", 60000, "damaged or cut off"),
        ("SamplesPerPixel", 3, "damaged"),
        ("PhotometricInterpretation", None, "PhotometricInterpretation that is not read here, or none"),
        ("RescaleSlope", 0, "RescaleSlope makes one value of all"),
        ("WindowWidth", 0, "window of no width"),
        ("VOILUTFunction", "PRIVATE", "VOILUTFunction that the standard does not have"),
        ("VOILUTSequence", lut(0, [], 8), "damaged"),
    ],
)
def test_damaged_tags_are_refused_by_name(tmp_path, keyword, value, says):
    path = write_dicom(tmp_path / "bad.dcm", FILM, **{"bits": 12, "WindowCenter": 9, "WindowWidth": 9, keyword: value})
    with pytest.raises(DataError, match=rf"bad\.dcm.*{says}"):
        read_image(path)


def test_a_bomb_is_refused_before_its_pixels_are_made(tmp_path, monkeypatch):
    path = write_dicom(tmp_path / "wide.dcm", FILM, bits=12, Rows=65000, Columns=65000)
    for reader in (read_image, image_metadata):
        with pytest.raises(DataError, match=r"decompression bomb .65000 x 65000 pixels"):
            reader(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000_000)
    whole = (SHIPPED / "image_dfl.dcm").read_bytes()
    (group,) = struct.unpack_from("<I", whole, 140)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = packer.compress(zlib.decompress(whole[144 + group :], -15) + bytes(1 << 28)) + packer.flush()
    (tmp_path / "bomb.dcm").write_bytes(whole[: 144 + group] + bomb)
    with pytest.raises(DataError, match=r"decompression bomb .* that unpack to more than"):
        read_image(tmp_path / "bomb.dcm")
    jpeg2000 = (SHIPPED / "JPEG2000.dcm").read_bytes()
    at = jpeg2000.index(b"\xff\x4f\xff\x51")
    (tmp_path / "wider.dcm").write_bytes(jpeg2000[: at + 8] + struct.pack(">II", 60000, 60000) + jpeg2000[at + 16 :])
    with pytest.raises(DataError, match="another size than it states"):
        read_image(tmp_path / "wider.dcm")


def test_pydicom_does_not_warn_here_and_warns_elsewhere_as_before(tmp_path, recwarn):
    warnings.simplefilter("always")
    for name in ("MR_small_padded.dcm", "SC_rgb_jpeg.dcm"):
        read_image(SHIPPED / name)
    with pytest.raises(DataError) as raised:
        read_image(SHIPPED / "badVR.dcm")
    assert "1A" not in str(raised.value)
    assert [str(one.message) for one in recwarn] == []
    with pytest.warns(UserWarning, match="excess padding"):
        _ = pydicom.dcmread(SHIPPED / "MR_small_padded.dcm").pixel_array

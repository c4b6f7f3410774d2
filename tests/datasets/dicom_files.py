"""DICOM files that the tests write with pydicom."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np

CR, ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.2.1"
EXPLICIT, IMPLICIT, BIG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"


@contextmanager
def unchecked():
    """Let pydicom write values that the standard does not allow, without a warning."""
    from pydicom.config import IGNORE, settings

    before = settings.reading_validation_mode, settings.writing_validation_mode
    settings.reading_validation_mode = settings.writing_validation_mode = IGNORE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        settings.reading_validation_mode, settings.writing_validation_mode = before


def dataset(values, *, bits=None, syntax=EXPLICIT, kind=CR, **tags):
    """A dataset of pixels (h, w), (h, w, 3) or, with ``NumberOfFrames``, with frames in front."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID, generate_uid

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = UID(kind), generate_uid()
    meta.TransferSyntaxUID = UID(syntax)
    made = Dataset()
    made.file_meta = meta
    made.SOPClassUID, made.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    values = np.asarray(values)
    frame = values[0] if "NumberOfFrames" in tags else values
    made.Rows, made.Columns = frame.shape[:2]
    made.SamplesPerPixel = frame.shape[2] if frame.ndim == 3 else 1
    if made.SamplesPerPixel == 3:
        made.PlanarConfiguration = 0
    made.PhotometricInterpretation = "RGB" if frame.ndim == 3 else "MONOCHROME2"
    made.BitsAllocated = values.dtype.itemsize * 8
    made.BitsStored = bits or made.BitsAllocated
    made.HighBit = made.BitsStored - 1
    made.PixelRepresentation = int(values.dtype.kind == "i")
    order = ">" if syntax == BIG else "<"
    made.PixelData = values.astype(values.dtype.newbyteorder(order)).tobytes()
    made["PixelData"].VR = "OB" if values.dtype.itemsize == 1 else "OW"
    if len(made.PixelData) % 2:
        made.PixelData += b"\0"
    for keyword, value in tags.items():
        if value is None:
            delattr(made, keyword)
        else:
            setattr(made, keyword, value)
    return made


def write_dicom(path: Path, values, **settings) -> Path:
    with unchecked():
        made = dataset(values, **settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    made.save_as(path, enforce_file_format=True)
    return path


def lut(first: int, entries, bits: int, vr: str = "US"):
    """A sequence of one look-up table."""
    from pydicom.dataset import Dataset

    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(entries) % 65536, first, bits])
    content = np.asarray(entries, dtype="<u2")
    item.add_new("LUTData", vr, content.tobytes() if vr == "OW" else content.tolist())
    return [item]

"""DICOM files: tags, frames, grey levels, pictures, and metadata on request."""

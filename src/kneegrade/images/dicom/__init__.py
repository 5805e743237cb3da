"""A DICOM FILE -> Radiograph: header, codestream, stored values, what a reader sees."""

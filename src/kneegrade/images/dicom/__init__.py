"""A DICOM FILE -> Radiograph: its header, its frame, how it is presented, what is refused."""

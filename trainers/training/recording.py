"""Whether a file of clips can be read, before TensorFlow is imported for it."""

HDF5 = b"\x89HDF\r\n\x1a\n"  # what such a file begins with


def check_recording(path):
    """Raise ValueError unless there is an HDF5 file."""
    if not path.is_file():
        raise ValueError(
            f"data: no such file, {path}; check the path, give its new one with --data"
        )
    try:
        with open(path, "rb") as file:  # h5py says of a busy one that it is no HDF5
            start = file.read(2**20 + len(HDF5))
    except OSError as error:
        raise ValueError(
            f"data: {path} cannot be read ({error.strerror}); make it readable"
        ) from None
    places = (0, *(2**power for power in range(9, 21)))  # after a user's block
    if not any(start.startswith(HDF5, place) for place in places):
        raise ValueError(
            f"data: expected an HDF5 file, received {path}; write one as "
            "docs/extending.md says, or use data.from_arrays in Python"
        )

"""What TensorFlow's errors say, in one line."""

SAYING = ("assertion failed", "is not compatible")


def sentence(message):
    """An error of a graph without where in the graph it happened.

    Args:
        message: as TensorFlow or TF Serving give it, often of several lines.

    Returns:
        the line that says what was wrong, or all of it as one line.
    """
    lines = message.splitlines()
    said = [line.strip() for line in lines if any(text in line for text in SAYING)]
    return said[0] if said else " ".join(message.split())

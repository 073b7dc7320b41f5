"""Import TensorFlow without its notes about oneDNN and missing GPUs.

TensorFlow's libraries write them to file descriptor 2 while they load, before any
logging level applies, so they have to be caught there.
"""

import contextlib
import os
import re
import sys
import tempfile

NOTE = re.compile(rb"I0000 |WARNING: All log messages before absl::InitializeLog")


@contextlib.contextmanager
def startup():
    """Hold back what is written to stderr; afterwards pass on all but the notes."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # for what comes later
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            held.seek(0)
            lines = [line for line in held if not NOTE.match(line)]
            os.write(2, b"".join(lines))

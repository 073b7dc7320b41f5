"""What a server refuses, and which of its errors pass."""

PASSING = (
    "RESOURCE_EXHAUSTED",  # no thread free
    "UNAVAILABLE",  # nobody there, or not yet
    "CANCELLED",  # a server that stops ends so what it has begun
)
BROKEN = ("RST_STREAM", "Stream removed")  # a connection's end under another code
TOO_LARGE = "message larger than max"  # RESOURCE_EXHAUSTED too, but it never passes


class Refused(ValueError):
    """A request that the server will not answer, however often it is sent.

    Args:
        message: one line.
        code: gRPC's name of the status, such as "NOT_FOUND"; empty if there is none.
    """

    def __init__(self, message, code=""):
        super().__init__(message)
        self.code = code


class Passing(Exception):
    """A request that may be answered if it is sent again.

    Args:
        reason: one line.
        reached: whether the server itself said so.
    """

    def __init__(self, reason, reached):
        super().__init__(reason)
        self.reached = reached


def passes(code, details):
    """Whether a status of gRPC is worth another request."""
    if code in PASSING:
        return TOO_LARGE not in details
    return any(text in details for text in BROKEN)

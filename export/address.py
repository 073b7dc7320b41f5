"""Where a server is: HOST:PORT, as people write it."""

import ipaddress
import re

GRPC_PORT, REST_PORT = 8500, 8501  # TF Serving's own
SCHEMES = {False: "grpc", True: "http"}  # by --rest


def parse(text, rest):
    """The HOST:PORT of what --server says; this machine's if it is None.

    Raises:
        ValueError: if it names no host, a port that there is not, or more than both.
    """
    default = REST_PORT if rest else GRPC_PORT
    if text is None:
        return f"localhost:{default}"

    def wrong(remedy):
        return ValueError(
            f"server: expected HOST or HOST:PORT, such as localhost:{default}, "
            f"received {text!r}; {remedy}"
        )

    scheme, separator, place = text.rpartition("://")
    if separator and scheme.lower() != SCHEMES[rest]:
        if scheme.lower() == SCHEMES[not rest]:
            raise wrong("omit --rest" if rest else "add --rest")
        raise wrong(f"omit {scheme}://")
    place = place.rstrip("/")
    if re.search(r"[\s/?#@]", place):
        raise wrong("write nothing else")
    if place.count(":") > 1 and not place.startswith("["):
        place = f"[{place}]"  # ::1 has no port
    parts = re.fullmatch(r"(\[.*\]|[^:\[\]]*)(?::(.*))?", place)
    if not parts:
        raise wrong("write an IPv6 address as [::1]:8500")
    host, port = parts[1], parts[2] if parts[2] is not None else str(default)
    if host.startswith("["):
        try:
            ipaddress.IPv6Address(host[1:-1])
        except ValueError:
            raise wrong("write an IPv6 address as [::1]:8500") from None
    elif not host or host.isdecimal():
        raise wrong(f"name the host, such as localhost:{host or port}")
    if not re.fullmatch("[0-9]+", port) or not 1 <= int(port) <= 65535:
        raise wrong("a port is a number from 1 to 65535")
    return f"{host}:{int(port)}"

"""Whether what is asked for fits this machine, before hours or the machine are lost."""

import psutil


def check(components, pixels, remedy, machines=1, kept=2, what="psi and gamma"):
    """Raise ValueError if psi and gamma alone would not fit the memory.

    Args:
        components: K.
        pixels: B * T * H * W * C, of all clips at a time.
        remedy: what to make smaller beside K.
        machines: how many like this one share them.
        kept: float32 numbers for each of psi, 2 for psi and gamma.
        what: what they are.
    """
    needed = kept * 4 * components * pixels
    here = psutil.virtual_memory().total
    if needed > here * machines:
        raise ValueError(
            f"components: expected what fits {here / 1e9:.0f} GB of memory, received "
            f"{components}, whose {what} take {needed / 1e9:.0f} GB; use fewer, "
            f"or {remedy}"
        )

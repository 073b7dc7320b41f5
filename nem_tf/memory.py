"""Whether what is asked for fits this machine, before hours or the machine are lost."""

import psutil


def check(components, pixels, remedy, machines=1):
    """Raise ValueError if psi and gamma alone would not fit the memory.

    Args:
        components: K.
        pixels: B * T * H * W * C, of all clips at a time.
        remedy: what to make smaller beside K.
        machines: how many like this one share them.
    """
    needed = 2 * 4 * components * pixels  # psi and gamma, float32
    here = psutil.virtual_memory().total
    if needed > here * machines:
        raise ValueError(
            f"components: expected what fits {here / 1e9:.0f} GB of memory, received "
            f"{components}, whose psi and gamma take {needed / 1e9:.0f} GB; use fewer, "
            f"or {remedy}"
        )

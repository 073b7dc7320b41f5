"""The optional packages, and what to install where one is missing."""

import importlib.util

MODULES = {
    "serving": ("tensorflow_serving", "grpc", "requests"),
    "video": ("av",),
    "litert": ("ai_edge_litert",),
}


def need(extra):
    """Raise ValueError with the remedy unless the packages of an extra are there."""
    missing = [
        module for module in MODULES[extra] if importlib.util.find_spec(module) is None
    ]
    if missing:
        raise ValueError(
            f"{', '.join(missing)} not installed; pip install 'nem-tf[{extra}]'"
        )

"""Where versions of an exported model stand: MODEL/1, MODEL/2, ..."""


def versions(model):
    """The integers among the names in a model's folder, in order; none without it."""
    if not model.is_dir():
        return []
    names = [path.name for path in model.iterdir()]
    return sorted(int(name) for name in names if name.isdecimal())

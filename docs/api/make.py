"""Write the API reference of nem_tf: HTML pages made from its docstrings by pdoc.

    python docs/api/make.py [DIR]

DIR is build/api unless given; begin reading at DIR/nem_tf.html. pdoc comes with
`pip install -e '.[docs]'`.
"""

import os
import pathlib
import sys


def write(out):
    """Write the pages into a folder, which is made.

    Raises:
        RuntimeError: if a docstring cannot be read.
    """
    os.environ["PDOC_ALLOW_EXEC"] = "1"  # NumPy asks the system for its processor
    import pdoc
    from pdoc import docstrings, render

    sections = docstrings.GOOGLE_LIST_SECTIONS  # those shown as lists
    if "Call arguments" not in sections:
        sections.append("Call arguments")
    render.configure(
        docformat="google", template_directory=pathlib.Path(__file__).parent
    )
    pdoc.pdoc("nem_tf", output_directory=pathlib.Path(out))


if __name__ == "__main__":
    from trainers.training import quiet

    out = pathlib.Path(*sys.argv[1:] or ["build/api"])
    with quiet.startup():
        write(out)
    print(out / "nem_tf.html")

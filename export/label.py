"""Let a label of a served model mean another version: promotion and rollback.

    python -m export.label models/flying_shapes_k3 stable 2

A server with --model_config_file_poll_wait_seconds=60 follows within a minute. Requests
by label never see a gap, since all versions in the model's folder stay loaded.
"""

import pathlib
import sys

from export import command


def main(arguments=None):
    """The command; returns the exit status."""
    parser = command.parser("label", __doc__, "MODEL LABEL VERSION")
    parser.add_argument("model", type=pathlib.Path, help="folder of the model")
    parser.add_argument("label", help="stable, canary, or one of your own")
    parser.add_argument("version", type=int, help="integer, a folder in the model's")
    given = parser.parse_args(arguments)
    names = given.model, given.label, given.version
    return command.run("label", label, *names, debug=given.debug)


def label(model, text, version):
    """Let the label `text` of the model in a folder mean `version`."""
    command.need("serving")
    from export import server_files

    model = model.absolute()
    server_files.label(model.parent, model.name, text, version)
    print(f"{model.name}: {text} is version {version}")


if __name__ == "__main__":
    sys.exit(main())

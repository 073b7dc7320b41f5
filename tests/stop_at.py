"""Run a trainer that is told to stop at a given place.

    python -m tests.stop_at STAGE,EPOCH,UPDATE SIGNAL TRAINER [flags]

Counted from 0; the place "EPOCH's number of updates" is in the validation.
"""

import signal
import sys

from tests import on_devices


def main():
    place, number, *sys.argv[1:] = sys.argv[1:]
    sys.argv.insert(1, "1")
    place = tuple(map(int, place.split(",")))

    from trainers.training import keeping

    def ask(self, *_, **__):
        at = self.run.at
        if (at.stage, at.epoch, at.update) == place:
            signal.raise_signal(int(number))

    keeping.Keep.on_train_batch_begin = ask
    keeping.Keep.on_test_batch_begin = ask
    return on_devices.main()


if __name__ == "__main__":
    sys.exit(main())

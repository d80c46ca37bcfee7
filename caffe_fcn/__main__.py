"""The program's door: `caffe-fcn` and `python -m caffe_fcn`.

It imports nothing at first, so that an interrupt while the rest is loaded ends like any other.
"""

from __future__ import annotations

import gc
import os


def main() -> None:
    """Run the command line and exit."""
    gc.disable()  # a short life: looking for cycles among what is being imported would be a seventh of it
    try:
        from caffe_fcn.cli.main import main as run  # here, because an interrupt may come while it is loaded

        run()
    except KeyboardInterrupt:
        os.write(2, b"caffe-fcn: interrupted; no file is half written\n")
        os._exit(130)  # 128 + SIGINT


if __name__ == "__main__":
    main()

"""Scripts that measure the package, and what it is compared with."""

import sys

# Triton's LLVM and TensorFlow's crash in one process. On CPUs PyTorch needs no Triton.
sys.modules.setdefault("triton", None)  # type: ignore[arg-type]

"""Where a session's code runs: kernels that speak the words of Jupyter, sandboxed and quick.

Beside the stores: it knows folders, limits and processes, and nothing of sessions or logs. What is
heavy (IPython, pandas) is imported in the kernels' own processes only.
"""

from parlour.kernels.kernel import (
    Cleared,
    Displayed,
    Ended,
    Kernel,
    KernelFactory,
    KernelHost,
    Output,
    Place,
    Printed,
    Raised,
    Returned,
    Saved,
    Updated,
)

__all__ = [
    "Cleared",
    "Displayed",
    "Ended",
    "Kernel",
    "KernelFactory",
    "KernelHost",
    "Output",
    "Place",
    "Printed",
    "Raised",
    "Returned",
    "Saved",
    "Updated",
]

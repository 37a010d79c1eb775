"""Which host starts kernels, by the settings."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from parlour.errors import KernelUnavailable
from parlour.kernels.kernel import KernelHost
from parlour.settings import KernelSettings

_CURE = 'install them with `pip install "parlour[kernels]"`'


def host_for(settings: KernelSettings, folder: Path) -> KernelHost:
    """The host that `settings.backend` names. Raises `KernelUnavailable`."""
    needed = ("IPython", "cloudpickle") if settings.backend == "fork" else ("jupyter_client",)
    missing = [name for name in needed if find_spec(name) is None]
    if missing and not (settings.backend == "fork" and settings.python):
        raise KernelUnavailable(f"kernels need {' and '.join(missing)}; {_CURE}")
    if settings.backend == "jupyter":
        from parlour.kernels.jupyter import JupyterHost

        return JupyterHost(settings)
    from parlour.kernels.forked import ForkHost

    return ForkHost(settings, folder)

"""Packages that only some environments need: imported when one is asked for, with the command that installs them."""

import importlib
import importlib.util
from types import ModuleType

EXTRAS = {
    "gymnax": "rl",
    "xminigrid": "rl",
    "octax": "octax",
    "cv2": "octax",
    "ale_py": "atari",
    "gymnasium": "atari",
}
"""package -> the extra of this project that has it"""


def installed(package: str) -> bool:
    """Whether the package is there; nothing is imported."""
    return importlib.util.find_spec(package) is not None


def required(where: str, package: str) -> ModuleType:
    """The package; raises `ValueError` with the command that installs it."""
    if not installed(package):
        raise ValueError(
            f"environment: found no package {package}, which {where!r} needs; run: pip install -e .[{EXTRAS[package]}]"
        )
    return importlib.import_module(package)

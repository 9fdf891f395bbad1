"""Reading pickles of NumPy arrays without running code of their choosing."""

import io
import pickle
from typing import Any

# What a pickle of NumPy arrays in lists and dicts needs, under the module names of NumPy 1 and 2.
_ALLOWED = {
    *((f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
    *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}
_DAMAGE = (EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError, MemoryError)


def arrays_only(content: bytes) -> Any:
    """What a pickle of arrays, numbers, strings, lists and dicts holds; raises `ValueError` for any other."""
    try:
        return _ArraysOnly(io.BytesIO(content), encoding="latin1").load()
    except pickle.UnpicklingError as error:
        raise ValueError(str(error)) from error
    except _DAMAGE as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if (module_name, global_name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it names {module_name}.{global_name}, wanted NumPy arrays only")
        return super().find_class(module_name, global_name)

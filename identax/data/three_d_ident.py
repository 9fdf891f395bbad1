"""3DIdent: renderings of an object, a spotlight and a background with known positions, rotations and colours."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from PIL import Image, UnidentifiedImageError
from scipy.spatial import KDTree
from scipy.stats import vonmises_fisher

from identax.checks import check_choice, check_count
from identax.data._checks import home_expanded
from identax.dgp.base import Sample
from identax.inputs import float_type, numbers

MEAN = (0.3292, 0.3278, 0.3215)
STD = (0.0778, 0.0776, 0.0771)
"""of the published images' channels in [0, 1] (Zimmermann et al. 2021, code)"""
POSITIONS = 3
CONDITIONALS = ("normal", "laplace", "gennorm3")
_COLUMNS = {10: "three positions and seven angles in [-1, 1]", 11: "three positions and a point of the sphere in R^8"}
_FETCH = (
    "pip install zenodo-get && zenodo_get 4502485, then unpack its archives; the folder of one split holds"
    " raw_latents.npy and images/"
)


class ThreeDIdent:
    """One split of 3DIdent on disk: `latents` [M, 10 or 11] in memory, images read when asked for.

    `root` holds `raw_latents.npy` and `images/000000.png`, ... (the row's number, padded with zeros to the width that
    the number of rows needs). Three positions in [-1, 1], then seven angles, either each in [-1, 1] (10 columns) or
    together as a point of the unit sphere in R^8 (11 columns). `side`: of the square images.
    Raises `ValueError` where files are missing (with the command that fetches them) or `raw_latents.npy` is truncated,
    of another shape or type, or out of range.
    Source: Zimmermann et al. 2021, 3DIdent (Zenodo record 4502485).
    """

    def __init__(self, root: str | Path, *, side: int = 224) -> None:
        self.root, self.side = Path(home_expanded(root)), side
        file = self.root / "raw_latents.npy"
        if not file.exists() or not (self.root / "images").is_dir():
            raise ValueError(f"ThreeDIdent: found no raw_latents.npy and images/ in {self.root}; run: {_FETCH}")
        try:
            latents = np.load(file, allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise ValueError(f"ThreeDIdent: {file} cannot be read ({error}); run: {_FETCH}") from error
        self.latents = _checked_latents(file, latents)
        self._width = int(np.ceil(np.log10(len(latents)))) if len(latents) > 1 else 0

    def __len__(self) -> int:
        return len(self.latents)

    def image(self, index: int) -> Float[np.ndarray, "side side 3"]:
        """Image `index`, float32, channels normalised by `MEAN` and `STD`.

        Raises `ValueError` for a file that is missing, truncated or of another size.
        """
        file = self.root / "images" / f"{str(index).zfill(self._width)}.png"
        try:
            with Image.open(file) as opened:
                pixels = np.asarray(opened.convert("RGB"))
        except FileNotFoundError:
            raise ValueError(f"ThreeDIdent: found no image {file}; run: {_FETCH}") from None
        except (OSError, SyntaxError, UnidentifiedImageError) as error:
            raise ValueError(f"ThreeDIdent: {file} is corrupted ({error}); run: {_FETCH}") from error
        if pixels.shape != (self.side, self.side, 3):
            raise ValueError(f"ThreeDIdent: found {file} of shape {pixels.shape}, wanted {(self.side, self.side, 3)}")
        mean, std = np.asarray(MEAN, np.float32), np.asarray(STD, np.float32)
        return (pixels.astype(np.float32) / np.float32(255) - mean) / std


class ThreeDIdentPairs:
    """Pairs of renderings whose latents lie near a drawn pair, for `identax.data.epoch_batches`.

    z uniform, z~ from the conditional around z; both are replaced by their L2-nearest rendered latents, z~ by the
    second nearest where its nearest is z's. In [-1, 1] the law is `conditional` with scale `sigma` (its standard
    deviation for "normal"), truncated to the box by redrawing coordinates; sphere-coded angles follow von Mises-Fisher
    with kappa = 1/sigma. Pair i is drawn from (`seed`, i) alone, so there are `num_pairs` different ones.
    An example is `Sample(latents=(z, z_pos), observations=(x, x_pos))`, images [side, side, 3].
    Raises `ValueError` for an unknown conditional, sigma <= 0 or infinite, num_pairs < 1, a seed < 0 and fewer than two
    renderings.
    Source: Zimmermann et al. 2021, 3DIdent (code; there pairs never repeat).
    """

    parallel = True  # for epoch_batches

    def __init__(
        self,
        data: ThreeDIdent,
        *,
        conditional: str = "normal",
        sigma: Any = 0.1,
        num_pairs: Any = 1_000_000,
        seed: Any = 0,
    ) -> None:
        check_choice("ThreeDIdentPairs", "conditional", conditional, CONDITIONALS)
        for name, number in (("num_pairs", num_pairs), ("seed", seed)):
            check_count("ThreeDIdentPairs", name, number, 0)
        if not 0 < sigma < np.inf or num_pairs < 1 or len(data) < 2:
            raise ValueError(
                f"ThreeDIdentPairs: found sigma={sigma}, num_pairs={num_pairs} and {len(data)} renderings,"
                " wanted finite sigma > 0, at least 1 pair and at least 2 renderings"
            )
        self._data, self._conditional, self._sigma = data, conditional, sigma
        self._num_pairs, self._seed = num_pairs, seed
        self._tree = KDTree(data.latents)

    def __len__(self) -> int:
        return self._num_pairs

    def __getitem__(self, index: int, /) -> Sample:
        if not 0 <= index < self._num_pairs:
            raise IndexError(f"ThreeDIdentPairs: found index {index}, wanted 0 to {self._num_pairs - 1}")
        first, second = self.indices(index)
        latents = self._data.latents
        return Sample(
            latents=(latents[first], latents[second]),
            observations=(self._data.image(first), self._data.image(second)),
        )

    def indices(self, index: int) -> tuple[int, int]:
        """Rows of the two renderings of pair `index`; never equal."""
        z, z_pos = self.drawn(index)
        first = int(self._tree.query(z, k=1)[1])
        nearest = np.ravel(self._tree.query(z_pos, k=2)[1])
        return first, int(nearest[0] if nearest[0] != first else nearest[1])

    def drawn(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """The latents of pair `index` before they are replaced by rendered ones."""
        # RandomState, not Generator: its streams are frozen across NumPy versions.
        random = np.random.RandomState([self._seed, index])
        width = self._data.latents.shape[1]
        boxed = width if width == 10 else POSITIONS
        z = random.uniform(-1, 1, boxed)
        z_pos = self._in_box(random, z)
        if width == boxed:
            return z, z_pos
        angles = random.normal(size=width - boxed)
        angles /= np.linalg.norm(angles)
        law = vonmises_fisher(angles, 1 / self._sigma)  # pyright: ignore[reportArgumentType] (any positive kappa)
        near = law.rvs(random_state=random)
        return np.concatenate([z, angles]), np.concatenate([z_pos, np.ravel(near)])

    def _in_box(self, random: np.random.RandomState, center: np.ndarray) -> np.ndarray:
        drawn = np.full_like(center, np.inf)
        while (outside := np.abs(drawn) > 1).any():
            drawn[outside] = center[outside] + self._sigma * self._noise(random, int(outside.sum()))
        return drawn

    def _noise(self, random: np.random.RandomState, count: int) -> np.ndarray:
        if self._conditional == "normal":
            return random.normal(size=count)
        if self._conditional == "laplace":
            return random.laplace(size=count)
        return random.gamma(1 / 3, size=count) ** (1 / 3) * random.choice([-1, 1], size=count)


def hyperspherical_angles(points: Any) -> Float[Array, "*batch k"]:
    """Angles [..., m-1] in [0, 2 pi] of points on the unit sphere in R^m, as 3DIdent's renderer uses them.

        phi_i = 2 arccos(x_i / |(x_i, ..., x_m)|) for i < m-1,    phi_{m-1} = atan2(x_m, x_{m-1}) mod 2 pi

    (the usual hyperspherical coordinates, all but the last doubled). An angle whose remaining vector is 0 is 0.
    Raises `ValueError` for m < 2 and complex points. Source: Zimmermann et al. 2021, 3DIdent (code).
    """
    x = numbers("hyperspherical_angles", "points", points)
    x = jnp.asarray(x, float_type(x))
    if x.ndim < 1 or x.shape[-1] < 2:
        raise ValueError(f"hyperspherical_angles: found points of shape {x.shape}, wanted [..., m] with m >= 2")
    rest = jnp.sqrt(jnp.flip(jnp.cumsum(jnp.flip(jnp.square(x), -1), axis=-1), -1))
    # atan2 of what is left, not arccos of the ratio: exact also near 0 and pi.
    upper = 2 * jnp.arctan2(rest[..., 1:-1], x[..., :-2])
    last = jnp.mod(jnp.arctan2(x[..., -1:], x[..., -2:-1]), 2 * jnp.pi)
    return jnp.concatenate([upper, last], axis=-1)


def _checked_latents(file: Path, latents: Any) -> Float[np.ndarray, "M k"]:
    if latents.ndim != 2 or latents.shape[1] not in _COLUMNS or latents.dtype.kind != "f" or not len(latents):
        wanted = " or ".join(f"[M, {width}] ({what})" for width, what in _COLUMNS.items())
        raise ValueError(
            f"ThreeDIdent: found {latents.dtype} latents of shape {latents.shape} in {file}, wanted floats {wanted}"
        )
    boxed = latents if latents.shape[1] == 10 else latents[:, :POSITIONS]
    if not np.isfinite(latents).all() or np.abs(boxed).max() > 1 + 1e-4:
        raise ValueError(f"ThreeDIdent: found latents outside [-1, 1] or not finite in {file}")
    if latents.shape[1] == 11 and np.abs(np.linalg.norm(latents[:, POSITIONS:], axis=1) - 1).max() > 1e-3:
        raise ValueError(f"ThreeDIdent: found angles that are not on the unit sphere in {file}")
    return latents.astype(np.float32)

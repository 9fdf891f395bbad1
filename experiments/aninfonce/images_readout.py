"""Random views, and linear readouts of frozen image features: classes, and every parameter that the views drew."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from identax.augment import Pipeline, digit_views, simclr_cifar, simclr_imagenet
from identax.metrics.readout import linear_readout_accuracy

_ITERATIONS = 100


class Labelled(NamedTuple):
    """Images [N, H, W, C] in [0, 1] or bytes, and their classes [N]."""

    image: Any
    label: Any


def augmentations(config: Any, size: int) -> Pipeline:
    """The random views that `config.views` names, of images of `size` x `size` pixels."""
    return {"digits": digit_views, "cifar": simclr_cifar, "imagenet": simclr_imagenet}[config.views](size)


def readouts(
    features: Callable[[Any], Mapping[str, Any]],
    augment: Callable[[Any, Any], tuple[Any, Mapping[str, Any]]],
    key: Any,
    fit: Labelled,
    score: Labelled,
    *,
    num_classes: int,
    chunk: int,
    l2: float,
) -> dict[str, Any]:
    """Scores of linear readouts, fitted to the views of `fit` and scored on those of `score`, per layer.

    `features(images) -> {layer: [N, m]}`. Classes are read from images as they are, augmentation parameters from one
    view of each. "augmentations": mean over the parameters of the accuracy with which a linear classifier tells what
    was drawn; of continuous ones, whether they are above their median over `fit`. "augmentations R2": mean over the
    continuous ones of R^2 = 1 - SSE / SST of a ridge regression, on `score`. Both for each parameter too.
    """
    plain = [_chunked(features, part.image, chunk) for part in (fit, score)]
    both = [_views(features, augment, jax.random.fold_in(key, i), x.image, chunk) for i, x in enumerate((fit, score))]
    viewed, drawn = zip(*both, strict=True)
    names = sorted(drawn[0])
    continuous = [name for name in names if drawn[0][name].dtype != bool]
    # Drawn or not, above the median or not: one question of two answers for each parameter.
    thresholds = {name: jnp.median(drawn[0][name]) if name in continuous else 0.5 for name in names}
    answers = [jnp.stack([(part[name] > thresholds[name]).astype(jnp.int32) for name in names]) for part in drawn]
    rates = answers[1].mean(axis=1)
    found = {"chance": jnp.maximum(rates, 1 - rates).mean()}
    classes = _accuracy(plain, [part.label[None] for part in (fit, score)], num_classes, l2)
    told = _accuracy(viewed, answers, 2, l2)
    for number, layer in enumerate(plain[0]):
        found[f"classes {layer}"] = classes[number, 0]
        found[f"augmentations {layer}"] = told[number].mean()
        found |= {f"{name} {layer}": told[number, i] for i, name in enumerate(names)}
        targets = [jnp.stack([part[name] for name in continuous], axis=1) for part in drawn]
        r2 = held_out_r2(viewed[0][layer], targets[0], viewed[1][layer], targets[1], l2=l2)
        found[f"augmentations R2 {layer}"] = r2.mean()
        found |= {f"{name} R2 {layer}": r2[i] for i, name in enumerate(continuous)}
    return found


def _accuracy(features, labels, num_classes, l2):
    """Accuracies [layer, question] for features ({layer: [N, m]}) and labels ([question, N]), each a (fit, score) pair.

    One program for all: narrower layers are padded with zeros, which a readout ignores.
    """
    width = max(leaf.shape[1] for leaf in features[0].values())
    x, test_x = (
        jnp.stack([jnp.pad(leaf, ((0, 0), (0, width - leaf.shape[1]))) for leaf in part.values()]) for part in features
    )

    def one(x, test_x, y, test_y):
        return linear_readout_accuracy(
            x, y, num_classes, test_features=test_x, test_labels=test_y, l2=l2, max_steps=_ITERATIONS
        )

    by_question = jax.vmap(one, in_axes=(None, None, 0, 0))
    return jax.vmap(by_question, in_axes=(0, 0, None, None))(x, test_x, *(jnp.asarray(part) for part in labels))


def held_out_r2(inputs: Any, targets: Any, test_inputs: Any, test_targets: Any, *, l2: float) -> Any:
    """R^2 per target on test samples of the ridge regression fitted to the others, inputs and targets standardised.

    Minimises mean |x W - y|^2 + l2 |W|^2 by 100 conjugate gradient steps: no factorisation, see the design notes.
    """
    mean, scale = inputs.mean(axis=0, keepdims=True), inputs.std(axis=0, keepdims=True)
    scale = jnp.where(scale > 1e-6 * (1 + jnp.abs(mean)), scale, jnp.inf)  # constant dims become 0
    x, test_x = (inputs - mean) / scale, (test_inputs - mean) / scale
    centre, spread = targets.mean(axis=0, keepdims=True), targets.std(axis=0, keepdims=True)
    y = (targets - centre) / spread
    gram = x.T @ x / len(x) + l2 * jnp.eye(x.shape[1], dtype=x.dtype)
    right = x.T @ y / len(x)

    def step(carry, _):
        weights, residual, direction, size = carry
        moved = gram @ direction
        length = size / jnp.maximum((direction * moved).sum(axis=0), tiny)
        weights = weights + length[None, :] * direction
        residual = residual - length[None, :] * moved
        new_size = (residual * residual).sum(axis=0)
        direction = residual + (new_size / jnp.maximum(size, tiny))[None, :] * direction
        return (weights, residual, direction, new_size), None

    tiny = jnp.finfo(x.dtype).tiny
    start = (jnp.zeros_like(right), right, right, (right * right).sum(axis=0))
    (weights, *_), _ = jax.lax.scan(step, start, None, length=_ITERATIONS)
    test_y = (test_targets - centre) / spread
    error = jnp.square(test_y - test_x @ weights).sum(axis=0)
    return 1 - error / jnp.square(test_y - test_y.mean(axis=0, keepdims=True)).sum(axis=0)


def as_floats(image: Any) -> Any:
    """Bytes become float32 in [0, 1]; floats stay."""
    return image.astype(jnp.float32) / 255 if image.dtype == jnp.uint8 else jnp.asarray(image)


def _chunked(features, images, chunk):
    """Features of many images as they are."""
    return by_chunk(lambda part: dict(features(as_floats(part))), jnp.asarray(images), chunk)


def _views(features, augment, key, images, chunk):
    """Features of one view of each image, and what was drawn for it."""

    def one(key, part):
        views, drawn = augment(key, as_floats(part))
        return dict(features(views)), drawn

    return by_chunk(one, jnp.asarray(images), chunk, jax.random.split(key, images.shape[0] // chunk))


def by_chunk(fn, images, chunk, *each):
    """Applies `fn(*each of the chunk, images)` to `chunk` images at a time: never all activations at once."""
    parts = images.reshape(-1, chunk, *images.shape[1:])
    found = jax.lax.map(lambda part: fn(*part), (*each, parts))
    return jax.tree.map(lambda leaf: leaf.reshape(images.shape[0], *leaf.shape[2:]), found)

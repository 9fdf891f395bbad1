"""Batch normalisation whose statistics are over the whole batch and never in half precision."""

import flax.linen as nn
import jax.numpy as jnp


class BatchNorm(nn.Module):
    """y = scale (x - mean) / sqrt(var + epsilon) + bias, mean and biased variance over all axes but the last.

    While the collection `batch_stats` is mutable (training, see `from_linen`) batch statistics are used and running
    ones updated, running = momentum running + (1 - momentum) batch; otherwise the running ones are used. Statistics are
    computed in the input's type, at least float32, in two passes; the output has the input's type. In a batch sharded
    over devices they are those of the global batch: under `jit` a mean is a mean over all of it. With
    `unbiased_running` the running variance gathers n/(n-1) times the batch's of n values (PyTorch's convention).
    """

    momentum: float = 0.9
    epsilon: float = 1e-5
    scale_init: nn.initializers.Initializer = nn.initializers.ones
    unbiased_running: bool = False

    @nn.compact
    def __call__(self, x):
        dtype = jnp.promote_types(x.dtype, jnp.float32)
        shape = (1,) * (x.ndim - 1) + x.shape[-1:]
        scale = self.param("scale", self.scale_init, x.shape[-1:], dtype).reshape(shape)
        bias = self.param("bias", nn.initializers.zeros, x.shape[-1:], dtype).reshape(shape)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, x.shape[-1:], dtype)
        running_var = self.variable("batch_stats", "var", jnp.ones, x.shape[-1:], dtype)
        values = x.astype(dtype)
        if self.is_mutable_collection("batch_stats"):
            axes = tuple(range(x.ndim - 1))
            mean = values.mean(axis=axes)
            var = jnp.square(values - mean.reshape(shape)).mean(axis=axes)
            if not self.is_initializing():
                running_mean.value = self.momentum * running_mean.value + (1 - self.momentum) * mean
                num = values.size // values.shape[-1]
                gathered = var * (num / max(num - 1, 1)) if self.unbiased_running else var
                running_var.value = self.momentum * running_var.value + (1 - self.momentum) * gathered
        else:
            mean, var = running_mean.value, running_var.value
        factor = scale / jnp.sqrt(var.reshape(shape) + self.epsilon)
        return ((values - mean.reshape(shape)) * factor + bias).astype(x.dtype)

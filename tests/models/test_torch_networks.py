"""The LSTM and the convolutional networks against PyTorch's modules with the same weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from identax.metrics import cumulative_entropy
from identax.models import GATES, colour_convnet, digit_convnet, lstm_network, torch_lstm

torch = pytest.importorskip("torch")
nn = torch.nn


def numbers(tensor):
    return jnp.asarray(tensor.detach().numpy())


def lstm_params(layer):
    names = {"ih_kernel": "weight_ih_l0", "hh_kernel": "weight_hh_l0", "ih_bias": "bias_ih_l0", "hh_bias": "bias_hh_l0"}
    return {ours: numbers(getattr(layer, theirs)).T for ours, theirs in names.items()}


class Digits(nn.Module):
    """MNISTNet, as the authors wrote it down."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 10, 5), nn.Conv2d(10, 20, 5)
        self.bn_c2, self.bn_f1, self.bn_f2 = nn.BatchNorm2d(20), nn.BatchNorm1d(50), nn.BatchNorm1d(10)
        self.fc1, self.fc2 = nn.Linear(320, 50), nn.Linear(50, 10)

    def forward(self, x):
        f = nn.functional
        x = f.relu(f.max_pool2d(self.conv1(x), 2))
        x = f.relu(f.max_pool2d(self.bn_c2(self.conv2(x)), 2)).flatten(1)
        x = f.dropout(f.relu(self.bn_f1(self.fc1(x))), 0.5, self.training)
        return self.bn_f2(self.fc2(x))


class Colours(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 5), nn.Conv2d(6, 16, 5)
        self.bn_c2 = nn.BatchNorm2d(16)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)
        self.bn_f1, self.bn_f2, self.bn_f3 = (nn.BatchNorm1d(size) for size in (120, 84, 10))

    def forward(self, x):
        f = nn.functional
        x = f.max_pool2d(f.relu(self.conv1(x)), 2)
        x = f.max_pool2d(f.relu(self.bn_c2(self.conv2(x))), 2).flatten(1)
        x = f.relu(self.bn_f1(self.fc1(x)))
        return self.bn_f3(self.fc3(f.relu(self.bn_f2(self.fc2(x)))))


def variables_of(net):
    """Ours for PyTorch's weights: axes of kernels turned, the flattened features channel last."""
    params, state = {}, {}
    for name, layer in net.named_children():
        weight, bias = numbers(layer.weight), numbers(layer.bias)
        if name.startswith("bn"):
            params[name] = {"scale": weight, "bias": bias}
            state[name] = {"mean": numbers(layer.running_mean), "var": numbers(layer.running_var)}
        elif name.startswith("conv"):
            params[name] = {"kernel": weight.transpose(2, 3, 1, 0), "bias": bias}
        else:
            if name == "fc1":
                side = round((weight.shape[1] // net.conv2.out_channels) ** 0.5)
                weight = weight.reshape(len(weight), -1, side, side).transpose(0, 2, 3, 1).reshape(weight.shape)
            params[name] = {"kernel": weight.T, "bias": bias}
    return {"params": params, "state": state}


@pytest.mark.parametrize(
    "make, reference, shape, count",
    [(digit_convnet, Digits, (28, 28, 1), 22_000), (colour_convnet, Colours, (32, 32, 3), 62_466)],
)
def test_a_convnet_is_pytorchs(make, reference, shape, count):
    torch.manual_seed(0)
    net, model, x = reference(), make(), np.random.default_rng(0).normal(size=(8, *shape)).astype(np.float32)
    given = torch.tensor(x.transpose(0, 3, 1, 2))
    ours = variables_of(net)
    drawn = jax.eval_shape(model.init, jax.random.key(0), x)
    assert jax.tree.map(jnp.shape, ours) == jax.tree.map(jnp.shape, drawn)
    assert sum(leaf.size for leaf in jax.tree.leaves(drawn["params"])) == count
    with torch.no_grad():
        net.train()(given)  # moves the running statistics
        moved = variables_of(net)["state"]
        wanted = numbers(net.eval()(given))
    if make is colour_convnet:  # the other drops units by its own draw in training
        _, found = jax.jit(lambda x: model.apply(ours, x, train=True))(x)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), found, moved)
    found = jax.jit(lambda x: model.apply({"params": ours["params"], "state": moved}, x)[0])(x)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


def test_the_lstm_is_pytorchs():
    torch.manual_seed(0)
    layers = [nn.LSTM(3, 4, batch_first=True), nn.LSTM(4, 5, batch_first=True)]
    head, x = nn.Linear(5, 2), np.random.default_rng(0).normal(size=(6, 7, 3)).astype(np.float32)
    with torch.no_grad():
        first, (hidden, cell) = layers[0](torch.tensor(x))
        wanted = head(layers[1](first)[0][:, -1])
    model, params = torch_lstm(4), {"cell": lstm_params(layers[0])}
    network = lstm_network((4, 5), outputs=2)
    ours = {f"lstm{i}": lstm_params(layer) for i, layer in enumerate(layers, 1)}
    ours["fc"] = {"kernel": numbers(head.weight).T, "bias": numbers(head.bias)}

    @jax.jit
    def both(x):
        return model.apply({"params": params, "state": {}}, x)[0], network.apply({"params": ours}, x)[0]

    (outputs, carry), last = both(x)
    np.testing.assert_allclose(outputs, first, atol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b[0], atol=1e-6), carry, (numbers(cell), numbers(hidden)))
    np.testing.assert_allclose(last, wanted, atol=1e-6)
    drawn = jax.eval_shape(network.init, jax.random.key(0), x)
    assert jax.tree.map(jnp.shape, drawn["params"]) == jax.tree.map(jnp.shape, ours)


def test_a_gate_is_its_quarter():
    """Large biases open gates one by one: a cell's value is seen with input and output open, not with one of them."""
    model, x = lstm_network((2,)), jnp.ones((1, 1, 3))
    drawn = jax.eval_shape(model.init, jax.random.key(0), x)["params"]["lstm1"]
    gates = np.repeat(np.array(GATES), 2)

    @jax.jit
    def output(bias):
        zeros = {name: jnp.zeros(leaf.shape) for name, leaf in drawn.items()}
        return model.apply({"params": {"lstm1": {**zeros, "hh_bias": bias}}}, x)[0]

    shut = jnp.where(gates == "cell", 5.0, -20.0)
    for name, wanted in (("input", 0.0), ("output", 0.0), ("both", np.tanh(np.tanh(5.0)))):
        opened = np.isin(gates, ("input", "output") if name == "both" else name)
        np.testing.assert_allclose(output(jnp.where(opened, 20.0, shut)), np.full((1, 2), wanted), atol=1e-5)


def published_entropy(net):
    """The sum over tensors of the histogram's entropy, in NumPy over PyTorch's parameters."""
    total = 0.0
    for tensor in net.parameters():
        weights = tensor.detach().numpy().ravel()
        share = np.histogram(weights, bins=max(5, weights.size // 20))[0] / weights.size
        total -= (share[share > 1e-5] * np.log2(share[share > 1e-5])).sum() * (weights.min() < weights.max())
    return total


def _largest(reference):
    """The largest entry of each of PyTorch's tensors, of 20 starts."""
    return [[float(tensor.detach().abs().max()) for tensor in reference().parameters()] for _ in range(20)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "make, shape, reference",
    [
        (lambda: lstm_network((88,)), (1, 2, 88), lambda: nn.LSTM(88, 88)),
        (digit_convnet, (1, 28, 28, 1), Digits),
    ],
    ids=["chorales", "digits"],
)
def test_networks_start_with_pytorchs_entropy(make, shape, reference):
    """Two samples of 20 starts, and the largest entry of every array, near the bound of its uniform draws."""
    torch.manual_seed(1)
    theirs = np.array([published_entropy(reference()) for _ in range(20)])
    keys = jax.random.split(jax.random.key(0), 20)

    @jax.jit
    def start(key):
        params = make().init(key, jnp.ones(shape))["params"]
        return cumulative_entropy(params), [jnp.abs(leaf).max() for leaf in jax.tree.leaves(params)]

    ours, largest = zip(*map(start, keys), strict=True)
    ours = np.array(ours)
    bounds = np.max(_largest(reference), axis=0)
    np.testing.assert_allclose(np.sort(np.max(largest, axis=0)), np.sort(bounds), rtol=0.05)
    error = np.sqrt(theirs.var(ddof=1) / 20 + ours.var(ddof=1) / 20)
    np.testing.assert_allclose(ours.mean(), theirs.mean(), atol=3 * error)
    np.testing.assert_allclose(ours.std(), theirs.std(), rtol=0.6)


def test_dropout_draws_in_training_alone():
    model, x = digit_convnet(), jnp.ones((2, 28, 28, 1))
    variables = jax.eval_shape(model.init, jax.random.key(0), x)
    with pytest.raises(ValueError, match="wanted one: the module draws from its stream 'dropout'"):
        jax.eval_shape(lambda variables: model.apply(variables, x, train=True), variables)


@pytest.mark.parametrize(
    "call, wanted",
    [
        (lambda: digit_convnet(0), "num_classes=0"),
        (lambda: colour_convnet(0), "num_classes=0"),
        (lambda: digit_convnet().init(jax.random.key(0), jnp.ones((2, 9))), r"wanted images \[N, 28, 28, 1\]"),
        (lambda: colour_convnet().init(jax.random.key(0), jnp.ones((2, 28, 28, 1))), r"wanted images \[N, 32, 32, 3\]"),
        (lambda: torch_lstm(0), "features=0"),
        (lambda: lstm_network(()), "features=()"),
        (lambda: lstm_network((3,), outputs=0), "outputs=0"),
        (lambda: lstm_network((3,)).init(jax.random.key(0), jnp.ones((2, 3))), r"wanted floats \[N, T"),
    ],
)
def test_refusals(call, wanted):
    with pytest.raises(ValueError, match=wanted):
        call()

"""Sequence models against PyTorch's modules and against plain recursions in NumPy, with the same weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf

from identax.models import lstm_sequence, mamba, transformer, xlstm
from tests.models.sequence_cases import PAD, drawn, rows_of_tokens
from tests.models.test_memories import plain_mlstm

TOKENS = rows_of_tokens(3, 7, seed=5)


def of_layer(tree, number):
    return jax.tree.map(lambda leaf: np.asarray(leaf[number]), tree)


def started(model, size=0.5):
    variables = drawn(model, 1, size)
    return variables, jax.tree.map(np.asarray, variables["params"])


@pytest.mark.parametrize(("norm", "encoding"), [("post", "position"), ("pre", "batch_index")])
def test_a_transformer_is_pytorchs(norm, encoding, x64):
    torch = pytest.importorskip("torch")
    width, heads, hidden, layers = 10, 5, 12, 2
    model = transformer(
        5, width=width, heads=heads, layers=layers, hidden=hidden, norm=norm, encoding=encoding, pad=PAD
    )
    variables, params = started(model)
    modules = [
        torch.nn.TransformerEncoderLayer(
            width, heads, hidden, 0.1, layer_norm_eps=6e-3, batch_first=True, norm_first=norm == "pre"
        ).double()
        for _ in range(layers)
    ]
    turned = {"attention.in_proj": "self_attn.in_proj", "attention.out_proj": "self_attn.out_proj."}
    for number, module in enumerate(modules):
        one, state = of_layer(params["blocks_0"], number), {}
        for name in ("in_proj", "out_proj"):
            theirs = turned[f"attention.{name}"] + ("_" if name == "in_proj" else "")
            state |= {
                f"{theirs}weight": one["attention"][name]["kernel"].T,
                f"{theirs}bias": one["attention"][name]["bias"],
            }
        for name in ("linear1", "linear2"):
            state |= {f"{name}.weight": one[name]["kernel"].T, f"{name}.bias": one[name]["bias"]}
        for name in ("norm1", "norm2"):
            state |= {f"{name}.weight": one[name]["scale"], f"{name}.bias": one[name]["bias"]}
        module.load_state_dict({name: torch.tensor(value) for name, value in state.items()})
        module.eval()
    ends = params["ends"]
    places = np.arange(7)[None].repeat(3, 0) if encoding == "position" else np.arange(3)[:, None].repeat(7, 1)
    rates = 10000.0 ** (-np.arange(0, width, 2) / width)
    codes = np.zeros((3, 7, width))
    codes[..., ::2], codes[..., 1::2] = np.sin(places[..., None] * rates), np.cos(places[..., None] * rates)
    x = torch.tensor(ends["embedding"]["embedding"][TOKENS] * width**0.5 + codes)
    causal = torch.triu(torch.ones(7, 7, dtype=torch.bool), 1)
    with torch.no_grad():
        for module in modules:
            x = module(x, src_mask=causal, src_key_padding_mask=torch.tensor(TOKENS == PAD))
        if norm == "pre":
            scale, bias = (torch.tensor(ends["last_norm"][name]) for name in ("scale", "bias"))
            x = torch.nn.functional.layer_norm(x, (width,), scale, bias, 6e-3)
        wanted = x.numpy() @ ends["head"]["kernel"] + ends["head"]["bias"]
    np.testing.assert_allclose(model.apply(variables, TOKENS)[0], wanted, rtol=0, atol=1e-8)
    if norm == "pre":
        return
    with jax.enable_x64(False):
        single = jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), variables)
        np.testing.assert_allclose(model.apply(single, TOKENS)[0], wanted, rtol=0, atol=1e-5)


def test_a_stack_of_lstms_is_pytorchs(x64):
    torch = pytest.importorskip("torch")
    model = lstm_sequence(5, width=4, features=6, layers=3)
    variables, params = started(model)
    net = torch.nn.LSTM(4, 6, 3, batch_first=True).double()
    state = {}
    for number in range(3):
        one = of_layer(params["blocks_0"], 0) if number == 0 else of_layer(params["blocks_1"], number - 1)
        for ours, theirs in {"ih": "ih", "hh": "hh"}.items():
            state[f"weight_{theirs}_l{number}"] = torch.tensor(one[f"{ours}_kernel"].T)
            state[f"bias_{theirs}_l{number}"] = torch.tensor(one[f"{ours}_bias"])
    net.load_state_dict(state)
    with torch.no_grad():
        outputs = net(torch.tensor(params["ends"]["embedding"]["embedding"][TOKENS]))[0].numpy()
    head = params["ends"]["head"]
    np.testing.assert_allclose(model.apply(variables, TOKENS)[0], outputs @ head["kernel"] + head["bias"], atol=1e-8)


def silu(x):
    return x / (1 + np.exp(-x))


def convolved(x, kernel, bias):
    """Depthwise, one column at a time: x [N, T, d]."""
    found = np.zeros_like(x) + bias
    for t in range(x.shape[1]):
        for back in range(min(t + 1, len(kernel))):
            found[:, t] += kernel[len(kernel) - 1 - back] * x[:, t - back]
    return found


def test_mamba_is_the_plain_recursion(x64):
    model = mamba(5, width=6, layers=2, states=3, convolution=4)
    variables, params = started(model, 0.4)
    table = params["ends"]["embedding"]["embedding"]
    assert table.shape == (8, 6)

    def rms(x, scale):
        return x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + 1e-5) * scale

    x = table[TOKENS]
    for number in range(2):
        one = of_layer(params["blocks_0"], number)
        a, z = np.split(rms(x, one["norm"]["scale"]) @ one["in_proj"]["kernel"], 2, axis=-1)
        u = silu(convolved(a, one["conv"]["kernel"], one["conv"]["bias"]))
        raw, b, c = np.split(u @ one["x_proj"]["kernel"], [1, 4], axis=-1)
        delta = np.log1p(np.exp(raw @ one["step_kernel"] + one["step_bias"]))
        rates, h, y = -np.exp(one["a_log"]), np.zeros((3, 12, 3)), np.zeros_like(u)
        for t in range(7):
            step = delta[:, t, :, None]
            h = np.exp(step * rates) * h + step * b[:, t, None, :] * u[:, t, :, None]
            y[:, t] = (h * c[:, t, None, :]).sum(-1) + one["skip"] * u[:, t]
        x = x + (y * silu(z)) @ one["out_proj"]["kernel"]
    wanted = rms(x, params["ends"]["last_norm"]["scale"]) @ table.T
    np.testing.assert_allclose(model.apply(variables, TOKENS)[0], wanted, rtol=0, atol=1e-10)


@pytest.mark.slow
def test_mamba_starts_as_published():
    params = mamba(5).init(jax.random.key(0), TOKENS)["params"]["blocks_0"]
    np.testing.assert_allclose(np.exp(params["a_log"][3, 5]), np.arange(1, 17), rtol=1e-6)
    steps = np.log1p(np.exp(np.asarray(params["step_bias"], float))).reshape(-1)
    assert 0.99e-3 < steps.min() < 2e-3 and 0.05 < steps.max() < 0.101
    assert abs(np.log(steps).mean() - np.log(1e-2)) < 6 * np.log(100) / 12**0.5 / len(steps) ** 0.5
    assert 0.65 < np.abs(params["step_kernel"]).max() <= 2**-0.5 and (params["skip"] == 1).all()


def test_xlstm_is_the_plain_recursion(x64):
    """One scalar and one matrix block, column by column."""
    model = xlstm(5, width=8, blocks=2, heads=2, scalar_at=(0,), epsilon=0)
    variables, params = started(model, 0.4)

    def normed(x, weight, heads=1):
        parts = x.reshape(*x.shape[:-1], heads, -1)
        parts = (parts - parts.mean(-1, keepdims=True)) / np.sqrt(parts.var(-1, keepdims=True) + 1e-5)
        return parts.reshape(x.shape) * (1 + weight)

    x = params["ends"]["embedding"]["embedding"][TOKENS]
    one = of_layer(params["blocks_0"], 0)
    seen = normed(x, one["norm"]["weight"])
    u = silu(convolved(seen, one["conv"]["kernel"], one["conv"]["bias"]))

    def by_head(x, kernel):
        return np.concatenate([x[..., :4] @ kernel[0], x[..., 4:] @ kernel[1]], axis=-1)

    y, c, n = np.zeros((3, 3, 8))
    outputs = np.zeros_like(x)
    for t in range(7):
        gates = [
            by_head(source[:, t], one["kernel"][g]) + by_head(y, one["recurrent"][g]) + one["bias"][g]
            for g, source in enumerate((u, u, seen, seen))
        ]
        new, keep = np.exp(gates[0]), 1 / (1 + np.exp(-gates[1]))
        c, n = keep * c + new * np.tanh(gates[2]), keep * n + new
        y = outputs[:, t] = c / n / (1 + np.exp(-gates[3]))
    x = x + normed(outputs, one["head_norm"]["weight"], 2)
    g, v = np.split(normed(x, one["ff_norm"]["weight"]) @ one["up"]["kernel"], 2, axis=-1)
    x = x + (g * (1 + erf(g / 2**0.5)) / 2 * v) @ one["down"]["kernel"]
    one = of_layer(params["blocks_1"], 0)
    a, z = np.split(normed(x, one["norm"]["weight"]) @ one["up"]["kernel"], 2, axis=-1)
    u = silu(convolved(a, one["conv"]["kernel"], one["conv"]["bias"]))
    q, k, v = (
        np.einsum("ntbi,bij->ntbj", source.reshape(3, 7, -1, 4), one[name]).reshape(u.shape)
        for name, source in (("query", u), ("key", u), ("value", a))
    )
    gates = {
        name: np.concatenate([q, k, v], axis=-1) @ one[name]["kernel"] + one[name]["bias"]
        for name in ("input_gate", "forget_gate")
    }
    inner = u.shape[-1]
    out = np.zeros_like(u)
    for row in range(3):
        for head in range(2):
            part = slice(head * inner // 2, (head + 1) * inner // 2)
            own = (gates[name][row, :, head] for name in ("input_gate", "forget_gate"))
            out[row, :, part] = plain_mlstm(q[row, :, part], k[row, :, part], v[row, :, part], *own)
    out = normed(out, one["head_norm"]["weight"], 2) + one["skip"] * u
    x = x + (out * silu(z)) @ one["down"]["kernel"]
    wanted = normed(x, params["ends"]["last_norm"]["weight"]) @ params["ends"]["head"]["kernel"]
    np.testing.assert_allclose(model.apply(variables, TOKENS)[0], wanted, rtol=0, atol=1e-10)


@pytest.mark.slow
def test_xlstm_starts_as_published():
    params = xlstm(5).init(jax.random.key(0), TOKENS)["params"]
    matrix, scalar = params["blocks_2"], params["blocks_1"]
    assert {name: len(params[name]["skip" if "skip" in params[name] else "bias"]) for name in list(params)[:3]} == {
        "blocks_0": 1,
        "blocks_1": 1,
        "blocks_2": 4,
    }
    np.testing.assert_allclose(matrix["forget_gate"]["bias"][1], [3, 4, 5, 6])
    assert (matrix["forget_gate"]["kernel"] == 0).all() and (scalar["recurrent"] == 0).all()
    forget = np.asarray(scalar["bias"][0, 1]).reshape(4, 16)
    np.testing.assert_allclose(forget[0], 5 - 12 * (np.arange(16) / 15) ** (0.3 + 1.3 / 5), rtol=1e-5, atol=1e-5)
    assert (forget == forget[0]).all() and (scalar["bias"][0, [0, 2, 3]] == 0).all()
    for leaf, sd in ((matrix["up"]["kernel"], (2 / 320) ** 0.5), (matrix["down"]["kernel"], 2 / 6 / 8)):
        assert abs(jnp.std(leaf) / sd - 1) < 6 / (2 * leaf.size) ** 0.5

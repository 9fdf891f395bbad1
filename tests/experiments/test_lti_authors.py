"""The systems of the published seeds: what is known of them, and that the worlds hold them."""

import jax
import numpy as np
import pytest

from experiments.lti import authors, published_training, table1, worlds


def _condition(variances):
    return np.linalg.cond(1 / variances[1:] - 1 / variances[0])


# Smallest and largest over seeds and columns, as known from the authors' data code.
@pytest.mark.parametrize(("dim", "low", "high"), [(2, 1, 185), (3, 2, 158), (5, 13, 1185)])
def test_conditions_of_their_designs(dim, low, high):
    variances = authors.table(dim, False)["variances"]
    conditions = [_condition(values) for values in variances.reshape(-1, dim + 1, dim)]
    assert (round(min(conditions)), round(max(conditions))) == (low, high)


def test_systems_are_stable_and_matrices_of_no_use_are_the_identity():
    table = authors.table(3, True)
    radii = np.abs(np.linalg.eigvals(table["A"])).max(axis=-1)
    np.testing.assert_allclose(radii, 0.9, rtol=1e-12)
    np.testing.assert_array_equal(table["B"][:, 0], np.broadcast_to(np.eye(3), (5, 2, 3, 3)))
    np.testing.assert_array_equal(table["C"][:, :, 0], np.broadcast_to(np.eye(3), (5, 2, 3, 3)))
    assert len({table["C"][seed, 1, 1].tobytes() for seed in range(5)}) == 5
    np.testing.assert_array_equal(table["variances"][2, 0, 1], [[1e-4] * 3, *(np.eye(3) * (1 - 1e-4) + 1e-4)])
    assert np.abs(table["means"]).max() > 1


def test_the_objective_of_the_truth_at_the_first_seed():
    """-1.815 on the authors' data (seed 42, d = 2, B and C random); its mean depends on the variances alone."""
    variances = authors.drawn(42, 2, use_B=True, use_C=True)["variances"]
    assert abs(np.mean(np.sum(-0.5 - 0.5 * np.log(2 * np.pi * variances), axis=1)) + 1.815) < 0.02


@pytest.mark.parametrize("author", [-1.0, 3.0])
def test_worlds_hold_them_where_asked(x64, author):
    config = table1.Config(num_samples=4)
    hparams = {"use_B": 1.0, "use_C": 0.0, "zero_means": 0.0, "author": author}
    system = worlds.draw_system(jax.random.key(0), config, hparams)
    environments = worlds.draw_environments(jax.random.key(0), config, hparams)
    theirs = authors.drawn(authors.SEEDS[3], 2, use_B=True, use_C=False)
    same = [
        np.array_equal(system.A, theirs["A"]),
        np.array_equal(system.B, theirs["B"]),
        np.array_equal(environments.means, theirs["means"]),
        np.array_equal(environments.variances, theirs["variances"]),
    ]
    assert all(same) if author >= 0 else not any(same)
    np.testing.assert_array_equal(system.C, np.eye(2))


def test_motor(x64):
    config = published_training.arms(published_training.PRESETS["smoke"])[-1].config
    found = worlds.motor_environments(jax.random.key(0), config, 0.0, np.array(4.0))
    np.testing.assert_array_equal(found.variances, authors.motor()["variances"][4])
    assert found.means.shape == (3, 1) and np.abs(found.means).max() > 0
    assert not np.asarray(worlds.motor_environments(jax.random.key(0), config, 1.0, np.array(4.0)).means).any()


def test_other_numbers_of_environments_are_refused():
    config = table1.Config(num_samples=4, num_environments=5)
    with pytest.raises(ValueError, match="found num_environments=5, wanted 3, as theirs"):
        worlds.draw_system(jax.random.key(0), config, {"use_B": 1.0, "use_C": 1.0, "author": 0.0})


@pytest.mark.parametrize("num_controls", [1, 2])
def test_starts_are_those_of_torch(num_controls):
    starts = authors.starts(num_controls)
    np.testing.assert_allclose(starts @ starts.swapaxes(1, 2), np.stack([np.eye(num_controls)] * 5), atol=1e-6)
    torch = pytest.importorskip("torch")
    for seed, start in zip(authors.SEEDS, starts, strict=True):
        torch.manual_seed(seed)
        layer = torch.nn.Linear(4, num_controls, bias=False)
        np.testing.assert_allclose(torch.nn.init.orthogonal_(layer.weight).detach(), start, atol=1e-7)


def test_motor_ends_where_theirs_did(x64):
    """Noise-free and with zero means the result hangs on the start, and a little on the controls, drawn anew here."""
    config = published_training.arms(published_training.PRESETS["quick"])[-1].config
    study = published_training.build(config)

    def trial(key, author):
        hparams = {"author": author, "zero_means": 1.0, "noise_sd": 0.0, "learning_rate": 0.01, "max_norm": 0.5}
        state = jax.lax.fori_loop(0, 50, lambda _, state: study.step(state, None)[0], study.init(key, hparams))
        return study.evaluate(state, key)["val MCC"]

    found = jax.jit(jax.vmap(trial, (None, 0)))(jax.random.key(0), np.arange(5.0))
    np.testing.assert_allclose(found, [1.00, 0.92, 0.96, 0.40, 0.99], atol=0.02)


def test_unknown_starts_are_refused():
    with pytest.raises(ValueError, match=r"found 3 controls, wanted one of .1, 2."):
        authors.starts(3)

"""KITTI Masks and 3DIdent on miniature files: the whole path, not the papers' numbers."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.contrastive_ica import kitti, kitti_claims, miniatures, three_d_ident
from identax.conduct import Options, run_experiment
from identax.data import load_kitti_masks
from identax.losses import lp_infonce
from identax.models import convnet
from identax.run import make_mesh

SMOKE = {module: module.PRESETS["smoke"] for module in (kitti, three_d_ident)}


def started(study, module, seed=0):
    hparams = {name: jnp.array(float(getattr(SMOKE[module], name))) for name in module.TRACED}
    return study.init(jax.random.key(seed), hparams)


@pytest.mark.parametrize(
    ("module", "only"),
    [(kitti, ("SlowVAE, 1 frame",)), pytest.param(three_d_ident, ("Normal, sphere",), marks=pytest.mark.slow)],
)
def test_smoke(module, only, tmp_path):
    options = Options(workdir=tmp_path / "run", mesh=make_mesh(devices=jax.devices()[:1]), progress=False, only=only)
    name = f"contrastive_ica/{module.__name__.rsplit('.', 1)[-1]}"
    outcome = run_experiment(module, name, "smoke", options=options)
    assert outcome.report.exists() and len(outcome.comparisons) >= 1
    assert {f"{arm}: MCC" for arm in only} <= outcome.measured.keys()
    assert all(((values > 0) & (values <= 1 + 1e-5)).all() for values in outcome.measured.values())
    for arm in only:  # every seed trains, and from a start of its own
        losses = outcome.results[arm].train["loss"]
        assert np.isfinite(losses).all() and losses[0, 0] != losses[1, 0]


@pytest.mark.parametrize("module", [kitti, three_d_ident])
def test_recollected_numbers_have_no_band_and_paper_is_the_authors_setting(module):
    assert set(module.PRESETS) == {"smoke", "paper"}
    assert not any(reference.bands for reference in module.REFERENCES)
    config = module.PRESETS["paper"]
    arms = {arm.name for arm in module.arms(config)}
    assert {reference.quantity.rsplit(": ", 1)[0] for reference in module.REFERENCES} <= arms
    assert {arm for arm in arms if arm != "supervised"} == module.premises(config).keys()
    assert config.num_steps % config.evaluate_every == config.evaluate_every % config.log_every == 0


# ---- KITTI Masks


def test_the_miniature_has_the_factors_that_its_masks_show():
    data = load_kitti_masks(miniatures.miniature_kitti())
    frames, factors = kitti.scored(data, 40, 20)
    assert frames.shape == (2, 20, 64, 64) and factors.shape == (40, 3)
    rows, columns = np.mgrid[:64, :64]
    for frame, (y, x, area) in zip(frames.reshape(-1, 64, 64), factors, strict=True):
        assert frame.sum() == area > 10
        np.testing.assert_allclose([(frame * rows).sum() / area, (frame * columns).sum() / area], [y, x], rtol=1e-5)
    with pytest.raises(ValueError, match="48 frames and num_evaluate=40, wanted at least chunk=41"):
        kitti.scored(data, 40, 41)


@pytest.mark.slow
def test_the_loss_of_a_step_is_that_of_its_pairs():
    config = dataclasses.replace(SMOKE[kitti], loss_p=1, head="learnable_box", max_delta_t=5)
    study = kitti.build(config)
    batch = next(kitti.batches(config, (0, 1)))
    state = started(study, kitti)
    step = jax.jit(study.step)
    encoder = convnet(config.dim, head="learnable_box", channels=config.channels, features=config.features)
    z, z_pos = (encoder.apply({"params": state.params["encoder"]}, x)[0] for x in batch.observations)
    wanted = lp_infonce(z, z_pos, p=1, scheme="one_view_with_self").mean()
    np.testing.assert_allclose(step(state, batch)[1]["loss"], wanted, rtol=1e-5)
    same = dataclasses.replace(batch, observations=(batch.observations[0],) * 2)  # negative control
    assert step(state, same)[1]["loss"] < wanted - 1e-4  # nothing is nearer to an anchor than itself


@pytest.mark.slow
def test_slow_vae_learns_to_reconstruct():
    config = dataclasses.replace(SMOKE[kitti], objective="slow_vae", channels=(4, 4, 4, 4), batch_size=8)
    study = kitti.build(config)
    batch = next(kitti.batches(config, (0, 1)))
    state = started(study, kitti)
    state = dataclasses.replace(state, hparams={**state.hparams, "learning_rate": jnp.array(3e-3)})
    step = jax.jit(study.step)
    losses = []
    for _ in range(60):
        state, metrics = step(state, batch)
        losses.append(float(metrics["loss"]))
    assert losses[-1] < 0.5 * losses[0]
    rate = dataclasses.replace(state, hparams={**state.hparams, "gamma": jnp.array(1e3)})
    assert step(rate, batch)[1]["loss"] > losses[-1] + 10  # the prior of the steps counts


def test_arms_that_differ_in_their_frames_share_their_study():
    arms = {arm.name: arm.config for arm in kitti.arms(SMOKE[kitti])}
    assert len(arms) == 2 * len(kitti_claims.MODELS)
    studies = [kitti.build(arms[f"unbounded L2, {frames}"]) for frames in ("1 frame", "5 frames")]
    assert studies[0] is studies[1] and studies[0] is not kitti.build(arms["unbounded L1, 1 frame"])
    near, far = (next(kitti.batches(arms[f"unbounded L2, {frames}"], (0, 1))) for frames in ("1 frame", "5 frames"))
    assert near.observations[0].shape == far.observations[0].shape == (4, 64, 64, 1)


def test_bad_input_of_kitti(tmp_path):
    for call in (kitti.build, lambda config: kitti.batches(config, (0, 1))):
        with pytest.raises(ValueError, match=r"run: curl -L -o .*3931823"):
            call(dataclasses.replace(SMOKE[kitti], data=str(tmp_path / "nothing.pickle")))
    with pytest.raises(ValueError, match="did you mean 'slow_vae'"):
        kitti.build(dataclasses.replace(SMOKE[kitti], objective="slowvae"))
    with pytest.raises(ValueError, match="wanted one of"):
        kitti.build(dataclasses.replace(SMOKE[kitti], head="sphere"))


# ---- 3DIdent


def test_what_is_scored_are_the_images_as_they_are_trained_on():
    data = three_d_ident._split(three_d_ident.MINIATURE, 16, 10)
    images, latents = three_d_ident.scored(data, 40, 20)
    assert images.shape == (2, 20, 16, 16, 3) and images.dtype == np.uint8
    shown = three_d_ident.normalised(jnp.asarray(images.reshape(40, 16, 16, 3)))
    for image, latent in zip(shown, latents, strict=True):
        (index,) = np.flatnonzero((data.latents == latent).all(axis=1))
        np.testing.assert_allclose(image, data.image(int(index)), atol=1e-5)


@pytest.mark.slow
def test_blocks_are_a_box_and_a_sphere_on_sphere_coded_angles():
    config = dataclasses.replace(SMOKE[three_d_ident], columns=11, head="blocks")
    arms = {arm.name: arm.config for arm in three_d_ident.arms(config)}
    assert arms["Normal and von Mises-Fisher, blocks L2"].head == "blocks"
    batch = next(three_d_ident.batches(config, (0, 1)))
    assert batch.latents[0].shape == (4, 11)
    x, variables = jnp.asarray(batch.observations[0]), {}
    for name, model in three_d_ident._parts(config).items():
        made = model.init(jax.random.key(1), x)
        x, variables[name] = model.apply(made, x)[0], made
    assert ((x[:, :3] > 0) & (x[:, :3] < 1)).all()
    np.testing.assert_allclose(jnp.linalg.norm(x[:, 3:], axis=1), 1, rtol=1e-5)
    study = three_d_ident.build(config)
    state = jax.eval_shape(lambda: started(study, three_d_ident))
    new, metrics = jax.eval_shape(study.step, state, batch)
    assert metrics["loss"].shape == () and jax.tree.structure(new) == jax.tree.structure(state)
    assert jax.eval_shape(study.evaluate, state, jax.random.key(0)).keys() == {"R2", "MCC"}


def test_the_papers_encoder_fits_the_step():
    config = dataclasses.replace(SMOKE[three_d_ident], encoder="resnet18", width=2, side=16)
    study = three_d_ident.build(config)
    state = jax.eval_shape(lambda: started(study, three_d_ident))
    assert state.params["head"]["Dense_0"]["kernel"].shape == (100, 10)
    new, _ = jax.eval_shape(study.step, state, next(three_d_ident.batches(config, (0, 1))))
    assert jax.tree.structure(new) == jax.tree.structure(state)


@pytest.mark.slow
def test_the_supervised_arm_regresses_the_anchors_latents():
    arms = {arm.name: arm.config for arm in three_d_ident.arms(SMOKE[three_d_ident])}
    config = dataclasses.replace(arms["supervised"], batch_size=16)
    study = three_d_ident.build(config)
    batch = next(three_d_ident.batches(config, (0, 1)))
    state = started(study, three_d_ident)
    state = dataclasses.replace(state, hparams={**state.hparams, "learning_rate": jnp.array(3e-2)})
    step = jax.jit(study.step)
    for _ in range(60):
        state, metrics = step(state, batch)
    spread = float(jnp.var(batch.latents[0], axis=0).mean())
    assert metrics["loss"] < 0.2 * spread
    z, z_pos = batch.latents
    now, other, swapped = (
        float(step(state, dataclasses.replace(batch, latents=pair))[1]["loss"])
        for pair in ((z, z_pos), (z, z_pos + 1), (z_pos, z))
    )
    assert now == other and swapped > 1.5 * now


def test_bad_input_of_three_d_ident(tmp_path):
    smoke = SMOKE[three_d_ident]
    for field, call in (
        ("train", lambda config: three_d_ident.batches(config, (0, 1))),
        ("test", three_d_ident.build),
    ):
        with pytest.raises(ValueError, match=r"zenodo_get 4502485"):
            call(dataclasses.replace(smoke, **{field: str(tmp_path)}))
    folder = str(miniatures.write_three_d_ident(tmp_path / "split", columns=11))
    with pytest.raises(ValueError, match=r"latents of 11 columns in .*split, wanted columns=10"):
        three_d_ident.batches(dataclasses.replace(smoke, train=folder), (0, 1))
    with pytest.raises(ValueError, match="wanted at least chunk=65"):
        three_d_ident.build(dataclasses.replace(smoke, chunk=65))
    with pytest.raises(ValueError, match="objective='infonce' with head='none'"):
        three_d_ident.build(dataclasses.replace(smoke, objective="infonce", head="none"))
    with pytest.raises(ValueError, match="head='blocks' with columns=10"):
        three_d_ident.build(dataclasses.replace(smoke, head="blocks"))

"""Configs of which no sensible study can be made are refused with the field and what it held."""

import dataclasses
import importlib

import pytest


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("variability", {"environments": (50, 50)}, r"environments=\(50, 50\), wanted different ones"),
        ("variability", {"environments": ()}, "found no environments, wanted at least one"),
        ("variability", {"level": 2.0}, "iem/variability: found level=2.0, wanted a number from 0 to 1"),
        ("multivariate", {"environments": (9, 8, 9)}, "wanted different ones"),
        ("multivariate", {"level": -1.0}, "level=-1.0"),
        ("bivariate", {"strict_environments": (20, 20)}, r"strict_environments=\(20, 20\)"),
        (
            "bivariate",
            {"environments": (), "strict_environments": (), "second_moment_environments": ()},
            "found no environments and no strict_environments and no second_moment_environments",
        ),
        ("independence_tests", {"worlds": ("gaussian", "gaussian")}, "found worlds="),
        ("independence_tests", {"samples": ()}, "found no samples"),
        ("independence_tests", {"samples": (50, 3)}, r"samples=\(50, 3\), wanted at least 6"),
        ("independence_tests", {"strengths": (0.4, 1.5)}, r"strengths=\(0.4, 1.5\), wanted them in"),
        ("zoo", {"dim": 3}, "iem/zoo: found dim=3, wanted 4"),
        ("zoo", {"level": 3.0}, "iem/zoo: found level=3"),
        ("tcl_duality", {"head_share": 2.0}, "found head_share=2.0, wanted a number from 0 to 1"),
        ("tcl_duality", {"linear_restarts": 0}, "linear_restarts=0, wanted at least 1"),
        ("structure_baselines", {"graph_environments": (200, 200)}, "found graph_environments="),
    ],
)
def test_refusals(name, fields, message):
    module = importlib.import_module(f"experiments.iem.{name}")
    config = dataclasses.replace(module.PRESETS["smoke"], **fields)
    with pytest.raises(ValueError, match=message):
        module.arms(config)


def test_kinds_of_arms_may_be_left_out():
    module = importlib.import_module("experiments.iem.bivariate")
    config = dataclasses.replace(module.PRESETS["smoke"], strict_environments=(), second_moment_environments=())
    assert [arm.name for arm in module.arms(config)] == ["as shipped, E = 20"]

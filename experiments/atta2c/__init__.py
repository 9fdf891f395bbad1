"""Reizinger and Szemenyei, "Attention-based Curiosity-driven Exploration in Deep Reinforcement Learning", 2020."""

"""Reizinger & Szemenyei, ICASSP 2020: attention-based curiosity, and what it does once it reaches the policy."""

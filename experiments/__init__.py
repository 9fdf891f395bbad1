"""One package per paper, one module per experiment; `python -m experiments list` shows them."""

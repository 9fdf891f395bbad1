"""Laws of bracket words, written out as recursions over whole words: what samplers and entropies are compared with."""

import math

OPEN = {"(": ")", "[": "]"}


def nested_law(n: int, *, prime: bool = True, kinds: str = "([") -> dict[str, float]:
    """Probability of every word of the walk that starts with nothing open and must be able to end at n symbols."""
    found: dict[str, float] = {}

    def go(word: str, stack: str, p: float) -> None:
        if (word and not stack and prime) or len(word) == n:
            found[word] = found.get(word, 0.0) + p
        elif len(word) + len(stack) >= n:
            go(word + OPEN[stack[-1]], stack[:-1], p)
        else:
            moves = [(one, stack + one) for one in kinds] + ([(OPEN[stack[-1]], stack[:-1])] if stack else [])
            for symbol, after in moves:
                go(word + symbol, after, p / len(moves))

    go("", "", 1.0)
    return found


def shuffled_law(n: int) -> dict[str, float]:
    """Probability of every word of n symbols of two kinds of brackets that are matched by themselves."""
    found: dict[str, float] = {}

    def go(word: str, i: int, j: int, p: float) -> None:
        if len(word) == n:
            found[word] = found.get(word, 0.0) + p
            return
        moves = [(")", i - 1, j)] * (i > 0) + [("]", i, j - 1)] * (j > 0)
        if len(word) + i + j < n:
            moves += [("(", i + 1, j), ("[", i, j + 1)]
        for symbol, *after in moves:
            go(word + symbol, *after, p / len(moves))

    go("", 0, 0, 1.0)
    return found


def mixed(laws: list[dict[str, float]]) -> dict[str, float]:
    """The equal mixture of laws."""
    found: dict[str, float] = {}
    for law in laws:
        for word, p in law.items():
            found[word] = found.get(word, 0.0) + p / len(laws)
    return found


def entropy(law: dict[str, float]) -> float:
    """In nats."""
    assert abs(sum(law.values()) - 1) < 1e-12
    return -sum(p * math.log(p) for p in law.values())

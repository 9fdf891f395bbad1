"""A rollout and update of A2C in eager PyTorch on frames that are there already: the other side of the comparison."""

from typing import Any

import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]


class Learner:
    """One agent: convolution, dense layer, LSTM cell or none, two heads; gradients flow through the rollout itself."""

    def __init__(
        self, num_actions: int, *, frame: tuple[int, ...], memory: bool, units: int, num: int, rollout_length: int
    ) -> None:
        height, width, channels = frame
        self.conv, self.cell = nn.Conv2d(channels, 16, 3), nn.LSTMCell(units, units) if memory else None
        self.dense = nn.Linear(16 * (height - 2) * (width - 2), units)
        self.actor, self.critic = nn.Linear(units, num_actions), nn.Linear(units, 1)
        modules = [self.conv, self.dense, self.actor, self.critic, *([self.cell] if self.cell else [])]
        self.parameters = [one for module in modules for one in module.parameters()]
        self.optimizer = torch.optim.Adam(self.parameters, 1e-4)
        self.frames = torch.bernoulli(torch.full((rollout_length + 1, num, channels, height, width), 0.05))
        self.rewards = torch.bernoulli(torch.full((rollout_length, num), 0.3))
        self.carry = (torch.zeros(num, units), torch.zeros(num, units)) if memory else None

    def updates(self, count: int) -> float:
        """So many updates; returns the last loss."""
        loss = 0.0
        for _ in range(count):
            loss = self.update()
        return float(loss)

    def update(self) -> Any:
        """One rollout of actions drawn from the policy, and one step of Adam."""
        carry = None if self.carry is None else tuple(part.detach() for part in self.carry)
        chosen, values, entropy = [], [], torch.zeros(())
        for frames in self.frames[:-1]:
            law, value, carry = self._step(frames, carry)
            chosen.append(law.log_prob(law.sample()))
            values.append(value)
            entropy = entropy + law.entropy().mean()
        with torch.no_grad():
            _, following, carry = self._step(self.frames[-1], carry)
        self.carry = carry
        returns = []
        for reward in reversed(self.rewards):
            following = reward + 0.99 * following
            returns.insert(0, following)
        better = torch.stack(returns) - torch.stack(values)
        policy = -(torch.stack(chosen) * better.detach()).mean()
        loss = policy + 0.5 * (better**2).mean() - 0.02 * entropy
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 0.5)
        self.optimizer.step()
        return loss.detach()

    def _step(self, frames: Any, carry: Any) -> tuple[Any, Any, Any]:
        x = torch.relu(self.dense(torch.relu(self.conv(frames)).flatten(1)))
        if self.cell is not None:
            carry = self.cell(x, carry)
            x = carry[0]
        return torch.distributions.Categorical(logits=self.actor(x)), self.critic(x)[:, 0], carry

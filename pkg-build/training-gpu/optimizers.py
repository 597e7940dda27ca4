"""Muon for the matrices within a net, AdamW for the rest, both at a rate that a captured graph can read."""
import math

import torch


class Muon:
    """Steps along the momentum's nearest orthogonal matrix (Jordan et al. 2024), scaled to AdamW's usual step.

    kind: of the numbers that it is found with
    """

    def __init__(self, parameters, rate, decay, kind=torch.bfloat16, momentum=0.95):
        self.parameters, self.rate, self.decay, self.kind, self.momentum = parameters, rate, decay, kind, momentum
        self.means = [torch.zeros_like(parameter) for parameter in parameters]

    def state(self):
        """What it remembers between steps."""
        return self.means

    @torch.no_grad()
    def step(self):
        for parameter, mean in zip(self.parameters, self.means):
            mean.lerp_(parameter.grad, 1 - self.momentum)
            ahead = parameter.grad.lerp(mean, self.momentum)
            size = max(len(parameter), parameter[0].numel())
            move = orthogonal(ahead.flatten(1), self.kind).view_as(parameter) * 0.2 * math.sqrt(size)
            parameter.sub_((parameter * self.decay + move) * self.rate)


def orthogonal(matrix, kind):
    """Newton-Schulz, five rounds; the coefficients are Jordan's."""
    tall = matrix.shape[0] > matrix.shape[1]
    values = (matrix / (matrix.norm() + 1e-7)).to(kind)
    values = values.T if tall else values
    for _ in range(5):
        square = values @ values.T
        values = 3.4445 * values + (-4.7750 * square + 2.0315 * square @ square) @ values
    return (values.T if tall else values).float()


class AdamW:
    """AdamW with betas of 0.9 and 0.999; `scale` is a share of the rate."""

    def __init__(self, parameters, rate, decay, scale=1.0):
        self.parameters, self.rate, self.decay, self.scale = parameters, rate, decay, scale
        self.means = [torch.zeros_like(parameter) for parameter in parameters]
        self.squares = [torch.zeros_like(parameter) for parameter in parameters]
        self.steps = torch.zeros((), device=rate.device)

    def state(self):
        """What it remembers between steps."""
        return [*self.means, *self.squares, self.steps]

    @torch.no_grad()
    def step(self):
        gradients = [parameter.grad for parameter in self.parameters]
        self.steps.add_(1)
        rate = self.rate * self.scale
        torch._foreach_lerp_(self.means, gradients, 0.1)
        torch._foreach_mul_(self.squares, 0.999)
        torch._foreach_addcmul_(self.squares, gradients, gradients, 0.001)
        sizes = torch._foreach_div(self.squares, 1 - 0.999**self.steps)
        torch._foreach_sqrt_(sizes)
        torch._foreach_add_(sizes, 1e-8)
        moves = torch._foreach_div(self.means, sizes)
        torch._foreach_mul_(moves, rate / (1 - 0.9**self.steps))
        torch._foreach_mul_(self.parameters, 1 - rate * self.decay)
        torch._foreach_sub_(self.parameters, moves)

"""CLIPER's encoder as a PyTorch module."""
import torch
import torch.nn.functional as F
from torch import nn

from changes import MEAN, STD


class Cliper(nn.Module):
    """CLIPER's encoder with a convolutional stem, as `src/model` has it, batch norms in the stem. Answers with mean cosines to each
    class's descriptors over a temperature, for the votes and for the labels, all cosines over it, and features [n, width]."""

    def __init__(self, encoder, descriptors, temperatures):
        super().__init__()
        stem, channels = [], encoder["channels"]
        for stage in encoder["stem"]:
            stem += [nn.Conv2d(channels, stage["channels"], 3, stage["stride"], 1, bias=False),
                     nn.BatchNorm2d(stage["channels"]), nn.ReLU(inplace=True)]
            channels = stage["channels"]
        side, width = encoder["side"], encoder["width"]
        for stage in encoder["stem"]:
            side = -(-side // stage["stride"])
        self.stem, self.patches = nn.Sequential(*stem), nn.Linear(channels, width, bias=False)
        self.positions = nn.Parameter(torch.zeros(1, side * side, width))
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.blocks = nn.Sequential(*[Block(width, encoder["heads"]) for _ in range(encoder["layers"])])
        self.project = nn.Linear(width, encoder["embedding"], bias=False)
        for name, each, temperature in zip(("votes", "labels"), descriptors, temperatures):
            self.register_buffer(name, F.normalize(each, dim=1) / temperature, persistent=False)

    def see(self, faces):
        return ((faces - MEAN) / STD).contiguous(memory_format=torch.channels_last)

    @torch.no_grad()
    def settle(self, batches):
        """Gives the batch norms the statistics of these faces."""
        norms = [each for each in self.stem if isinstance(each, nn.BatchNorm2d)]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
        self.stem.train()
        for faces in batches:
            self.stem(self.see(faces))
        for norm in norms:
            norm.momentum = 0.1

    @torch.no_grad()
    def unfold(self, faces, biases):
        """Gives each convolution, which came with its batch norm folded in, one that leaves its answers to these faces as they
        were.

        biases: of the convolutions as they came
        """
        maps = self.see(faces)
        for convolution, norm, relu, bias in zip(self.stem[::3], self.stem[1::3], self.stem[2::3], biases):
            maps = convolution(maps)
            mean, variance, bias = maps.mean((0, 2, 3)), maps.var((0, 2, 3), unbiased=False), bias.to(maps.device)
            norm.weight.copy_((variance + norm.eps).sqrt())
            norm.bias.copy_(mean + bias)
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(variance)
            maps = relu(maps + bias.view(1, -1, 1, 1))

    def forward(self, faces):
        tokens = self.before(self.patches(self.stem(self.see(faces)).flatten(2).transpose(1, 2)) + self.positions)
        features = self.after(self.blocks(tokens).mean(1))
        embeddings = F.normalize(self.project(features).float(), dim=1)
        with torch.autocast(embeddings.device.type, enabled=False):
            cosines, labels = (embeddings @ each.T for each in (self.votes, self.labels))
        return cosines.unflatten(1, (8, -1)).mean(2), labels.unflatten(1, (7, -1)).mean(2), cosines, features


class Block(nn.Module):
    """CLIP's residual block with a ReLU."""

    def __init__(self, width, heads):
        super().__init__()
        self.norm1, self.norm2, self.heads = nn.LayerNorm(width), nn.LayerNorm(width), heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, tokens):
        queries, keys, values = self.qkv(self.norm1(tokens)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(queries, keys, values).transpose(1, 2).flatten(2)
        tokens = tokens + self.out(attended)
        return tokens + self.fc2(F.relu(self.fc1(self.norm2(tokens))))

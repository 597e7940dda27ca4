"""Nets that others trained, as teachers: HSE-FaceRes' MobileNets, which learn the classes first, and face-api's expression net, which
teaches as it is."""
import json

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from faces import EXPRESSIONS, LABELS


class FaceNet(nn.Module):
    """HSE-FaceRes: a MobileNet that learned identities, ages and genders from VGGFace2's faces (Savchenko 2019), with heads for
    FER+'s and FER2013's classes instead of its own. Answers pictures of 48 pixels at 192."""

    SIDE = 192
    HALVED = (2, 4, 6, 12)  # pairs whose depthwise convolution has a stride of 2

    def __init__(self, weights, dropout=0.3):
        super().__init__()
        bias = lambda name: weights[f"{name}_bn/batchnorm_1/sub"]
        kernel = lambda name: weights[f"{name}/convolution/merged_input"].permute(3, 2, 0, 1)
        layers = [Convolution(kernel("conv1"), bias("conv1"), 2)]
        for pair in range(1, 14):
            name = f"conv_dw_{pair}"
            depthwise = weights[f"{name}/depthwise_kernel"].permute(2, 3, 0, 1)
            depthwise = depthwise * weights[f"{name}_bn/batchnorm_1/mul"].view(-1, 1, 1, 1)
            layers.append(Convolution(depthwise, bias(name), 2 if pair in self.HALVED else 1))
            layers.append(Convolution(kernel(f"conv_pw_{pair}"), bias(f"conv_pw_{pair}"), 1))
        self.layers = nn.ModuleList(layers)
        features = len(layers[-1].weight)
        self.votes, self.labels = nn.Linear(features, len(EXPRESSIONS)), nn.Linear(features, len(LABELS))
        self.dropout = nn.Dropout(dropout)
        # The net's own preprocessing: RGB levels less these.
        self.register_buffer("mean", torch.tensor([123.68, 116.779, 103.939]).view(1, 3, 1, 1))

    def see(self, faces):
        faces = F.interpolate(faces, size=(self.SIDE, self.SIDE), mode="bicubic", align_corners=False).clamp(0, 1)
        return (faces.expand(-1, 3, -1, -1) * 255 - self.mean).contiguous(memory_format=torch.channels_last)

    @torch.no_grad()
    def unfold(self, faces):
        """Gives each layer a batch norm that leaves its answers to these faces as they were: the published weights hold
        none, and training wants them."""
        faces = self.see(faces)
        for layer in self.layers:
            faces = layer.unfold(faces)

    def forward(self, faces):
        faces = self.see(faces)
        for layer in self.layers:
            faces = layer(faces)
        features = self.dropout(faces.float().mean((2, 3)))
        return self.votes(features), self.labels(features)


class Convolution(nn.Module):
    """A convolution, depthwise where its kernels have one channel, with batch norm and ReLU6."""

    def __init__(self, weight, bias, stride):
        super().__init__()
        self.weight = nn.Parameter(weight.contiguous().clone())
        self.stride, self.groups = stride, len(weight) if weight.shape[1] == 1 else 1
        self.norm = nn.BatchNorm2d(len(weight))
        self.bias = bias

    def forward(self, maps):
        return F.relu6(self.norm(convolve(maps, self.weight, None, self.stride, self.groups)))

    def unfold(self, maps):
        maps = convolve(maps, self.weight, None, self.stride, self.groups)
        mean, variance, bias = maps.mean((0, 2, 3)), maps.var((0, 2, 3), unbiased=False), self.bias.to(maps.device)
        self.norm.weight.copy_((variance + self.norm.eps).sqrt())
        self.norm.bias.copy_(mean + bias)
        self.norm.running_mean.copy_(mean)
        self.norm.running_var.copy_(variance)
        return F.relu6(maps + bias.view(1, -1, 1, 1))

    def folded(self, kind):
        scale = self.norm.weight / (self.norm.running_var + self.norm.eps).sqrt()
        weight, bias = self.weight * scale.view(-1, 1, 1, 1), self.norm.bias - self.norm.running_mean * scale
        weight = weight.detach().to(kind).contiguous(memory_format=torch.channels_last)
        return weight, bias.detach().to(kind), self.stride, self.groups


def convolve(maps, weight, bias, stride, groups):
    """TensorFlow's `same`: at a stride of 2 the border is below and to the right."""
    side = weight.shape[2]
    if side == 3 and stride == 2:
        return F.conv2d(F.pad(maps, (0, 1, 0, 1)), weight, bias, 2, 0, 1, groups)
    return F.conv2d(maps, weight, bias, stride, side // 2, 1, groups)


class Teacher:
    """A face net that only answers: batch norms folded into its convolutions.

    kind: of its numbers
    """

    def __init__(self, net, kind):
        self.net, self.kind = net.eval().requires_grad_(False), kind
        self.layers = [layer.folded(kind) for layer in net.layers]

    @torch.no_grad()
    def __call__(self, faces):
        """Shares of the votes [n, 8], of the labels [n, 7], features [n, width]."""
        maps = self.net.see(faces).to(self.kind)
        for weight, bias, stride, groups in self.layers:
            maps = convolve(maps, weight, bias, stride, groups).clamp_(0, 6)
        features = maps.float().mean((2, 3))
        return self.net.votes(features).softmax(1), self.net.labels(features).softmax(1), features


class FaceApi(nn.Module):
    """face-api's expression net as its own code runs it (@vladmandic/face-api, MIT): four dense blocks of depthwise separable
    convolutions. It was taught with faces of actors too, and knows posed ones; contempt it does not know."""

    SIDE, BLOCKS = 112, 4
    ANSWERS = ["neutral", "happiness", "sadness", "anger", "fear", "disgust", "surprise"]

    def __init__(self, weights):
        super().__init__()
        for name, value in weights.items():
            value = value.permute(2, 3, 0, 1) if name.endswith("depthwise_filter") else value
            value = value.permute(3, 2, 0, 1) if name.endswith(("pointwise_filter", "filters")) else value
            self.register_buffer(name.replace("/", "_"), value.contiguous())
        # The net's own preprocessing.
        self.register_buffer("mean", torch.tensor([122.782, 117.001, 104.298]).view(1, 3, 1, 1))
        self.places = [self.ANSWERS.index(name) for name in EXPRESSIONS[:len(LABELS)]]

    def _convolve(self, maps, name, stride):
        if f"{name}_filters" in self._buffers:
            maps = convolve(maps, self.get_buffer(f"{name}_filters"), None, stride, 1)
        else:
            maps = convolve(maps, self.get_buffer(f"{name}_depthwise_filter"), None, stride, maps.shape[1])
            maps = convolve(maps, self.get_buffer(f"{name}_pointwise_filter"), None, 1, 1)
        return maps + self.get_buffer(f"{name}_bias").view(1, -1, 1, 1)

    @torch.no_grad()
    def forward(self, faces):
        """Shares of the votes [n, 8] and of the labels [n, 7]."""
        with torch.autocast(faces.device.type, enabled=False):
            maps = (enlarge(faces, self.SIDE).expand(-1, 3, -1, -1) * 255 - self.mean) / 255
            for block in range(self.BLOCKS):
                sum = F.relu(self._convolve(maps, f"dense{block}_conv0", 2))
                for index in range(1, 4):
                    sum = sum + self._convolve(F.relu(sum), f"dense{block}_conv{index}", 1)
                maps = F.relu(sum)
            shares = (maps.mean((2, 3)) @ self.fc_weights + self.fc_bias).softmax(1)[:, self.places]
        return F.pad(shares, (0, len(EXPRESSIONS) - len(LABELS))), shares


def enlarge(faces, side):
    """Bilinear as TensorFlow's first form had it: pixel 0 stays at 0."""
    old = faces.shape[2]
    at = torch.arange(side, device=faces.device) * (old / side)
    places = torch.arange(old, device=faces.device)
    weights = (1 - (at.clamp(max=old - 1)[:, None] - places).abs()).clamp_min(0)
    return weights @ faces @ weights.T


def read_tfjs(manifest):
    """The weights of a TensorFlow.js model by its manifest, a .json; 8-bit values become what they stand for."""
    groups = json.loads(manifest.read_text())
    weights = {}
    for group in groups["weightsManifest"] if isinstance(groups, dict) else groups:
        data, at = b"".join((manifest.parent / path).read_bytes() for path in group["paths"]), 0
        for entry in group["weights"]:
            stored = entry.get("quantization", entry)
            kind, count = np.dtype(stored["dtype"]), int(np.prod(entry["shape"]))
            if len(data) < at + count * kind.itemsize:
                raise ValueError(f"{', '.join(group['paths'])} is cut off within {entry['name']}")
            values = np.frombuffer(data, kind, count, at).astype(np.float32) * stored.get("scale", 1) + stored.get("min", 0)
            weights[entry["name"]] = torch.from_numpy(values.astype(np.float32)).view(entry["shape"])
            at += count * kind.itemsize
    return weights

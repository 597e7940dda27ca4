"""The nets: a face net that others trained, as it is taught and as it teaches, and CLIPER's encoder."""
import json

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

# Of FER+'s pictures, as in the run's own preprocessing.
MEAN, STD = 0.508, 0.255


class FaceNet(nn.Module):
    """HSE-FaceRes: a MobileNet that learned identities, ages and genders from VGGFace2's faces (Savchenko 2019), with heads for
    FER+'s and FER2013's classes instead of its own. Answers pictures of 48 pixels at 192."""

    SIDE, FEATURES = 192, 1024
    HALVED = (2, 4, 6, 12)  # pairs whose depthwise convolution has a stride of 2

    def __init__(self, file, dropout=0.3):
        super().__init__()
        weights = read_tfjs(file)
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
        self.votes, self.labels = nn.Linear(self.FEATURES, 8), nn.Linear(self.FEATURES, 7)
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

    def folded(self):
        scale = self.norm.weight / (self.norm.running_var + self.norm.eps).sqrt()
        weight, bias = self.weight * scale.view(-1, 1, 1, 1), self.norm.bias - self.norm.running_mean * scale
        weight = weight.detach().bfloat16().contiguous(memory_format=torch.channels_last)
        return weight, bias.detach().bfloat16(), self.stride, self.groups


def convolve(maps, weight, bias, stride, groups):
    """TensorFlow's `same`: at a stride of 2 the border is below and to the right."""
    side = weight.shape[2]
    if side == 3 and stride == 2:
        return F.conv2d(F.pad(maps, (0, 1, 0, 1)), weight, bias, 2, 0, 1, groups)
    return F.conv2d(maps, weight, bias, stride, side // 2, 1, groups)


def read_tfjs(file):
    """The weights of a TensorFlow.js graph model, `file` being its .json."""
    data, at, weights = file.with_suffix(".bin").read_bytes(), 0, {}
    for group in json.loads(file.read_text())["weightsManifest"]:
        for entry in group["weights"]:
            kind = np.dtype(entry.get("quantization", entry)["dtype"])
            count = int(np.prod(entry["shape"]))
            values = np.frombuffer(data, kind, count, at).astype(np.float32)
            weights[entry["name"]] = torch.from_numpy(values).view(entry["shape"])
            at += count * kind.itemsize
    return weights


class Teacher:
    """A face net that only answers: batch norms folded into its convolutions, in brain floats."""

    def __init__(self, net):
        self.net = net.eval().requires_grad_(False)
        self.layers = [layer.folded() for layer in net.layers]

    @torch.no_grad()
    def __call__(self, faces):
        """Shares of the votes [n, 8], of the labels [n, 7], features [n, 1024]."""
        maps = self.net.see(faces).bfloat16()
        for weight, bias, stride, groups in self.layers:
            maps = convolve(maps, weight, bias, stride, groups).clamp_(0, 6)
        features = maps.float().mean((2, 3))
        return self.net.votes(features).softmax(1), self.net.labels(features).softmax(1), features


class Cliper(nn.Module):
    """CLIPER's encoder with a convolutional stem, as `src/model` has it, batch norms in the stem. Answers with mean cosines to
    each class's descriptors over a temperature; `features` [n, width] and `cosines` [n, descriptors] are the last answer's."""

    def __init__(self, encoder, descriptors, temperature):
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
        self.votes, self.labels = (F.normalize(each, dim=1) for each in descriptors)
        self.temperature = temperature

    def forward(self, faces):
        faces = ((faces - MEAN) / STD).contiguous(memory_format=torch.channels_last)
        tokens = self.before(self.patches(self.stem(faces).flatten(2).transpose(1, 2)) + self.positions)
        self.features = self.after(self.blocks(tokens).mean(1))
        embeddings = F.normalize(self.project(self.features).float(), dim=1)
        with torch.autocast(embeddings.device.type, enabled=False):
            self.cosines, labels = (embeddings @ each.T / self.temperature for each in (self.votes, self.labels))
        return self.cosines.unflatten(1, (8, -1)).mean(2), labels.unflatten(1, (7, -1)).mean(2)


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

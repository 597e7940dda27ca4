"""The processes that torchrun started, and what they do as one; a process that was started alone is all of them."""
import datetime

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel


def join(device):
    """Joins the others where torchrun started this, and gives the device of this process.

    device: cpu, or cuda: one of the GPUs for each process of a machine
    """
    if not dist.is_torchelastic_launched():
        return torch.device(device)
    # One process reads the sets while the others wait.
    patience = datetime.timedelta(hours=4)
    if device == "cpu":
        dist.init_process_group("gloo", timeout=patience)
        return torch.device(device)
    own = torch.device("cuda", dist.get_node_local_rank())
    torch.cuda.set_device(own)
    dist.init_process_group("nccl", timeout=patience, device_id=own)
    return own


def leave():
    if dist.is_initialized():
        dist.destroy_process_group()


def count():
    return dist.get_world_size() if dist.is_initialized() else 1


def rank():
    return dist.get_rank() if dist.is_initialized() else 0


def is_first():
    return rank() == 0


def say(line):
    """A line of the first process alone."""
    if is_first():
        print(line, flush=True)


def wait():
    if dist.is_initialized():
        dist.barrier()


def add_up(values):
    """A tensor's sum over all processes, in its place."""
    if dist.is_initialized():
        dist.all_reduce(values)
    return values


def shared(net):
    """The net as all processes train it: one gradient, and batch norms over all their pictures."""
    if not dist.is_initialized():
        return net
    device = next(net.parameters()).device
    if device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(net)
        return DistributedDataParallel(net, [device.index])
    for module in net.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SharedNorm
    return DistributedDataParallel(net)


class Sum(torch.autograd.Function):
    """Over all processes, and so is the gradient."""

    @staticmethod
    def forward(context, values):
        return add_up(values.clone())

    @staticmethod
    def backward(context, gradient):
        return add_up(gradient.clone())


class SharedNorm(nn.BatchNorm2d):
    """What PyTorch's SyncBatchNorm does, which has no processor's version."""

    def forward(self, maps):
        if not self.training:
            return super().forward(maps)
        maps = maps.float()
        mean = Sum.apply(maps.mean((0, 2, 3))) / count()
        variance = Sum.apply((maps - mean.view(1, -1, 1, 1)).square().mean((0, 2, 3))) / count()
        with torch.no_grad():
            values = maps.numel() // len(mean) * count()
            self.num_batches_tracked += 1
            share = self.momentum or 1 / self.num_batches_tracked
            self.running_mean.lerp_(mean, share)
            self.running_var.lerp_(variance * (values / (values - 1)), share)
        scale = self.weight / (variance + self.eps).sqrt()
        return maps * scale.view(1, -1, 1, 1) + (self.bias - mean * scale).view(1, -1, 1, 1)

"""Steps of training with averaged weights, on any Keras backend."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from fer_batch.training.common.schedule import compiled_whole

_GRADIENT_NORM = 5.0
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


def make_steps(model: keras.Model, network: keras.Model, weight_decay: float) -> KerasSteps:
    """The steps of the backend in use (AdamW).

    Args:
        model: Gives the answers and, by `compute_loss`, the loss.
        network: What is trained of it; its weights are averaged.
        weight_decay: Of kernels.
    """
    return (_TorchSteps if keras.backend.backend() == "torch" else KerasSteps)(model, network, weight_decay)


def rate_share(step: int, warmup: int, start: float, end: float) -> float:
    """The learning rate of a step as a share of its peak, 0..1: a straight rise over the first `warmup` steps, a
    plateau, and from step `start` to step `end` a cosine down to 0."""
    falling = min(1.0, max(0.0, (step - start) / max(1, end - start)))
    return min(1.0, (step + 1) / max(1, warmup)) * (1 + math.cos(math.pi * falling)) / 2


class KerasSteps:
    """Steps by Keras's own optimizer, on any backend.

    Attributes:
        model: See `make_steps`.
        weights: The weights that are trained.
        average: Their averages, in float32.
    """

    def __init__(self, model: keras.Model, network: keras.Model, weight_decay: float) -> None:
        """See `make_steps`."""
        self.model, self.weights = model, network.weights
        # Copies, here and below: JAX gives a step's memory away to the next one.
        self.average = [keras.Variable(weight, trainable=False, dtype="float32") for weight in network.get_weights()]
        self._set_up(network, weight_decay)

    def _set_up(self, network: keras.Model, weight_decay: float) -> None:
        self.optimizer = keras.optimizers.AdamW(weight_decay=weight_decay, clipnorm=_GRADIENT_NORM)
        self.optimizer.exclude_from_weight_decay(var_names=["bias", "gain"])
        self.model.compile(self.optimizer, jit_compile=compiled_whole())
        self.optimizer.build(network.trainable_variables)

    def step(self, inputs: Any, wanted: Any, rate: float, decay: float) -> float:
        """One step; the averaged weights follow by `decay`. Returns the loss."""
        self.optimizer.learning_rate = rate
        self.model.reset_metrics()
        loss = float(self.model.train_on_batch(inputs, wanted))
        for average, weight in zip(self.average, self.weights, strict=True):
            average.assign(decay * average + (1 - decay) * ops.cast(weight, "float32"))
        return loss

    def average_into(self, network: keras.Model) -> keras.Model:
        """Give the averaged weights to a network of the same shape; returns it."""
        network.set_weights([ops.convert_to_numpy(average) for average in self.average])
        return network

    def state(self) -> dict[str, Any]:
        """The optimizer's variables by name."""
        return {f"optimizer{i}": variable for i, variable in enumerate(self.optimizer.variables)}


class _TorchSteps(KerasSteps):
    """Steps by PyTorch's fused optimizer, which takes a tenth of the time of Keras's."""

    def _set_up(self, network: keras.Model, weight_decay: float) -> None:
        import torch

        self.parameters = [variable.value for variable in self.weights]
        kernels = [parameter for parameter in self.parameters if parameter.ndim > 1]
        vectors = [parameter for parameter in self.parameters if parameter.ndim == 1]
        groups = [{"params": kernels, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, fused=True)
        for parameter in self.parameters:  # As the first step makes it, so that a checkpoint can be loaded before.
            moments = {name: torch.zeros_like(parameter) for name in _MOMENTS[1:]}
            self.optimizer.state[parameter] = {"step": torch.zeros((), device=parameter.device), **moments}

    def step(self, inputs: Any, wanted: Any, rate: float, decay: float) -> float:
        """See `KerasSteps.step`."""
        import torch

        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        answers = self.model(ops.convert_to_tensor(inputs), training=True)
        loss = self.model.compute_loss(None, wanted, answers)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, _GRADIENT_NORM)
        self.optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_([average.value for average in self.average], self.parameters, 1 - decay)
        return float(loss.detach())

    def state(self) -> dict[str, Any]:
        """See `KerasSteps.state`."""
        states = [self.optimizer.state[parameter] for parameter in self.parameters]
        return {f"{name}{i}": _Assignable(state[name]) for i, state in enumerate(states) for name in _MOMENTS}


class _Assignable:
    """A PyTorch tensor that is saved and loaded like a Keras variable."""

    def __init__(self, tensor: Any) -> None:
        self.tensor = tensor

    def assign(self, value: NDArray[Any]) -> None:
        """Take the values of an array."""
        self.tensor.copy_(ops.convert_to_tensor(value))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.tensor.detach().cpu(), dtype)

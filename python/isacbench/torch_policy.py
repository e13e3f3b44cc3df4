"""Policies as PyTorch modules, to be trained further, and back."""

from __future__ import annotations

import json
import math
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

__all__ = ["save_torch", "torch_module"]


def torch_module(path: str | os.PathLike[str]) -> Any:
    """The policy of a file that `export(path, format="torch")` wrote, as a `torch.nn.Module`.

    `module(obs, state=None)` gives `(output, state)`: of v2x the outputs of the network `[N, outputs]`
    (`module.action` makes raw actions of them), of misac logits and phases `[N, K + K·M]`. `state` is what outlives a
    slot, `None` at the start of an episode and of agents without. Spikes are steps with the program's surrogate
    gradient. Further tensors of the file (critics, `log_std`) are buffers, so that `save_torch` writes them back.
    Printed, a module names its agent and its tensors with their shapes.

    ImportError without torch or safetensors. ValueError: a file that is none of these.
    """
    try:
        import torch
        from safetensors import safe_open
    except ImportError as e:
        raise ImportError("PyTorch modules need: pip install torch safetensors") from e
    path = os.fsdecode(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except Exception as e:
        raise ValueError(f"'{path}': {str(e).splitlines()[0]}") from e
    if metadata.get("format") != "isacbench-torch-1":
        raise ValueError(f"'{path}': not what `isacbench export --format torch` writes")
    made_of = json.loads(metadata["architecture"])
    module = _experts(made_of, tensors) if made_of["kind"] == "experts" else _policy(made_of, tensors)
    module.metadata = metadata
    known = set(module.names.values())
    for name, tensor in tensors.items():
        if name not in known:
            module.register_buffer(_plain(name), tensor.clone().to(torch.float32))
            module.names[_plain(name)] = name
    return module


def save_torch(module: Any, path: str | os.PathLike[str]) -> None:
    """Writes a module of `torch_module` back, for `isacbench import`.

    ImportError without safetensors. TypeError: another module. OSError: the file cannot be written.
    """
    try:
        from safetensors.torch import save_file
    except ImportError as e:
        raise ImportError("PyTorch modules need: pip install torch safetensors") from e
    if not hasattr(module, "names") or not hasattr(module, "metadata"):
        raise TypeError(f"module: {type(module).__name__} is none that `torch_module` gave")
    own = module.state_dict()
    tensors = {name: own[key].detach().cpu().contiguous() for key, name in module.names.items()}
    path = os.fsdecode(path)
    try:
        save_file(tensors, path, metadata=module.metadata)
    except Exception as e:
        # The library has an exception of its own for files that cannot be written.
        raise OSError(f"'{path}': {str(e).splitlines()[0]}") from e


def _shapes(module: Any) -> str:
    """The agent of a module, and each tensor with its shape, a line each."""
    own = module.state_dict()
    said = module.metadata
    lines = [f"{said.get('task', '')} {said.get('agent', '')}".strip()]
    lines += [f"({name}): {list(own[key].shape)}" for key, name in module.names.items()]
    return "\n".join(lines)


def _plain(name: str) -> str:
    return name.replace(".", "__")


def _parameters(module: Any, tensors: dict[str, torch.Tensor], prefix: str) -> None:
    """The tensors that begin with `prefix` as parameters."""
    import torch

    for name, tensor in tensors.items():
        if name.startswith(prefix):
            module.register_parameter(_plain(name), torch.nn.Parameter(tensor.clone()))
            module.names[_plain(name)] = name


def _spike(u: torch.Tensor, threshold: float, eta: float) -> torch.Tensor:
    """1 where u is at the threshold or above; the gradient is (eta/2)/(1 + (pi·eta·(u − threshold)/2)²)."""
    import torch

    class Spike(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, u: torch.Tensor) -> torch.Tensor:
            ctx.save_for_backward(u)
            return (u >= threshold).to(u.dtype)

        @staticmethod
        def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
            (u,) = ctx.saved_tensors
            return grad * (eta / 2) / (1 + (math.pi * eta * (u - threshold) / 2) ** 2)

    return Spike.apply(u)


def _policy(made_of: dict[str, Any], tensors: dict[str, torch.Tensor]) -> Any:
    import torch

    class Policy(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.names: dict[str, str] = {}
            self.metadata: dict[str, str] = {}
            self.prefix = made_of["prefix"]
            _parameters(self, tensors, self.prefix)
            self.depth = sum(name.endswith(".weight") for name in self.names.values())

        def extra_repr(self) -> str:
            return _shapes(self)

        def _get(self, name: str) -> torch.Tensor:
            return getattr(self, _plain(self.prefix + name))

        def _linear(self, n: int, x: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.linear(x, self._get(f"fc{n}.weight"), self._get(f"fc{n}.bias"))

        def forward(
            self, x: torch.Tensor, state: list[torch.Tensor] | None = None
        ) -> tuple[torch.Tensor, list[torch.Tensor] | None]:
            if made_of["lif"]:
                return self._spiking(x, state)
            act = torch.relu if made_of["activation"] == "relu" else torch.tanh
            for n in range(1, self.depth):
                x = act(self._linear(n, x))
            return self._linear(self.depth, x), None

        def _spiking(
            self, x: torch.Tensor, state: list[torch.Tensor] | None
        ) -> tuple[torch.Tensor, list[torch.Tensor] | None]:
            lif = made_of["lif"]
            population = made_of["population"]
            # Dense layers behind the first currents.
            dense = list(range(1, self.depth)) if population else list(range(2, self.depth))
            if population:
                z = self._get("population.sharpness") * (x[..., None] - self._get("population.centre"))
                first = (population["gain"] * torch.exp(-0.5 * z * z)).flatten(1)
            elif self.depth > 1:
                first = self._linear(1, x)
            else:
                first = x
            hidden = self.depth - (0 if population else 1)
            leaks = [lif["lambda"]] * hidden
            if lif["learn_leak"]:
                leaks = list(torch.sigmoid(self._get("leak")))
            carried = lif["membrane"] == "carried"
            v: list[Any] = list(state) if state else [0.0] * (hidden + 1)
            steps, total, weights = lif["steps"], 0.0, []
            for t in range(steps):
                last = lif["readout"] == "last"
                weights.append(lif["lambda"] * (1 - lif["lambda"]) ** (steps - 1 - t) if last else 1 / steps)
            for weight in weights:
                current = first
                for layer in range(hidden):
                    if layer > 0:
                        current = self._linear(dense[layer - 1], current)
                    u = (1 - leaks[layer]) * v[layer] + leaks[layer] * current
                    s = _spike(u, lif["threshold"], lif["eta"])
                    back = s.detach() if lif["detach_reset"] else s
                    v[layer] = u + back * (lif["reset"] - u)
                    current = s
                total = total + weight * current
            out = torch.nn.functional.linear(total, self._get(f"fc{self.depth}.weight"))
            out = out + sum(weights) * self._get(f"fc{self.depth}.bias")
            if carried and lif["readout"] == "last":
                out = out + (1 - lif["lambda"]) ** steps * v[hidden]
                v[hidden] = out
            return out, v if carried else None

        def action(self, out: torch.Tensor) -> torch.Tensor:
            """Raw actions of outputs, without exploration."""
            head = made_of["head"]
            if head["kind"] == "gaussian":
                return out
            if head["kind"] == "tanh":
                return head["scale"] * torch.tanh(out)
            levels = len(head["levels"])
            beams = torch.tensor(head["beams"]).reshape(-1, head["parts"] * head["width"])
            power = torch.tensor(head["levels"])
            each = out.reshape(len(out), head["factors"], -1)
            if head["additive"]:
                beam, level = each[..., : len(beams)].argmax(-1), each[..., len(beams) :].argmax(-1)
            else:
                choice = each.argmax(-1)
                beam, level = choice // levels, choice % levels
            values = beams[beam].reshape(len(out), head["factors"], head["parts"], head["width"])
            return torch.cat([values.transpose(1, 2).flatten(1), power[level]], 1)

    return Policy()


def _experts(made_of: dict[str, Any], tensors: dict[str, torch.Tensor]) -> Any:
    import torch

    linear = torch.nn.functional.linear

    class Experts(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.names: dict[str, str] = {}
            self.metadata: dict[str, str] = {}
            _parameters(self, {n: t for n, t in tensors.items() if not n.startswith(("critic.", "log_std"))}, "")

        def extra_repr(self) -> str:
            return _shapes(self)

        def _get(self, name: str) -> torch.Tensor:
            return getattr(self, _plain(name))

        def _perceptron(self, prefix: str, x: torch.Tensor) -> torch.Tensor:
            depth = sum(n.startswith(prefix) and n.endswith(".weight") for n in self.names.values())
            for n in range(1, depth + 1):
                x = linear(x, self._get(f"{prefix}fc{n}.weight"), self._get(f"{prefix}fc{n}.bias"))
                if n < depth:
                    x = torch.tanh(x)
            return x

        def forward(
            self, obs: torch.Tensor, state: tuple[torch.Tensor, torch.Tensor] | None = None
        ) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor] | None]:
            k, m = made_of["vehicles"], made_of["antennas"]
            x = torch.cat([obs[:, : made_of["seen"]], torch.zeros_like(obs[:, made_of["seen"] :])], 1)
            if made_of["scheduler"] == "lstm":
                units = self._get("lstm.weight_hh").shape[1]
                h, c = state if state is not None else (x.new_zeros(len(x), units), x.new_zeros(len(x), units))
                gates = linear(x, self._get("lstm.weight_ih"), self._get("lstm.bias_ih"))
                gates = gates + linear(h, self._get("lstm.weight_hh"), self._get("lstm.bias_hh"))
                i, f, g, o = gates.chunk(4, 1)
                c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
                h = torch.sigmoid(o) * torch.tanh(c)
                state = (h, c)
                logits = linear(h, self._get("head.weight"), self._get("head.bias"))
                phases = self._perceptron("phases.", x)
            else:
                if made_of["gate"]:
                    shares = torch.softmax(linear(x, self._get("gate.weight"), self._get("gate.bias")), 1)
                    outs = [self._perceptron(f"expert{n + 1}.", x) for n in range(made_of["experts"])]
                    mixed = sum(share[:, None] * out for share, out in zip(shares.T, outs))
                else:
                    mixed = self._perceptron("trunk.", x)
                logits, phases = mixed[:, :k], mixed[:, k:]
            if made_of["phase"] == "residual":
                steer = -math.pi * obs[:, :k, None] * torch.arange(m, dtype=obs.dtype)
                phases = phases + steer.flatten(1)
            return torch.cat([logits, phases], 1), state

        def action(self, out: torch.Tensor) -> torch.Tensor:
            """Cameras, and the phases behind them: actions of `make("misac", phases=True)` but for whole turns."""
            k = made_of["vehicles"]
            phases = torch.remainder(out[:, k:] + math.pi, 2 * math.pi) - math.pi
            return torch.cat([(out[:, :k] > 0).to(out.dtype), phases], 1)

    return Experts()

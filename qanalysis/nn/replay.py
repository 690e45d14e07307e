"""Replay: a forward pass in which what lies before one site is not computed again (for section 5.1's sensitivity).

With one site quantized, everything executed before it gives the fp32 values. `record` runs the model once and keeps the
outputs of its modules and sites; `from_site` runs it again and returns the kept output for every module, and every
single site, that had ended before the given site began. The result is that of a full forward, bit for bit.
"""

from collections import Counter, OrderedDict
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

from qanalysis.nn.sites import Call, Handler, SiteMode
from qanalysis.nn.structure import CallModel, Inputs, call_model, leaves


@dataclass(frozen=True)
class _Kept:
    """An output, when it was complete, and its versions then: a later in-place change makes it unfit for replay."""

    output: Any
    ended: int
    versions: tuple[tuple[torch.Tensor, int], ...]

    @property
    def intact(self) -> bool:
        return all(tensor._version == version for tensor, version in self.versions)


class Replay:
    """Records one forward of a batch and replays its beginning.

    Modules are replayed whole where that is exact: they were executed once, returned tensors (one, or a list or
    dictionary of them) that nothing changed in place afterwards, and changed none of their inputs in place. Everything
    else is computed again from replayed values.

    Args:
        model: in evaluation mode; its modules' `forward` is replaced while a replay runs, and restored after it.
        memory_limit: bytes of outputs to keep; what would exceed it is computed again instead.
        call: how the model is run on inputs.
    """

    def __init__(self, model: nn.Module, memory_limit: int = 2**31, call: CallModel = call_model) -> None:
        self._model = model
        self._call = call
        self._limit = memory_limit
        self._paths = dict(model.named_modules())
        self._mode = SiteMode(model, Call.compute)
        self._modules: dict[str, _Kept] = {}
        self._sites: dict[str, _Kept] = {}
        self._began: dict[str, int] = {}
        #: path of each module executed → paths of the modules that called it; callers come before what they call
        self._callers: dict[str, set[str | None]] = {}
        self._storages: dict[int, int] = {}
        self._clock = 0
        self._result: Any = None

    @property
    def kept_bytes(self) -> int:
        """Memory held by the recorded outputs; one that several modules return counts once."""
        return sum(self._storages.values())

    @property
    def sites(self) -> tuple[str, ...]:
        """Names of the recorded sites in the order of execution."""
        return tuple(self._began)

    @torch.no_grad()
    def record(self, batch: Inputs, handler: Handler = Call.compute) -> Any:
        """Runs the model with `handler` at its sites, keeps what can be replayed, and returns the model's output."""
        self._modules.clear()
        self._sites.clear()
        self._began.clear()
        self._callers.clear()
        self._storages.clear()
        self._clock = 0
        names = {id(module): path for path, module in self._paths.items()}
        calls: Counter[str] = Counter()
        changed: set[str] = set()
        entered: list[list[tuple[torch.Tensor, int]]] = []
        running: list[str | None] = [None]

        def enter(module: nn.Module, args: Any, kwargs: Any) -> None:
            path = names[id(module)]
            self._callers.setdefault(path, set()).add(running[-1])
            running.append(path)
            tensors = [tensor for _, tensor in leaves((*args, *kwargs.values()))]
            entered.append([(tensor, tensor._version) for tensor in tensors])

        def leave(module: nn.Module, args: Any, output: Any) -> None:
            path = names[id(module)]
            running.pop()
            calls[path] += 1
            if any(tensor._version != version for tensor, version in entered.pop()):
                changed.add(path)
            elif _replayable(output):
                self._keep(self._modules, path, output)

        def at_site(call: Call) -> torch.Tensor:
            self._began.setdefault(call.site, self._tick())
            output = handler(call)
            calls[f"site {call.site}"] += 1
            self._keep(self._sites, call.site, output)
            return output

        hooks = [module.register_forward_pre_hook(enter, with_kwargs=True) for module in self._paths.values()]
        hooks += [module.register_forward_hook(leave) for module in self._paths.values()]
        try:
            result = self._run(batch, at_site)
        finally:
            for hook in hooks:
                hook.remove()
        self._modules = {
            path: kept
            for path, kept in self._modules.items()
            if calls[path] == 1 and path not in changed and kept.intact
        }
        self._sites = {site: kept for site, kept in self._sites.items() if calls[f"site {site}"] == 1 and kept.intact}
        self._result = result
        return result

    @torch.no_grad()
    def from_site(self, batch: Inputs, site: str, handler: Handler) -> Any:
        """The model's output on the recorded batch, computed from `site` on, with `handler` at the sites computed.

        Where the recorded batch took a way without that site, it is the recorded output.
        """
        if site not in self._began:
            return self._result
        began = self._began[site]

        def at_site(call: Call) -> torch.Tensor:
            kept = self._sites.get(call.site)
            if kept is None or kept.ended >= began:
                return handler(call)
            output: torch.Tensor = kept.output
            return output

        with self._replaced(began) as done:
            return self._run(batch, at_site, done)

    def earliest(self, sites: Iterable[str]) -> str:
        """The site that began first: where to replay from when several sites differ from the recorded forward.

        Sites that the recorded batch did not execute come last.

        Raises:
            ValueError: if there is none.
        """
        chosen = list(sites)
        if not chosen:
            raise ValueError("the earliest of no sites was asked for; name at least one")
        return min(chosen, key=lambda site: self._began.get(site, self._clock + 1))

    def _run(self, batch: Inputs, handler: Handler, unreached: Container[str | None] = ()) -> Any:
        # One mode for all runs: finding the modules and their parameters takes longer than entering it.
        self._mode.handler, self._mode.unreached = handler, unreached
        with self._mode:
            return self._call(self._model, batch)

    @contextmanager
    def _replaced(self, began: int) -> Iterator[set[str | None]]:
        """Modules that had ended by then return their kept output; only the outermost of them have to be replaced.

        Yields the paths of these modules and of all that only they call: nothing else is executed in them.
        """
        done: set[str | None] = set()
        replaced: list[nn.Module] = []
        try:
            for path, callers in self._callers.items():
                module, kept = self._paths[path], self._modules.get(path)
                if callers <= done:
                    done.add(path)
                elif kept is not None and kept.ended < began and "forward" not in vars(module):
                    done.add(path)
                    module.__dict__["forward"] = _returning(kept.output)  # as setattr does, without its checks
                    replaced.append(module)
            yield done
        finally:
            for module in replaced:
                del module.forward

    def _keep(self, where: dict[str, _Kept], key: str, output: Any) -> None:
        tensors = [tensor for _, tensor in leaves(output)]
        storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
        more = sum(size for pointer, size in storages.items() if pointer not in self._storages)
        if more and self.kept_bytes + more > self._limit:
            return
        self._storages |= storages
        where[key] = _Kept(_copied(output), self._tick(), tuple((tensor, tensor._version) for tensor in tensors))

    def _tick(self) -> int:
        self._clock += 1
        return self._clock


def _returning(output: Any) -> Any:
    def forward(*args: Any, **kwargs: Any) -> Any:
        return _copied(output)

    return forward


def _replayable(output: Any) -> bool:
    """Whether an output is a tensor, packed sequences, or a list, tuple or dictionary of nothing but these."""
    if isinstance(output, torch.Tensor | PackedSequence):
        return True
    if type(output) in (dict, OrderedDict):
        return bool(output) and all(_replayable(value) for value in output.values())
    return type(output) in (list, tuple) and bool(output) and all(_replayable(value) for value in output)


def _copied(output: Any) -> Any:
    """The same tensors in containers of their own: whoever gets them may add to them."""
    if isinstance(output, torch.Tensor | PackedSequence):
        return output
    if isinstance(output, dict):
        return type(output)((key, _copied(value)) for key, value in output.items())
    return type(output)(_copied(value) for value in output)

"""Replay: a forward pass in which what lies before one site is not computed again (for section 5.1's sensitivity).

With one site quantized, everything executed before it gives the fp32 values. `record` runs the model once and keeps the
outputs of its modules and sites; `from_site` runs it again and returns the kept output for every module, and every
single site, that had ended before the given site began. The result is that of a full forward, bit for bit.
"""

from collections import Counter
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from qanalysis.nn.sites import Call, Handler, SiteMode


@dataclass(frozen=True)
class _Kept:
    """An output, when it was complete, and its version then: a later in-place change makes it unfit for replay."""

    output: torch.Tensor
    ended: int
    version: int

    @property
    def intact(self) -> bool:
        return self.output._version == self.version


class Replay:
    """Records one forward of a batch and replays its beginning.

    Modules are replayed whole where that is exact: they were executed once, returned one tensor that nothing changed in
    place afterwards, and changed none of their inputs in place. Everything else is computed again from replayed values.

    Args:
        model: in evaluation mode; its modules' `forward` is replaced while a replay runs, and restored after it.
        memory_limit: bytes of outputs to keep; what would exceed it is computed again instead.
    """

    def __init__(self, model: nn.Module, memory_limit: int = 2**31) -> None:
        self._model = model
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
    def record(self, batch: torch.Tensor, handler: Handler = Call.compute) -> Any:
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
            tensors = [value for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor)]
            entered.append([(tensor, tensor._version) for tensor in tensors])

        def leave(module: nn.Module, args: Any, output: Any) -> None:
            path = names[id(module)]
            running.pop()
            calls[path] += 1
            if any(tensor._version != version for tensor, version in entered.pop()):
                changed.add(path)
            elif isinstance(output, torch.Tensor):
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
    def from_site(self, batch: torch.Tensor, site: str, handler: Handler) -> Any:
        """The model's output on the recorded batch, computed from `site` on, with `handler` at the sites computed.

        Where the recorded batch took a way without that site, it is the recorded output.
        """
        if site not in self._began:
            return self._result
        began = self._began[site]

        def at_site(call: Call) -> torch.Tensor:
            kept = self._sites.get(call.site)
            return kept.output if kept is not None and kept.ended < began else handler(call)

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

    def _run(self, batch: torch.Tensor, handler: Handler, unreached: Container[str | None] = ()) -> Any:
        # One mode for all runs: finding the modules and their parameters takes longer than entering it.
        self._mode.handler, self._mode.unreached = handler, unreached
        with self._mode:
            return self._model(batch)

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

    def _keep(self, where: dict[str, _Kept], key: str, output: torch.Tensor) -> None:
        storage = output.untyped_storage()
        known = storage.data_ptr() in self._storages
        if not known and self.kept_bytes + storage.nbytes() > self._limit:
            return
        self._storages[storage.data_ptr()] = storage.nbytes()
        where[key] = _Kept(output, self._tick(), output._version)

    def _tick(self) -> int:
        self._clock += 1
        return self._clock


def _returning(output: torch.Tensor) -> Any:
    def forward(*args: Any, **kwargs: Any) -> torch.Tensor:
        return output

    return forward

"""Which parts of a row a version's answer comes from, by captum's gradient methods."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from captum.attr import IntegratedGradients, NoiseTunnel, Saliency
from numpy.typing import NDArray
from torch import Tensor, nn

from contracts.answers import Method
from contracts.versions import ModelDocument
from networks.build import from_document
from networks.errors import Unexplained
from networks.flat import Network, scaled
from networks.standardise import Standardise

STEPS = 32
"""Points on the path from the baseline to the row: with them a sum is some per cent off the logits' difference."""
SAMPLES = 16
NOISE = 0.15
"""Standard deviation of the noise, as a share of the row's range (the paper's 10 % to 20 %)."""
LARGEST_PASS = 1 << 22
"""Numbers of the copies of a row that pass the network together: 16 MiB."""


class _Explained(NamedTuple):
    """What is differentiated by: numbers as modules read them, or the embeddings of `tokens`.

    A number is taken in units of `unit` and compared with `baseline`; its noise is a share of `range`.
    """

    given: Tensor
    tokens: Tensor | None
    unit: Tensor
    baseline: Tensor
    range: float


class Attribution:
    """Attributes the logits of one version to its inputs.

    It has a network of its own, so that serving never meets its hooks; one thread may use it at a time.
    """

    def __init__(self, document: ModelDocument, weights: bytes, device: str) -> None:
        """Builds the version's network; raises what `from_document` raises."""
        self._network: Network = from_document(document, weights, device)
        self._network.module.eval().requires_grad_(requires_grad=False)
        modules = self._network.module.modules()
        self._standardise = next((one for one in modules if isinstance(one, Standardise)), None)
        self._embedded: Tensor | None = None
        self._seen: list[Tensor] = []
        for module in self._network.module.modules():
            if isinstance(module, nn.Embedding):
                module.register_forward_hook(self._exchange)

    def __call__(self, row: NDArray[Any], column: int, method: Method) -> NDArray[np.float32]:
        """What each number of an encoded row `row_shape` adds to the logit of a column; of token rows, each token.

        `saliency`: |∂logit/∂x| (Simyonan, Vedaldi and Zisserman, *Deep Inside Convolutional Networks*, 2014), ≥ 0.
        `smooth_grad`: the absolute mean gradient over 16 noisy copies (Smilkov et al., *SmoothGrad*, 2017), ≥ 0.
        `integrated_gradients`: signed; its sum is the row's logit less that of a row of zeros, or of the mean in a
        fitted column (Sundararajan, Taly and Yan, *Axiomatic Attribution for Deep Networks*, 2017, eq. 1, by 32
        points). A token has the norm of its embedding's gradient, or the sum over its embedding.

        Raises:
            Unexplained: `not_explainable`, a network whose tokens do not pass one embedding once.
        """
        rows = torch.from_numpy(row[None].copy()).to(self._network.theta.device)
        explained = self._explained(rows, column)
        values = self._attributed(explained, column, method)[0]
        if explained.tokens is not None:
            values = values.sum(-1) if method == "integrated_gradients" else values.norm(dim=-1)
        numbers: NDArray[np.float32] = values.cpu().numpy().astype(np.float32)
        return numbers

    def _attributed(self, explained: _Explained, column: int, method: Method) -> Tensor:
        forward = self._logits_of(column, explained.unit)
        given, tokens = explained.given, explained.tokens
        per_pass = max(1, LARGEST_PASS // given.numel())
        shared: dict[str, Any] = {"target": column, "additional_forward_args": tokens}
        values: Tensor
        if method == "integrated_gradients":
            steps = {"n_steps": STEPS, "internal_batch_size": per_pass}
            values = IntegratedGradients(forward).attribute(given, explained.baseline, **shared, **steps)
            return values.detach()
        if method == "saliency":
            values = Saliency(forward).attribute(given, **shared)
            return values
        samples: dict[str, Any] = {"nt_samples": SAMPLES, "nt_samples_batch_size": min(SAMPLES, per_pass)}
        samples["stdevs"] = NOISE * explained.range
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)  # the same question has the same answer
            values = NoiseTunnel(Saliency(forward)).attribute(given, abs=False, **samples, **shared)
        return values.abs()

    def _explained(self, rows: Tensor, column: int) -> _Explained:
        if rows.dtype.is_floating_point or rows.dtype == torch.uint8:
            return self._numbers(scaled(rows))
        self._embedded = None
        self._seen.clear()
        with torch.no_grad():
            self._network(rows, _targets(rows, column))
        if len(self._seen) != 1 or self._seen[0].shape[:-1] != rows.shape:
            raise Unexplained("not_explainable", "a network is explained if its tokens pass one embedding, once")
        return _plain(self._seen[0].clone(), rows)

    def _numbers(self, rows: Tensor) -> _Explained:
        """Columns that are standardised are taken in their deviations, so that all of them compare."""
        if self._standardise is None:
            return _plain(rows, None)
        mean, unit = self._standardise.units()
        return _Explained((rows / unit).requires_grad_(), None, unit, (mean / unit)[None], 1.0)

    def _logits_of(self, column: int, unit: Tensor) -> Callable[..., Tensor]:
        def forward(given: Tensor, tokens: Tensor | None = None) -> Tensor:
            if tokens is None:
                return self._network(given * unit, _targets(given, column))
            self._embedded = given
            return self._network(tokens, _targets(tokens, column))

        return forward

    def _exchange(self, _module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        """Puts what captum varies in the place of an embedding, or takes note of the embedding."""
        if self._embedded is not None:
            return self._embedded
        self._seen.append(output)
        return output


def _plain(given: Tensor, tokens: Tensor | None) -> _Explained:
    """Numbers in their own units, beside zeros."""
    span = float(given.max() - given.min())
    return _Explained(given.requires_grad_(), tokens, given.new_ones(()), torch.zeros_like(given), span)


def _targets(rows: Tensor, column: int) -> Tensor:
    return torch.full((len(rows),), column, device=rows.device)

"""Avalanche's side of `benchmarks/peers_training.py`, in an environment of its own, which has nothing of ours.

Run as `python benchmarks/peers_avalanche.py DATA.npz CONDITIONS`, the conditions as one JSON object. It prints the
versions, then for every line on stdin, a JSON list of a method's name and a seed, what came of it: one object a line.
"""

import contextlib
import json
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from avalanche.benchmarks import nc_benchmark
from avalanche.models import SimpleMLP
from avalanche.training import AGEM, DER, EWC, GEM, LwF, Naive, SynapticIntelligence
from avalanche.training.plugins import EvaluationPlugin, EWCPlugin, ReplayPlugin
from torch import Tensor
from torch.utils.data import TensorDataset

TASKS = 5

Settings = dict[str, Any]
METHODS: dict[str, Callable[[Settings, Settings], Any]] = {
    "replay + EWC": lambda common, given: Naive(
        **common,
        plugins=[ReplayPlugin(given["capacity"], batch_size_mem=given["replay_rows"]), EWCPlugin(ewc_lambda=1)],
    ),
    "naive": lambda common, _: Naive(**common),
    "EWC": lambda common, _: EWC(**common, ewc_lambda=1),
    "SI": lambda common, _: SynapticIntelligence(**common, si_lambda=1, eps=0.1),
    "GEM": lambda common, given: GEM(**common, patterns_per_exp=given["task_rows"], memory_strength=given["margin"]),
    "A-GEM": lambda common, given: AGEM(
        **common, patterns_per_exp=given["task_rows"], sample_size=given["reference_rows"]
    ),
    "LwF": lambda common, _: LwF(**common, alpha=1, temperature=2),
    "DER": lambda common, given: DER(
        **common, mem_size=given["capacity"], batch_size_mem=given["replay_rows"], alpha=0.1, beta=0
    ),
    "DER++": lambda common, given: DER(**common, mem_size=given["capacity"], batch_size_mem=given["replay_rows"]),
}


class Labelled(TensorDataset):
    """Rows with the labels where Avalanche looks for them."""

    def __init__(self, images: Any, labels: Any) -> None:
        inputs = torch.from_numpy(images).float().div_(255)
        super().__init__(inputs, torch.from_numpy(labels))
        self.targets = labels.tolist()


class Peer:
    """The stream and the conditions."""

    def __init__(self, path: str, conditions: Settings) -> None:
        data = np.load(path)
        self._train = Labelled(data["train_images"], data["train_labels"])
        self._test = Labelled(data["test_images"], data["test_labels"])
        self._conditions = conditions

    def measure(self, name: str, seed: int) -> dict[str, float]:
        """Samples/s of learning the stream with a method, and the mean of its test accuracies in 0…1 by task."""
        torch.manual_seed(seed)
        stream = nc_benchmark(
            self._train, self._test, TASKS, task_labels=False, shuffle=False, fixed_class_order=list(range(10))
        )
        hidden: list[int] = self._conditions["hidden"]
        network = SimpleMLP(hidden_size=hidden[0], hidden_layers=len(hidden), drop_rate=0)
        strategy = self._strategy(name, network)
        seconds = 0.0
        for experience in stream.train_stream:
            started = time.perf_counter()
            strategy.train(experience, num_workers=0)
            seconds += time.perf_counter() - started
        return {"samples_per_second": len(self._train) / seconds, "accuracy": self._accuracy(network)}

    def _strategy(self, name: str, network: torch.nn.Module) -> Any:
        given = self._conditions
        common: Settings = {
            "model": network,
            "optimizer": torch.optim.Adam(network.parameters(), lr=given["learning_rate"]),
            "criterion": torch.nn.CrossEntropyLoss(),
            "train_mb_size": given["batch_size"],
            "train_epochs": given["epochs"],
            "evaluator": EvaluationPlugin(),
        }
        return METHODS[name](common, given)

    @torch.inference_mode()
    def _accuracy(self, network: torch.nn.Module) -> float:
        network.eval()
        inputs, labels = self._test.tensors
        right: Tensor = network(inputs).argmax(dim=1) == labels
        accuracies = [float(right[labels // 2 == task].float().mean()) for task in range(TASKS)]
        return sum(accuracies) / TASKS


def main() -> None:
    """Answers until stdin ends."""
    from importlib.metadata import version

    warnings.filterwarnings("ignore")
    torch.set_num_threads(json.loads(sys.argv[2])["threads"])
    answers = sys.stdout
    answers.write(json.dumps({name: version(name) for name in ("avalanche-lib", "torch")}) + "\n")
    answers.flush()
    peer = Peer(sys.argv[1], json.loads(sys.argv[2]))
    for line in sys.stdin:
        with contextlib.redirect_stdout(sys.stderr):
            measured = peer.measure(*json.loads(line))
        answers.write(json.dumps(measured) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()

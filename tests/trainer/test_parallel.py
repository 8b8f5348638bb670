"""Learning by several processes: what one learns, the same bits each time, and one state for any number of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributed import FileStore  # type: ignore[attr-defined]

from contracts.errors import InvalidConfiguration, LifelongError
from contracts.inputs import TensorInput
from contracts.labels import Column
from networks.flat import Network
from tests.networks.own_modules import Centred
from tests.trainer.pipeline import configuration
from tests.trainer.ranks import Processes
from tests.trainer.stream import SETTINGS, WIDTH, Stream, learn, network
from trainer.catalogue import check_divisible, kinds, load, strategy_class
from trainer.errors import PeerLost
from trainer.learner import Learner
from trainer.memory import ReplayBuffer
from trainer.parallel import Ranks, require_row_by_row
from trainer.rows import DividedRows
from trainer.settings import LearnerSettings
from trainer.strategy import Naive

pytestmark = pytest.mark.unit
REPLAY: dict[str, Any] = {"kind": "replay", "capacity": 20, "rows": 8}
REPLAY_EWC = [REPLAY, {"kind": "ewc", "strength": 100.0}]
CHAINS: dict[str, list[dict[str, Any]]] = {
    "plain": [],
    "replay-ewc": REPLAY_EWC,
    "replay-l2": [{**REPLAY, "weighting": "tasks", "scope": "past"}, {"kind": "l2", "strength": 3.0}],
    "herding-mas": [{**REPLAY, "selection": "herding"}, {"kind": "mas"}],
    "reservoir-si": [{**REPLAY, "selection": "reservoir"}, {"kind": "si"}],
    "er_ace-scp": [{"kind": "er_ace", "capacity": 20, "rows": 8}, {"kind": "scp"}],
}
State = tuple[dict[str, Tensor], dict[str, Any]]


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    processes = Processes(tmp_path_factory.mktemp("ranks"))
    yield processes
    processes.close()


def stream(
    ranks: Ranks | None, chain: list[dict[str, Any]], tasks: range = range(3), begin: State | None = None
) -> State:
    """Learns tasks one after the other, from nothing or from a state; the state at the end."""
    subject, rows = Learner(network(tasks.start), load(chain), SETTINGS, ranks), Stream()
    if begin is not None:
        subject.restore(*begin, rows.fetch)
    for task in tasks:
        learn(subject, rows, task)
    return subject.state()


def same_bits(one: State, other: State) -> bool:
    return one[0].keys() == other[0].keys() and all(torch.equal(each, other[0][name]) for name, each in one[0].items())


def assert_close(one: State, other: State) -> None:
    assert one[0].keys() == other[0].keys()
    for name, each in one[0].items():
        torch.testing.assert_close(each, other[0][name], rtol=1e-3, atol=1e-5, msg=name)


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
def test_several_learn_what_one_learns(processes: Processes, chain: list[dict[str, Any]]) -> None:
    (alone,) = processes.run(1, stream, chain)
    for size in (2, 3):
        leader, *others = processes.run(size, stream, chain)
        assert all(same_bits(leader, other) for other in others)
        assert_close(alone, leader)


def left_alone(_: None, directory: Path, chain: list[dict[str, Any]]) -> State:
    """Learns as the only process of a crew that came."""
    store = FileStore(str(directory / "meeting"), 1)
    ranks = Ranks(0, 1, store, torch.device("cpu"))
    try:
        return stream(ranks, chain)
    finally:
        ranks.leave()


def test_one_that_is_left_alone_learns_as_one_without_others(processes: Processes, tmp_path: Path) -> None:
    (alone,) = processes.run(1, stream, REPLAY_EWC)
    (left,) = processes.run(1, left_alone, tmp_path, REPLAY_EWC)
    assert same_bits(alone, left)


def test_as_many_processes_give_the_same_bits_again(processes: Processes) -> None:
    first, *_ = processes.run(3, stream, REPLAY_EWC)
    again, *_ = processes.run(3, stream, REPLAY_EWC)
    assert same_bits(first, again)


def test_a_state_is_continued_by_any_number_of_processes(processes: Processes) -> None:
    (alone,) = processes.run(1, stream, REPLAY_EWC)
    by_two, *_ = processes.run(2, stream, REPLAY_EWC, range(1))
    (by_one,) = processes.run(1, stream, REPLAY_EWC, range(1, 2), by_two)
    by_three, *_ = processes.run(3, stream, REPLAY_EWC, range(2, 3), by_one)
    assert_close(alone, by_three)


def broken(ranks: Ranks | None) -> tuple[tuple[int, ...], int, Tensor]:
    """Learns rows of which two can never be learned, the second one only once it is replayed."""
    subject, rows = Learner(network(1), load([REPLAY]), SETTINGS, ranks), Stream().task(0)
    subject.train(rows.select(slice(48)), rows.select(slice(0)), steps=6, number=0)
    rows.inputs[60], rows.inputs[61] = 3e38, -3e38
    result = subject.train(rows.select(slice(48, 96)), rows.select(slice(0)), steps=6, number=1)
    return result.quarantined, result.skipped, subject.network.theta


def test_all_agree_which_rows_break_a_step(processes: Processes) -> None:
    ((found, skipped, theta),) = processes.run(1, broken)
    assert found == (60, 61)
    for size in (2, 3):
        for other in processes.run(size, broken):
            assert other[:2] == (found, skipped)
            torch.testing.assert_close(other[2], theta, rtol=1e-3, atol=1e-5)


def with_dropout(ranks: Ranks | None) -> tuple[Tensor, Tensor]:
    """Learns a round with a network that draws; its parameters, and what the global generator gives then."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(WIDTH, 16), nn.Dropout(), nn.ReLU(), nn.Linear(16, 2))
    subject = Learner(Network(module, [Column("0"), Column("1")], seed=0, device="cpu"), Naive(), SETTINGS, ranks)
    rows = Stream().task(0)
    subject.train(rows, rows, steps=12, number=3)
    return subject.network.theta, torch.rand(4)


def test_a_network_that_draws_leaves_all_alike(processes: Processes) -> None:
    one, other = processes.run(2, with_dropout)
    assert torch.equal(one[0], other[0])
    assert torch.equal(one[1], other[1])
    assert torch.equal(one[0], processes.run(2, with_dropout)[0][0])


def astray(ranks: Ranks | None) -> Tensor:
    """Learns a round from parameters that are not quite the leader's, as another processor might have made them."""
    subject, rows = Learner(network(1), Naive(), SETTINGS, ranks), Stream().task(0)
    if ranks is not None and ranks.rank:
        subject.network.theta.add_(1e-3)
    subject.train(rows, rows, steps=0, number=0)
    return subject.network.theta


def test_a_round_begins_with_the_leaders_parameters(processes: Processes) -> None:
    one, other = processes.run(2, astray)
    assert torch.equal(one, other)


def deserted(ranks: Ranks) -> str:
    """Adds up with processes of which one has left, once all have met."""
    ranks.add_up(torch.ones(4))
    if ranks.rank:
        return "left"
    try:
        ranks.add_up(torch.ones(4))
    except LifelongError:
        return "answered"
    except PeerLost:
        return "noticed"
    return "added"


def test_a_process_that_is_gone_is_noticed_and_is_no_answer_to_a_command(processes: Processes) -> None:
    assert processes.run(2, deserted) == ["noticed", "left"]


def test_a_divided_buffer_holds_the_inputs_that_it_owns_alone() -> None:
    def buffer() -> ReplayBuffer:
        return ReplayBuffer(300, balanced=True, seed=0)

    whole, parts, stream = buffer(), [buffer() for _ in range(3)], Stream()
    for rank, part in enumerate(parts):
        part.divide(lambda ids, rank=rank: ids % 3 == rank)
    for task in range(5):
        for each in (whole, *parts):
            each.insert(stream.task(task))
    slots = whole.draw(40, beside=torch.zeros(1, dtype=torch.int64))
    expected, read = whole.read(slots), [part.read(slots) for part in parts]
    for rank, found in enumerate(read):
        assert torch.equal(found.ids, expected.ids)
        assert torch.equal(found.targets, expected.targets)
        assert torch.equal(found.inputs, expected.inputs * (expected.ids % 3 == rank)[:, None])
    assert all(len(part._rows._inputs) < 200 for part in parts)  # type: ignore[attr-defined]


def test_divided_rows_take_memory_seldom_and_never_for_more_than_there_are_slots() -> None:
    rows, examples, sizes = DividedRows(lambda ids: ids >= 0), Stream().task(0), set()
    rows.reserve(4000, examples)
    for slot in range(0, 4000, 50):
        rows.write(torch.arange(slot, slot + 50), examples.select(slice(50)))
        sizes.add(len(rows._inputs))
    assert max(sizes) == 4000
    assert len(sizes) < 15
    assert torch.equal(rows.read(torch.arange(3950, 4000)).inputs, examples.inputs[:50])


def test_other_strategies_are_refused_by_name() -> None:
    divisible = [kind for kind in kinds() if strategy_class(kind).is_divisible]
    assert divisible == ["er_ace", "ewc", "l2", "mas", "replay", "scp", "si"]
    check_divisible([{"kind": kind} for kind in divisible])
    with pytest.raises(InvalidConfiguration, match=r"strategies\.1\.kind: lwf") as refused:
        check_divisible([REPLAY, {"kind": "lwf"}])
    assert refused.value.code == "indivisible_strategy"


def test_a_network_that_mixes_rows_or_keeps_statistics_is_refused() -> None:
    spec = TensorInput(shape=(2,))
    drawing = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2), nn.InstanceNorm1d(2), nn.Dropout(), nn.Linear(2, 2))
    drawn = torch.get_rng_state()
    require_row_by_row(drawing, spec)
    require_row_by_row(network(0).module, TensorInput(shape=(WIDTH,)))
    assert torch.equal(torch.get_rng_state(), drawn)
    statistics = nn.InstanceNorm1d(2, track_running_stats=True)
    for name, refused in {"1": nn.BatchNorm1d(2), "1.running_mean": statistics, "1.mean": Centred(2, 2)}.items():
        with pytest.raises(InvalidConfiguration, match=f"network: {name} ") as error:
            require_row_by_row(nn.Sequential(nn.Linear(2, 2), refused), spec)
        assert error.value.code == "indivisible_module"


def test_workers_do_not_share_a_gpu() -> None:
    assert LearnerSettings(num_gpus=0.25).workers == 1
    for settings in ({"num_gpus": 0.5}, {"device": "cuda"}):
        with pytest.raises(ValueError, match="num_gpus"):
            LearnerSettings(workers=2, **settings)


def test_workers_that_reserve_no_gpu_learn_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    devices = {
        settings: configuration(tmp_path, learner=LearnerSettings(workers=settings[0], num_gpus=settings[1])).device
        for settings in ((1, 0), (2, 0), (2, 1))
    }
    assert devices == {(1, 0): "cuda", (2, 0): "cpu", (2, 1): "cuda"}

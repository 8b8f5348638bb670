"""What the accuracy matrix says: `accuracy[i][j]` in 0…1, measured on probe set j after task i; None where unmeasured.

Definitions: Lopez-Paz and Ranzato, *Gradient Episodic Memory for Continual Learning*, 2017, eq. 2–4; forgetting:
Chaudhry et al., *Riemannian Walk for Incremental Learning*, 2018, eq. 3, taken over all rows up to the last.
"""

from collections.abc import Sequence

Accuracies = Sequence[Sequence[float | None]]


def average_accuracy(accuracy: Accuracies) -> float | None:
    """Mean of the last row's measured cells over the tasks seen so far, in 0…1; None before the first row.

    Example:
        >>> average_accuracy([[1.0, None], [0.5, 1.0]])
        0.75
    """
    return _mean(accuracy[-1][: len(accuracy)]) if accuracy else None


def backward_transfer(accuracy: Accuracies) -> float | None:
    """`mean over j < T of R[T][j] − R[j][j]`, in −1…1: negative means forgetting; None with fewer than two rows.

    Example:
        >>> backward_transfer([[1.0, None], [0.75, 1.0]])
        -0.25
    """
    last = len(accuracy) - 1
    return _mean([_difference(accuracy[last][task], accuracy[task][task]) for task in range(last)])


def forward_transfer(accuracy: Accuracies, baseline: Sequence[float | None]) -> float | None:
    """`mean over j > 0 of R[j−1][j] − b[j]`, in −1…1: positive means that earlier tasks help; None where unmeasured.

    Args:
        accuracy: the matrix; its cells above the diagonal are accuracies before the task was trained.
        baseline: b[j], accuracy on probe set j at random initialisation.

    Example:
        >>> forward_transfer([[1.0, 0.625], [0.75, 1.0]], [0.5, 0.5])
        0.125
    """
    tasks = range(1, len(accuracy))
    return _mean([_difference(accuracy[task - 1][task], baseline[task]) for task in tasks])


def forgetting(accuracy: Accuracies) -> list[float | None]:
    """Per task, `max over i of R[i][j] − R[T][j]`, in 0…1: its best measured accuracy minus its last one.

    Example:
        >>> forgetting([[1.0, None], [0.75, 0.5]])
        [0.25, 0.0]
    """
    if not accuracy:
        return []
    last = accuracy[-1]
    columns = [[value for row in accuracy if (value := row[task]) is not None] for task in range(len(last))]
    return [max(column) - now if now is not None else None for column, now in zip(columns, last, strict=True)]


def _difference(left: float | None, right: float | None) -> float | None:
    return None if left is None or right is None else left - right


def _mean(values: Sequence[float | None]) -> float | None:
    measured = [value for value in values if value is not None]
    return sum(measured) / len(measured) if measured else None

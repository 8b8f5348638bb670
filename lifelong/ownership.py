"""Whether a state directory was written for this configuration, said before anything is started."""

from pathlib import Path

from contracts.errors import InvalidConfiguration
from lifelong.settings import DEFAULT_STRATEGIES, Settings
from networks.settings import Architecture
from trainer.catalogue import architecture
from trainer.database import Database, fingerprint
from trainer.errors import ForeignState


def require_own(settings: Settings, state: Path) -> None:
    """Returns if a model's state is new or was written for this configuration.

    It is opened as the trainer opens it: only whoever has claimed the directory may ask, while no trainer runs.

    Raises:
        InvalidConfiguration: `other_configuration` or `newer_state`.
        CorruptState: `bad_database`.
    """
    path = state / settings.model / "trainer" / "state.db"
    if not path.exists():
        return
    network: Architecture = settings.network
    if settings.strategies != DEFAULT_STRATEGIES:  # which train the network as it is, and need no torch to know
        network = architecture(settings.strategies, settings.network)
    try:
        Database(path, fingerprint(settings.input, settings.labels, network)).close()
    except ForeignState as error:
        raise InvalidConfiguration(error.code, f"{settings.model}: {error.detail}") from None

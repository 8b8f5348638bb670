"""`python -m deploy.grafana`: writes every dashboard's JSON; the tests hold the committed files against the same."""

import json
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.grafana import forgetting, serving, training

DIRECTORY = Path(__file__).parent / "dashboards"


def documents() -> dict[str, str]:
    """The JSON of every dashboard by its file's name."""
    return {
        f"{name}.json": json.dumps(module.build().build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"
        for name, module in (("forgetting", forgetting), ("training", training), ("serving", serving))
    }


if __name__ == "__main__":
    for name, text in documents().items():
        (DIRECTORY / name).write_text(text)

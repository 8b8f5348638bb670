"""The alert rules, as data."""

import re
from pathlib import Path
from typing import Any

import yaml

DIRECTORY = Path(__file__).parents[2] / "deploy" / "prometheus"
RULES = DIRECTORY / "rules.yml"


def alerts() -> dict[str, dict[str, Any]]:
    """Every alert by its name."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


def limited(rules: str, job: str) -> str:
    """The same rules for one job, as they are in a release of the chart that says how it is scraped."""
    return rules.replace('{job=~".+"', f'{{job="{job}"')


def hasty(rules: str) -> str:
    """The same rules for a test that cannot wait: what holds for a second counts."""
    return re.sub(r"( for: )\w+", r"\g<1>1s", rules)

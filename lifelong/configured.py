"""`lifelong config …` and `lifelong token …`: the commands that look at a configuration or change its token file."""

from pathlib import Path
from typing import Annotated

import typer

from service.tokens import Role

Config = Annotated[Path, typer.Argument(help="The model's YAML file.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
TokenName = Annotated[str, typer.Argument(help="Whose token it is.")]

config_app = typer.Typer(help="Look at a configuration.", no_args_is_help=True)
token_app = typer.Typer(help="Bearer tokens, whose roles say what a caller may do.", no_args_is_help=True)


@config_app.command("show")
def config_show(config: Config, as_json: Json = False) -> None:
    """Show every effective setting and where it comes from; secrets are masked."""
    from lifelong.output import emit
    from lifelong.settings import effective, load_settings, require_buildable
    from lifelong.tables import settings_table

    settings = load_settings(config)
    require_buildable(settings)
    rows = effective(settings, config)
    emit({"settings": [row._asdict() for row in rows]}, as_json, settings_table(rows))


@token_app.command("add")
def token_add(
    config: Config,
    name: TokenName,
    role: Annotated[list[Role], typer.Option(help="What it may do; may be given several times.")],
    as_json: Json = False,
) -> None:
    """Make a token and show its secret, once; running services take it within a second."""
    from lifelong.output import emit
    from lifelong.tokens import add

    secret = add(config, name, role)
    emit({"name": name, "roles": role, "token": secret}, as_json, secret)


@token_app.command("list")
def token_list(config: Config, as_json: Json = False) -> None:
    """Show names, roles and ages of the tokens."""
    from lifelong.output import emit
    from lifelong.tables import tokens_table
    from lifelong.tokens import listed

    tokens = listed(config)
    shown = [{"name": one.name, "roles": one.roles, "created_at": one.created_at} for one in tokens]
    emit({"tokens": shown}, as_json, tokens_table(tokens))


@token_app.command("revoke")
def token_revoke(config: Config, name: TokenName, as_json: Json = False) -> None:
    """Remove a token; running services refuse it within a second."""
    from lifelong.output import emit
    from lifelong.tokens import revoke

    revoke(config, name)
    emit({"revoked": name}, as_json, f"revoked {name}")

"""The one YAML document of a configuration file, read without surprises."""

from pathlib import Path
from typing import Any

import yaml

from contracts.errors import InvalidConfiguration

MAX_CONFIG_BYTES = 1 << 20
MAX_DEPTH = 100
"""How many lists and mappings may lie in each other; reading takes time with the square of it."""
_OPENING = (
    yaml.BlockMappingStartToken,
    yaml.BlockSequenceStartToken,
    yaml.FlowMappingStartToken,
    yaml.FlowSequenceStartToken,
)
_CLOSING = (yaml.BlockEndToken, yaml.FlowMappingEndToken, yaml.FlowSequenceEndToken)


def read_document(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; plain YAML only, without aliases, tags or repeated keys.

    Raises:
        InvalidConfiguration: the file is missing, too large, or anything else than such a mapping.
    """
    try:
        content = path.read_bytes()[: MAX_CONFIG_BYTES + 1]
    except OSError as error:
        raise InvalidConfiguration("invalid_configuration", f"{path}: {error.strerror}") from None
    if len(content) > MAX_CONFIG_BYTES:
        raise InvalidConfiguration("invalid_configuration", f"{path.name}: larger than {MAX_CONFIG_BYTES} bytes")
    document = read_yaml(content, path.name)
    if not isinstance(document, dict) or not all(isinstance(key, str) for key in document):
        raise InvalidConfiguration("invalid_configuration", f"{path.name}: must be a mapping of keys to values")
    return document


def read_yaml(content: bytes | str, where: str) -> Any:
    """The value that plain YAML, or JSON, says.

    Raises:
        InvalidConfiguration: it is neither, is nested too deep, or has aliases, tags or repeated keys; `where` begins
            the message.
    """
    try:
        _refuse_tokens(content)
        _refuse_repeated_keys(content)
        return yaml.safe_load(content)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError, OverflowError) as error:
        raise InvalidConfiguration("invalid_configuration", f"{where}: {_yaml_fault(error)}") from None


def _refuse_tokens(content: bytes | str) -> None:
    """An alias can make a small file unfold without end, and a tag can ask for what its value is not."""
    depth = 0
    for token in yaml.scan(content, Loader=yaml.SafeLoader):
        depth += isinstance(token, _OPENING) - isinstance(token, _CLOSING)
        line = token.start_mark.line + 1
        if isinstance(token, yaml.AliasToken):
            raise ValueError(f"line {line}: aliases are not read")
        if isinstance(token, yaml.TagToken):
            raise ValueError(f"line {line}: tags are not read")
        if depth > MAX_DEPTH:
            raise ValueError(f"line {line}: nested more than {MAX_DEPTH} deep")


def _refuse_repeated_keys(content: bytes | str) -> None:
    """Of a repeated key only the last value would count."""
    pending = [node] if (node := yaml.compose(content, Loader=yaml.SafeLoader)) else []
    while pending:
        node = pending.pop()
        if isinstance(node, yaml.MappingNode):
            _refuse_repeats(node)
            pending.extend(value for _, value in node.value)
        elif isinstance(node, yaml.SequenceNode):
            pending.extend(node.value)


def _refuse_repeats(node: yaml.MappingNode) -> None:
    seen: set[str] = set()
    for key, _ in node.value:
        if str(key.value) in seen:
            raise ValueError(f"line {key.start_mark.line + 1}: {key.value}: this key is given twice")
        seen.add(str(key.value))


def _yaml_fault(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: not valid YAML: {error.problem}"
    return str(error) if type(error) is ValueError else "not valid YAML"

"""What one instance can be, by kind, with an example; imports nothing, since the command line starts with it."""

from typing import Literal

Kind = Literal["tensor", "image", "text", "tabular", "story"]
EXAMPLES: dict[Kind, tuple[str, str]] = {
    "tensor": ("{kind: tensor, shape: [784]}", "numbers of this shape, as nested lists"),
    "image": ("{kind: image, shape: [28, 28]}", "whole numbers from 0 to 255: height × width, or channels first"),
    "text": ("{kind: text, max_tokens: 64}", "a string"),
    "tabular": (
        "{kind: tabular, columns: {age: fitted, plan: [free, paid]}}",
        "an object with these columns; `fitted`: standardised by the first rows that are learned; `number`: as it is",
    ),
    "story": ("{kind: story, sentences: 50}", "an object with a story, which is a list of sentences, and a question"),
}
"""The `input` as YAML, and what an instance then is."""

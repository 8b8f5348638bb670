"""Writes every reference page that is not as the code says."""

import sys
from pathlib import Path

from deploy.reference.pages import written

if __name__ == "__main__":
    for path, text in written(Path("docs")).items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            sys.stderr.write(f"{path}\n")

"""`python -m benchmarks`: every program behind `docs/benchmarks.md`, one after the other, each with its own table."""

import subprocess
import sys

PROGRAMS = (
    "few_events",
    "split_offline",
    "curriculum",
    "penalty",
    "fisher",
    "graphs",
    "replay_buffer",
    "gate",
    "kafka_decode",
    "versions",
    "serving --servers ours,bare,documented,fastapi",
    "serving.swaps",
    "serving.overload",
    "serving.binary",
    "feedback_rest",
    "freshness",
    "split_service",
    "kills",
)


def main() -> int:
    """Runs all programs; the exit status is that of the worst."""
    return max(
        subprocess.run([sys.executable, "-m", *f"benchmarks.{program}".split()], check=False).returncode
        for program in PROGRAMS
    )


if __name__ == "__main__":
    sys.exit(main())

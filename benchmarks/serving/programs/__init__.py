"""The peers' side: each module is a whole server, run as `-m MODULE PORT DIRECTORY` in the environment of its peer.

They import nothing of ours but this package, answer with the ten scores, which is the least they can, and compute on
one thread as ours does. Access logs and metrics are off where the peer has a switch; ours keeps its metrics.
"""

WEIGHTS_VARIABLE = "BENCHMARK_WEIGHTS"
"""Names the file with all weights as one vector, layer by layer."""
BATCH_VARIABLE = "BENCHMARK_BATCHED"
"""Is set where a server is to join requests."""
BATCH_ROWS = 16
"""As many as a server with batching may join: all connections of the closed loop."""

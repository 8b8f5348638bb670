"""Speaks to a service with KServe's own client; run by an interpreter that has it: `python kserve_client.py ADDRESS`.

Prints what it saw as one JSON document.
"""

import asyncio
import json
import sys
from typing import Any

import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

ROWS = np.asarray([[1, 2, 3, 4], [4, 3, 2, 1]], np.float32)


async def seen(address: str) -> dict[str, Any]:
    """Health, readiness, and inference with rows in JSON and as raw bytes."""
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    answers = {}
    for name, is_binary in (("json", False), ("binary", True)):
        given = InferInput("input", list(ROWS.shape), "FP32")
        given.set_data_from_numpy(ROWS, binary_data=is_binary)
        request = InferRequest("pets", [given], request_id=name)
        answer = await client.infer(address, request, model_name="pets")
        outputs = {output.name: output.as_numpy().tolist() for output in answer.outputs}
        answers[name] = {"id": answer.id, "version": answer.model_version, "outputs": outputs}
    return {
        "live": await client.is_server_live(address),
        "ready": await client.is_server_ready(address),
        "model_ready": await client.is_model_ready(address, "pets"),
        "answers": answers,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(seen(sys.argv[1])), default=str))

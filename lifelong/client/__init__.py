"""A typed client of a lifelong service, `Client`, and its asynchronous twin, `AsyncClient`.

Example:
    from lifelong.client import Client, FeedbackEvent
    with Client("http://127.0.0.1:8000", "digits") as client:
        answer = client.predict([[0.0, 0.9, 0.1, 0.0]]).predictions[0]
        client.feedback([FeedbackEvent(label="cat", prediction_id=answer.prediction_id)])
        print(answer.label, client.status().average_accuracy)
"""

from contracts.answers import RefusedLine, StreamedPrediction
from contracts.erasures import Certificate, ErasureRequest
from contracts.events import FeedbackEvent
from lifelong.client.answers import ClosedTask, Inference, RolledBack, VersionPage
from lifelong.client.asynchronous import AsyncClient
from lifelong.client.patience import PATIENT, Patience
from lifelong.client.places import only_model, served_models, wait_ready
from lifelong.client.synchronous import Client

__all__ = [
    "PATIENT",
    "AsyncClient",
    "Certificate",
    "Client",
    "ClosedTask",
    "ErasureRequest",
    "FeedbackEvent",
    "Inference",
    "Patience",
    "RefusedLine",
    "RolledBack",
    "StreamedPrediction",
    "VersionPage",
    "only_model",
    "served_models",
    "wait_ready",
]

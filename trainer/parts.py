"""What one model's trainer is made of."""

from typing import NamedTuple

from trainer.course import Course
from trainer.eraser import Eraser
from trainer.examiner import Examiner
from trainer.ingest import Ingest
from trainer.matrix import MatrixBook
from trainer.promoter import Promoter
from trainer.stores import Stores


class Parts(NamedTuple):
    """The stages of its line of work, in order, the stores that they share, and what takes out of these."""

    stores: Stores
    ingest: Ingest
    course: Course
    examiner: Examiner
    matrix: MatrixBook
    promoter: Promoter
    eraser: Eraser

"""From a model and examples with parallel structure to a model that forks by itself. `aspd train`.

Importing this package loads no PyTorch; the modules `network`, `loop`, `marker_rows`, `checkpoint` and `verb`
do. Extra: `aspd-local[train]`.
Source: arXiv 2508.08895, section 3 (masked training with shared positions).
"""

from aspd_local.train.config import Method, TrainConfig
from aspd_local.train.markers import Markers, choose_markers
from aspd_local.train.samples import Kind, Sample, SampleMaker
from aspd_local.train.vocabulary import Vocabulary, open_vocabulary

__all__ = [
    "Kind",
    "Markers",
    "Method",
    "Sample",
    "SampleMaker",
    "TrainConfig",
    "Vocabulary",
    "choose_markers",
    "open_vocabulary",
]

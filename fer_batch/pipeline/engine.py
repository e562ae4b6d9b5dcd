"""Where a run works: which runner has the workers, and what classifies."""

from __future__ import annotations

from functools import partial

from fer_batch.config import ResolvedConfig
from fer_batch.emotion.base import CropClassifier
from fer_batch.emotion.classifier import Classifier
from fer_batch.pipeline.classifier_pool import ClassifierPool
from fer_batch.pipeline.worker import Message, Settings, make_worker
from fer_batch.records import Task
from fer_batch.runners.base import Runner
from fer_batch.runners.local import LocalRunner
from fer_batch.runners.ray import RayRunner


def create_runner(config: ResolvedConfig) -> Runner[Task, Message]:
    """The runner that a configuration asks for."""
    make = partial(make_worker, Settings(config.sampling, config.detector))
    if config.engine == "ray":
        return RayRunner(make, config.workers, config.timeout, config.ray_address)
    return LocalRunner(make, config.workers, config.timeout)


def create_classifier(config: ResolvedConfig) -> CropClassifier:
    """The classifier that a configuration asks for; it loads its model when it is first needed."""
    make = partial(Classifier, config.model_folder, config.labels, config.batch_size, config.device)
    return ClassifierPool(make, config) if config.classifiers else make()

"""pytest-celery with local processes for containers, and our scheduler and tasks in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pytest_celery import (
    DEFAULT_WORKER_VOLUME,
    CeleryTestCluster,
    CeleryTestNode,
    CeleryTestSetup,
    CeleryWorkerContainer,
    RedisTestBackend,
    RedisTestBroker,
)
from pytest_celery.api.backend import CeleryBackendCluster
from pytest_celery.api.broker import CeleryBrokerCluster
from pytest_docker_tools import container, fxtr
from pytest_docker_tools.wrappers import container as container_wrapper

from tests.smoke import tasks
from tests.smoke.local_docker import LocalDocker

if TYPE_CHECKING:
    from types import ModuleType

    from celery import Celery

BEAT_COMMAND = ["celery", "-A", "app", "beat", "--loglevel=DEBUG"]


class BeatContainer(CeleryWorkerContainer):
    """A node of ours, which pytest-celery has no class for."""

    @property
    def ready_prompt(self) -> str:
        """What a beat prints once its scheduler has met the store."""
        return "Ready: role='beat'"


class SingletonSetup(CeleryTestSetup):
    """A deployment with our scheduler, and one entry for it."""

    @classmethod
    def update_app_config(cls, app: Celery) -> None:
        """Add what the beats need to the configuration of every node."""
        app.conf.beat_scheduler = "celery_singleton_beat:SingletonScheduler"
        # On a busy machine too, none is left out.
        tick = {"task": tasks.tick.name, "schedule": 1.0, "catch_up": "all"}
        app.conf.beat_schedule = {"tick": tick}


@pytest.fixture(scope="session")
def docker_client() -> LocalDocker:
    """The client that pytest-docker-tools uses, without an engine."""
    return LocalDocker()


@pytest.fixture(autouse=True)
def tests_run_beside_their_containers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take ports as published, also when this machine itself is a container."""
    monkeypatch.setattr(container_wrapper, "tests_inside_container", lambda: False)


@pytest.fixture
def celery_setup_cls() -> type[CeleryTestSetup]:
    """The setup of every test here."""
    return SingletonSetup


@pytest.fixture
def celery_broker_cluster(celery_redis_broker: RedisTestBroker) -> CeleryBrokerCluster:
    """One Redis; the store is in it too."""
    return CeleryBrokerCluster(celery_redis_broker)


@pytest.fixture
def celery_backend_cluster(celery_redis_backend: RedisTestBackend) -> CeleryBackendCluster:
    """Another Redis, for results."""
    return CeleryBackendCluster(celery_redis_backend)


@pytest.fixture
def default_worker_tasks(default_worker_tasks: set[ModuleType]) -> set[ModuleType]:
    """Our tasks beside pytest-celery's own."""
    return {*default_worker_tasks, tasks}


@pytest.fixture
def default_worker_command(default_worker_container_cls: type[CeleryWorkerContainer]) -> list[str]:
    """A worker that can run two tasks at once."""
    return default_worker_container_cls.command("--concurrency=2")


def _beat() -> Any:
    return container(
        image="{celery_base_worker_image.id}",
        environment=fxtr("default_worker_env"),
        network="{default_pytest_celery_network.name}",
        volumes={"{default_worker_volume.name}": DEFAULT_WORKER_VOLUME},
        wrapper_class=BeatContainer,
        command=BEAT_COMMAND,
        timeout=30,
    )


one_beat, other_beat = _beat(), _beat()


@pytest.fixture
def beats(
    celery_setup: CeleryTestSetup, one_beat: BeatContainer, other_beat: BeatContainer
) -> CeleryTestCluster:
    """Two replicas of one deployment."""
    nodes = (CeleryTestNode(beat, celery_setup.app) for beat in (one_beat, other_beat))
    return CeleryTestCluster(*nodes)

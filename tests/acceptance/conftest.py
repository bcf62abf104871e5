"""Fixtures of the acceptance tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.deployment import Deployment
from tests.conftest import SHOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.rig.processes import CeleryRig
    from tests.rig.witness import Witness


@pytest.fixture
def make_deployment(
    make_celery: Callable[..., CeleryRig], witness: Witness
) -> Iterator[Callable[..., Deployment]]:
    """A maker of deployments: `make_deployment(store_url, schedule, **conf)`."""
    made: list[Deployment] = []

    def make(store_url: str, schedule: Mapping[str, Any], **conf: Any) -> Deployment:
        made.append(Deployment(make_celery, witness, store_url, schedule, **conf))
        return made[-1]

    yield make
    for deployment in made:
        deployment.store.close()


@pytest.fixture
def show(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """A teller of counts: what it is given stands at the end of every run's output."""

    def show(title: str, counts: Mapping[str, object]) -> None:
        facts = ", ".join(f"{name} {n}" for name, n in counts.items())
        record_property(SHOWN, f"{title}: {facts}")

    return show

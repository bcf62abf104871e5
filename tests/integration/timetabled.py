"""A shop with beats and a timetable: what the tests of other tools beside us start and ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from celery import Celery

from celery_singleton_beat import Entry, Timetable
from celery_singleton_beat.adapters.extension import extension_of
from tests.integration.workers import MODULE, Shop

if TYPE_CHECKING:
    from tests.rig.processes import Proc

NEVER = "0 0 29 2 *"
"""A recurrence that is not due while tests run, on all days but one."""


class Timetabled(Shop):
    """A shop whose workers run what its beats send; ``module`` is the application."""

    module: ClassVar[str] = MODULE

    def __init__(self, *given: Any, **conf: Any) -> None:
        super().__init__(*given, module=self.module, **conf)
        self.app = Celery("shop", set_as_current=False)
        self.app.conf.update(self.conf)
        self.timetable = Timetable(self.app)

    def beat(self) -> Proc:
        """A replica, not awaited."""
        return self.run("beat", "-S", "singleton", "-l", "INFO", name="beat")

    def asked(self, name: str, task: str, key: str, *steps: tuple[str, Any], **fields: Any) -> str:
        """Have an entry run once, now; the run's id."""
        for verb, argument in steps:
            if verb.endswith("gate"):
                self.gate(argument)
        about: dict[str, Any] = {"args": [key, [list(step) for step in steps]], **fields}
        self.timetable.put(Entry(name, task, NEVER, **about))
        return self.timetable.run_now(name)

    def close(self) -> None:
        extension_of(self.app).store.close()
        super().close()

"""The settings: one frozen dataclass, in which each setting is declared once.

They stand in Celery's configuration as ``singleton_beat_…`` (also in capitals, and behind a
namespace: ``CELERY_SINGLETON_BEAT_…``). Behind the configuration stands the environment,
``SINGLETON_BEAT_…``, and behind that the variable names of a few other schedulers, so that
a deployment can move over without renaming its own.

Durations are seconds, as in Celery (int, float or timedelta); in the dataclass they are
integer milliseconds and their names say so. Nothing here asks the environment by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

from celery_singleton_beat import setting_values as values
from celery_singleton_beat.setting_checks import PREFIX, check_together
from celery_singleton_beat.setting_sources import configured, parsed, variable_of
from celery_singleton_beat.setting_values import setting
from celery_singleton_beat.store_url import Parts, store_url

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from dataclasses import Field

CatchUp = Literal["latest", "all", "none"]
OnLocked = Literal["skip", "retry", "raise"]
OnCrash = Literal["drop", "rerun"]
OnStoreOutage = Literal["retry", "run", "skip"]
OnLeaseLost = Literal["warn", "stop"]


@dataclass(frozen=True)
class Settings:
    """Every setting, checked.

    ``read`` checks; the constructor takes values as they are, for code that has them checked
    already. Passwords, and what may hold one, are left out of the ``repr``.

    ``redis_environ`` holds the ``REDIS_…`` variables, which many other programs share. It is
    kept apart, and read only when neither these settings nor the application's broker and
    result backend name a Redis: a variable meant for somebody's cache must not move the store.
    """

    redis_url: str | None = setting(
        values.Text(),
        None,
        "Where the store is: `redis://`, `rediss://`, `unix://`, `sentinel://`, "
        "`redis+cluster://`, or `memory://` for a single process.",
        unset="the Redis of the broker, the result backend, `REDIS_URL` or `REDIS_HOST`",
        secret=True,
    )
    redis_host: str | None = setting(
        values.Text(), None, "Host of the store, when no URL is given."
    )
    redis_port: int = setting(values.Int(1, 65_535), 6379, "Port, beside `redis_host`.")
    redis_username: str | None = setting(values.Text(), None, "ACL user, beside `redis_host`.")
    redis_password: str | None = setting(
        values.Text(), None, "Password, beside `redis_host`.", secret=True
    )
    redis_db: int = setting(values.Int(0), 0, "Database number, beside `redis_host`.")
    redis_options: Mapping[str, object] | None = setting(
        values.Options(),
        None,
        "Passed to redis-py as they are: TLS, Sentinel.",
        secret=True,
    )
    connect_timeout_ms: int = setting(
        values.Seconds(), 2000, "How long connecting to the store may take."
    )
    socket_timeout_ms: int = setting(
        values.Seconds(), 2000, "How long one answer of the store may take."
    )
    health_check_interval_ms: int = setting(
        values.Seconds(at_least_ms=0),
        30_000,
        "After how long without use a connection to the store must answer a ping before it is "
        "used again; 0: never.",
    )
    wait_replicas: int = setting(
        values.Int(0),
        0,
        "How many replicas of the store must have what an answer rests on before it counts.",
    )
    wait_timeout_ms: int = setting(
        values.Seconds(), 1000, "How long `wait_replicas` are waited for."
    )
    key_prefix: str | None = setting(
        values.Text(),
        None,
        "What every key of the store begins with; one for each environment.",
        unset="`{csb:<app.main>}`",
        also=("REDIS_KEY_PREFIX", "CRON_KEY_PREFIX"),
    )
    instance_id: str | None = setting(
        values.Text(),
        None,
        "Name of this process in listings and logs.",
        unset="host, process id and a random part",
        also=("INSTANCE_ID",),
    )
    claim_hold_ms: int = setting(
        values.Seconds(at_least_ms=1000),
        5000,
        "How long a claimed occurrence belongs to its replica before the others may take it.",
    )
    claim_batch: int = setting(
        values.Int(1, 10_000), 100, "How many occurrences a replica claims at once."
    )
    poll_interval_ms: int = setting(
        values.Seconds(at_most_ms=1000),
        1000,
        "How long a replica waits at most before it looks at the store again; at most 1.",
    )
    replica_timeout_ms: int = setting(
        values.Seconds(), 15_000, "How long after its last tick a replica counts as live."
    )
    catch_up: CatchUp = setting(
        values.choice_of(CatchUp),
        "latest",
        "Which of several missed occurrences run: one for all, each, or none.",
    )
    catch_up_max: int = setting(
        values.Int(1), 1000, 'How many missed occurrences of one entry `"all"` runs at most.'
    )
    catch_up_window_ms: int | None = setting(
        values.Seconds(bare_at_most_ms=values.LONGEST_MS),
        None,
        "How late is too late for a missed occurrence.",
        unset="Celery's `beat_cron_starting_deadline`",
    )
    dedupe_window_ms: int | None = setting(
        values.Seconds(bare_at_most_ms=values.LONGEST_MS),
        None,
        "How long a finished run is remembered, so that a second message of it is recognised.",
        unset="ten intervals of the entry, 10 minutes to a day",
    )
    start_deadline_ms: int | None = setting(
        values.Seconds(),
        None,
        "How long a published `SingletonTask` may wait to begin before it is published again.",
        unset="for ever",
    )
    lock_ttl_ms: int = setting(
        values.Seconds(),
        30_000,
        "How long a lease lives without renewal.",
        also=("CRON_LOCK_TTL",),
    )
    renew_every_ms: int | None = setting(
        values.Seconds(), None, "How often a lease is renewed.", unset="a third of the lock TTL"
    )
    on_locked: OnLocked = setting(
        values.choice_of(OnLocked),
        "skip",
        "What a run does whose lock key is held: give way, be re-queued, or fail.",
    )
    lock_retries: int | None = setting(
        values.Int(0),
        None,
        'How often `on_locked = "retry"` re-queues a run before it is skipped.',
        unset="until it runs",
    )
    lock_retry_delay_ms: int = setting(values.Seconds(), 1000, "How long a re-queued run waits.")
    on_store_outage: OnStoreOutage = setting(
        values.choice_of(OnStoreOutage),
        "retry",
        "What a run does while the store is away: be re-queued, run unlocked, or be skipped.",
    )
    on_crash: OnCrash = setting(
        values.choice_of(OnCrash),
        "drop",
        "What beats do about a run whose worker died: nothing, or publish its message again.",
    )
    max_attempts: int | None = setting(
        values.Int(1),
        None,
        "How often a run may be begun whose workers die each time.",
        unset='3 with `on_crash = "rerun"`, else without end',
    )
    history: int = setting(
        values.Int(0),
        10_000,
        "How many facts of what happened to occurrences and runs are kept; 0 for none.",
    )
    entry_history: int = setting(
        values.Int(0),
        100,
        "How many facts of one entry are kept; 0 for none.",
    )
    statistics: int = setting(
        values.Int(0),
        10_000,
        "For how many entries and lock keys what happens is counted and their facts "
        "are kept: those to which something happened last; 0 for none.",
    )
    on_lease_lost: OnLeaseLost = setting(
        values.choice_of(OnLeaseLost),
        "warn",
        "What happens to a run whose lease is lost: it is told of, or its body is stopped as by a "
        "soft time limit (prefork only).",
    )
    tenant_limits: Mapping[str, object] | None = setting(
        values.Options(),
        None,
        "What a tenant may have that was given no limits of its own: `max_entries`, "
        "`min_interval`, `max_per_minute`.",
        unset="20 entries, 5 minutes, no limit per minute",
    )
    alerts: Mapping[str, object] | None = setting(
        values.Options(),
        None,
        "What is alerted of: `long_run`, `not_obtained`, `late`, `lost`, `lease_lost`, "
        "`no_replica`, `store_away`, each with its threshold or None; `{}` for the defaults.",
        unset="no alerts, unless a webhook is set",
    )
    alert_webhook: str | None = setting(
        values.Text(), None, "Where alerts are posted to as JSON.", secret=True
    )
    alert_headers: Mapping[str, object] | None = setting(
        values.Options(), None, "HTTP headers for the webhook, such as a token.", secret=True
    )
    send_events: bool = setting(
        values.Bool(),
        default=False,
        doc="Whether beats send what they do as Celery events; workers do with `-E`.",
    )
    dry_run: bool = setting(
        values.Bool(), default=False, doc="Claim and send nothing; log what would be sent."
    )
    redis_environ: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, conf: Mapping[str, object], environ: Mapping[str, str]) -> Settings:
        """Settings from Celery's configuration, with the environment behind it.

        Raises:
            UnknownSetting: a ``singleton_beat_…`` key that does not exist.
            ConfigurationError: a value that cannot be, or two that contradict each other.
        """
        given = configured(conf, {key_of(one) for one in declared_settings()})
        found: dict[str, Any] = {}
        for declared in declared_settings():
            name = key_of(declared)
            kind: values.Kind = declared.metadata["kind"]
            if given.get(name) is not None:
                found[declared.name] = kind.check(given[name], name)
            elif variable := variable_of(key_of(declared), declared.metadata["also"], environ):
                found[declared.name] = kind.check(parsed(kind, variable, environ), variable)
        settings = cls(
            **found,
            redis_environ={name: environ[name] for name in environ if name.startswith("REDIS_")},
        )
        check_together(settings)
        return settings

    def renewal_ms(self, lock_ttl_ms: int | None = None) -> int:
        """How often a lease of this TTL is renewed: as set, else a third of it."""
        if self.renew_every_ms is not None:
            return self.renew_every_ms
        return max((lock_ttl_ms or self.lock_ttl_ms) // 3, 1)

    def redis_url_for(
        self,
        broker_url: str | Sequence[str] | None,
        result_backend: str | Sequence[str] | None,
    ) -> str:
        """Where the store is: as set here, else the broker, the result backend, ``REDIS_…``.

        The answer may hold a password. A ``sentinel://`` one lists all its sentinels, divided
        by semicolons, as kombu writes it; ``redis+socket://`` comes back as ``unix://``.

        Raises:
            ConfigurationError: none of them is a Redis, or the one chosen cannot be read.
        """
        own = Parts(
            host=self.redis_host,
            port=self.redis_port,
            username=self.redis_username,
            password=self.redis_password,
            db=self.redis_db,
        )
        return store_url(
            explicit=self.redis_url,
            own=own,
            inherited=(broker_url, result_backend),
            environ=self.redis_environ,
        )


def declared_settings() -> Iterator[Field[Any]]:
    """The fields that are settings, in the order of the documentation."""
    return filter(_is_setting, fields(Settings))


def _is_setting(declared: Field[Any]) -> bool:
    return "kind" in declared.metadata


def key_of(declared: Field[Any]) -> str:
    """The name that a setting has in Celery's configuration."""
    return PREFIX + declared.name.removesuffix("_ms")

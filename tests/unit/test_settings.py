"""What settings accept, and what they refuse."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from celery import Celery
from hypothesis import given
from hypothesis import strategies as st

from celery_singleton_beat.errors import ConfigurationError, UnknownSetting
from celery_singleton_beat.setting_checks import check_lock_ttl
from celery_singleton_beat.settings import Settings
from celery_singleton_beat.settings_table import settings_table

if TYPE_CHECKING:
    from collections.abc import Mapping

DOCS = Path(__file__).parents[2] / "docs" / "settings.md"
DURATIONS = [
    "connect_timeout",
    "socket_timeout",
    "wait_timeout",
    "claim_hold",
    "poll_interval",
    "replica_timeout",
    "catch_up_window",
    "dedupe_window",
    "start_deadline",
    "lock_ttl",
    "renew_every",
    "lock_retry_delay",
]
OFF_AT_ZERO = ["health_check_interval"]


def read(conf: Mapping[str, object] | None = None, **environ: str) -> Settings:
    named = {f"singleton_beat_{name}": value for name, value in (conf or {}).items()}
    return Settings.read(named, environ)


def test_nothing_set_means_the_documented_defaults() -> None:
    """S0-11, C1, C6."""
    settings = read()

    assert settings == Settings()
    assert (settings.lock_ttl_ms, settings.claim_hold_ms) == (30_000, 5_000)
    assert (settings.catch_up, settings.on_locked) == ("latest", "skip")
    assert settings.on_store_outage == "retry"


@pytest.mark.parametrize("value", [90, 90.0, timedelta(minutes=1, seconds=30)])
def test_a_duration_is_seconds_however_it_is_written(value: object) -> None:
    """C2, S0-09."""
    settings = read({"lock_ttl": value})

    assert settings.lock_ttl_ms == 90_000


@given(st.integers(min_value=1, max_value=86_400_000))
def test_a_duration_keeps_its_milliseconds(milliseconds: int) -> None:
    settings = read({"lock_ttl": milliseconds / 1000})

    assert settings.lock_ttl_ms == milliseconds


@pytest.mark.parametrize("name", OFF_AT_ZERO)
def test_what_can_be_switched_off_is_off_at_zero(name: str) -> None:
    """S0-13, S0-25."""
    settings = read({name: 0})

    assert getattr(settings, f"{name}_ms") == 0
    with pytest.raises(ConfigurationError, match=f"^singleton_beat_{name} "):
        read({name: -1})


@pytest.mark.parametrize("name", DURATIONS)
@pytest.mark.parametrize(
    "value", [0, -1, 0.0004, timedelta(0), float("nan"), float("inf"), True, "30", [30]]
)
def test_a_duration_that_cannot_be_is_refused_by_name(name: str, value: object) -> None:
    """F13."""
    with pytest.raises(ConfigurationError, match=f"^singleton_beat_{name} "):
        read({name: value})


def test_a_lock_ttl_in_milliseconds_is_recognised() -> None:
    """C2."""
    with pytest.raises(ConfigurationError) as refused:
        read({"lock_ttl": 300_000})

    assert str(refused.value) == (
        "singleton_beat_lock_ttl (300000) is 3.472 days. Durations are seconds: write 300 if "
        "these were milliseconds, timedelta(seconds=300000) if it is meant"
    )


def test_a_timedelta_may_be_longer_than_a_day() -> None:
    """C2."""
    settings = read({"lock_ttl": timedelta(days=2)})

    assert settings.lock_ttl_ms == 2 * 86_400_000


def test_windows_may_be_longer_than_a_day_without_a_timedelta() -> None:
    settings = read({"dedupe_window": 200_000, "catch_up_window": 200_000})

    assert settings.dedupe_window_ms == settings.catch_up_window_ms == 200_000_000


def test_a_lock_ttl_shorter_than_three_renewals_is_refused_with_a_way_out() -> None:
    with pytest.raises(ConfigurationError) as refused:
        read({"lock_ttl": 2, "renew_every": 1})

    assert str(refused.value) == (
        "singleton_beat_lock_ttl (2) must be at least three times singleton_beat_renew_every (1): "
        "raise the first or lower the second"
    )


def test_a_task_of_its_own_ttl_is_held_to_the_same_rule() -> None:
    assert check_lock_ttl(3, 1000, "lock_ttl of task shop.tick") == 3000
    with pytest.raises(ConfigurationError, match=r"^lock_ttl of task shop.tick \(2\.5\) must be"):
        check_lock_ttl(2.5, 1000, "lock_ttl of task shop.tick")
    with pytest.raises(ConfigurationError, match="milliseconds"):
        check_lock_ttl(300_000, None, "lock_ttl of task shop.tick")


def test_a_lease_is_renewed_at_a_third_of_its_ttl_unless_said_otherwise() -> None:
    """C7."""
    by_default, as_said = read(), read({"renew_every": 2})

    assert (by_default.renewal_ms(), by_default.renewal_ms(6000)) == (10_000, 2000)
    assert as_said.renewal_ms() == as_said.renewal_ms(60_000) == 2000


@pytest.mark.parametrize(
    ("conf", "named"),
    [
        ({"claim_hold": 0.9}, "claim_hold"),
        ({"poll_interval": 1.5}, "poll_interval"),
        ({"replica_timeout": 2}, "replica_timeout"),
        ({"claim_batch": 0}, "claim_batch"),
        ({"claim_batch": 2.5}, "claim_batch"),
        ({"claim_batch": True}, "claim_batch"),
        ({"redis_port": 70_000}, "redis_port"),
        ({"lock_retries": -1}, "lock_retries"),
        ({"dry_run": "yes"}, "dry_run"),
        ({"dry_run": 1}, "dry_run"),
        ({"key_prefix": ""}, "key_prefix"),
        ({"key_prefix": 7}, "key_prefix"),
        ({"redis_options": [1]}, "redis_options"),
        ({"redis_options": {1: 2}}, "redis_options"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(conf: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^singleton_beat_{named} "):
        read(conf)


@pytest.mark.parametrize("name", ["catch_up", "on_locked", "on_store_outage"])
def test_a_wrong_choice_is_told_the_right_ones(name: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read({name: "sometimes"})

    for choice in Settings.__dataclass_fields__[name].metadata["kind"].choices:
        assert repr(choice) in str(refused.value)


def test_an_unknown_setting_is_refused_with_the_one_it_resembles() -> None:
    with pytest.raises(UnknownSetting) as refused:
        Settings.read({"CELERY_SINGLETON_BEAT_LOCK_TTTL": 3}, {})

    assert str(refused.value) == (
        "CELERY_SINGLETON_BEAT_LOCK_TTTL is not a setting: did you mean singleton_beat_lock_ttl?"
    )


def test_an_unknown_setting_that_resembles_none_is_told_all() -> None:
    with pytest.raises(UnknownSetting, match=r"There are: singleton_beat_alert_headers, "):
        read({"zzz": 3})


@pytest.mark.parametrize(
    "spelling",
    [
        "singleton_beat_lock_ttl",
        "SINGLETON_BEAT_LOCK_TTL",
        "CELERY_SINGLETON_BEAT_LOCK_TTL",
        "MY_SHOP_SINGLETON_BEAT_LOCK_TTL",
    ],
)
def test_every_spelling_of_celerys_configuration_is_read(spelling: str) -> None:
    """S0-02."""
    settings = Settings.read({spelling: 9, "singleton_lock_expiry": 1, "beat_schedule": {}}, {})

    assert settings.lock_ttl_ms == 9000


def test_an_apps_namespaced_configuration_is_read_and_its_later_change_counts() -> None:
    app = Celery("shop")
    source = type("source", (), {"CELERY_SINGLETON_BEAT_LOCK_TTL": 9})
    app.config_from_object(source, namespace="CELERY")

    before = Settings.read(app.conf, {})
    app.conf.singleton_beat_lock_ttl = 12
    after = Settings.read(app.conf, {})

    # Celery 5.5 itself goes on with what it read from the object; later ones take the change.
    assert app.conf.singleton_beat_lock_ttl in (9, 12)
    assert before.lock_ttl_ms == 9000
    assert after.lock_ttl_ms == app.conf.singleton_beat_lock_ttl * 1000


def test_none_means_not_set() -> None:
    settings = read({"lock_ttl": None}, SINGLETON_BEAT_LOCK_TTL="40")

    assert settings.lock_ttl_ms == 40_000


def test_the_environment_alone_is_enough() -> None:
    """S0-32, S3-05, S3-06."""
    settings = read(
        SINGLETON_BEAT_REDIS_URL="redis://store/3",
        SINGLETON_BEAT_LOCK_TTL="2.5",
        SINGLETON_BEAT_CLAIM_BATCH="7",
        SINGLETON_BEAT_DRY_RUN="on",
        SINGLETON_BEAT_CATCH_UP="all",
        SINGLETON_BEAT_REDIS_OPTIONS='{"ssl_ca_certs": "/ca.pem"}',
    )

    assert settings.redis_url == "redis://store/3"
    assert (settings.lock_ttl_ms, settings.claim_batch) == (2500, 7)
    assert (settings.dry_run, settings.catch_up) == (True, "all")
    assert settings.redis_options == {"ssl_ca_certs": "/ca.pem"}


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("LOCK_TTL", "half a minute"),
        ("LOCK_TTL", "nan"),
        ("LOCK_TTL", "300000"),
        ("CLAIM_BATCH", "7.5"),
        ("DRY_RUN", "perhaps"),
        ("CATCH_UP", "sometimes"),
        ("REDIS_OPTIONS", "ssl=1"),
        ("REDIS_OPTIONS", "[]"),
    ],
)
def test_a_variable_that_cannot_be_read_is_refused_by_its_own_name(
    variable: str, text: str
) -> None:
    name = f"SINGLETON_BEAT_{variable}"

    with pytest.raises(ConfigurationError, match=f"^{name} "):
        read({}, **{name: text})


def test_the_configuration_comes_before_the_environment() -> None:
    settings = read({"lock_ttl": 5}, SINGLETON_BEAT_LOCK_TTL="6", CRON_LOCK_TTL="7000")

    assert settings.lock_ttl_ms == 5000


def test_an_empty_variable_sets_nothing() -> None:
    settings = read(SINGLETON_BEAT_LOCK_TTL="", REDIS_KEY_PREFIX="")

    assert settings == Settings(redis_environ={"REDIS_KEY_PREFIX": ""})


def test_variables_of_other_programs_that_look_like_ours_are_let_alone() -> None:
    settings = read(SINGLETON_BEAT_SERVICE_HOST="10.0.0.1", SINGLETON_BEAT_PORT="tcp://10.0.0.1:1")

    assert settings == Settings()


@pytest.mark.parametrize("prefix_variable", ["REDIS_KEY_PREFIX", "CRON_KEY_PREFIX"])
def test_the_source_documents_variables_are_read_last(prefix_variable: str) -> None:
    """S0-07, S0-12, S0-32, S3-06; a lock TTL is milliseconds there."""
    environ = {prefix_variable: "shop:", "CRON_LOCK_TTL": "300000", "INSTANCE_ID": "instance-1"}

    settings = read({}, **environ)
    overridden = read({}, SINGLETON_BEAT_INSTANCE_ID="mine", **environ)

    assert (settings.key_prefix, settings.instance_id) == ("shop:", "instance-1")
    assert settings.lock_ttl_ms == 300_000
    assert overridden.instance_id == "mine"


@pytest.mark.parametrize("text", ["0", "-5", "nan", "inf", "five"])
def test_a_lock_ttl_of_the_source_documents_that_cannot_be_is_refused(text: str) -> None:
    """F13."""
    with pytest.raises(ConfigurationError, match=r"^CRON_LOCK_TTL "):
        read({}, CRON_LOCK_TTL=text)


def test_no_repr_and_no_error_shows_a_secret() -> None:
    secret = {"password": "hunter2"}
    settings = read(
        {"redis_url": "redis://:hunter2@h", "redis_password": "hunter2", "redis_options": secret},
        REDIS_PASSWORD="hunter2",
    )

    with pytest.raises(ConfigurationError) as refused:
        read({"redis_password": ("hunter2",)})

    assert "hunter2" not in repr(settings)
    assert "hunter2" not in str(refused.value)


def test_every_setting_stands_in_the_table_once() -> None:
    table = settings_table()

    for name in Settings.__dataclass_fields__.keys() - {"redis_environ"}:
        assert table.count(f"| `singleton_beat_{name.removesuffix('_ms')}` |") == 1


def test_the_documentation_shows_the_table_as_it_is() -> None:
    assert settings_table() in DOCS.read_text(encoding="utf-8")


def test_every_duration_is_refused_alike() -> None:
    declared = [
        name.removesuffix("_ms") for name in Settings.__dataclass_fields__ if name.endswith("_ms")
    ]

    assert sorted(DURATIONS + OFF_AT_ZERO) == sorted(declared)

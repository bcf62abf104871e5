"""Where the store turns out to be, and what is said when it is nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from celery_singleton_beat.errors import ConfigurationError
from celery_singleton_beat.settings import Settings
from celery_singleton_beat.store_url import redacted

if TYPE_CHECKING:
    from collections.abc import Mapping


def read(conf: Mapping[str, object] | None = None, **environ: str) -> Settings:
    named = {f"singleton_beat_{name}": value for name, value in (conf or {}).items()}
    return Settings.read(named, environ)


def test_our_own_url_comes_before_everything() -> None:
    """S1-09."""
    settings = read({"redis_url": "redis://own/1", "redis_host": "apart"}, REDIS_URL="redis://env")

    assert settings.redis_url_for("redis://broker", "redis://result") == "redis://own/1"


def test_a_host_and_its_parts_come_next_with_special_characters_escaped() -> None:
    """S0-03, S0-04, S0-05, S0-06, S0-08."""
    settings = read(
        {
            "redis_host": "store",
            "redis_port": 7000,
            "redis_username": "me",
            "redis_password": "p@ss/w:rd%",
            "redis_db": 2,
        }
    )

    url = settings.redis_url_for("redis://broker", None)

    assert url == "redis://me:p%40ss%2Fw%3Ard%25@store:7000/2"


def test_a_part_without_a_host_is_refused_not_ignored() -> None:
    settings = read({"redis_password": "hunter2"})

    with pytest.raises(ConfigurationError, match="singleton_beat_redis_host") as refused:
        settings.redis_url_for("redis://broker", None)

    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("broker", "result", "chosen"),
    [
        ("redis://broker:1/2", "redis://result", "redis://broker:1/2"),
        ("rediss://broker", None, "rediss://broker"),
        ("unix:///run/redis.sock?db=1", None, "unix:///run/redis.sock?db=1"),
        ("redis+socket:///run/r.sock?virtual_host=4", None, "unix:///run/r.sock?db=4"),
        ("rediss://b/0?ssl_cert_reqs=CERT_NONE", None, "rediss://b/0?ssl_cert_reqs=none"),
        ("sentinel://a:1;sentinel://b:2/0", None, "sentinel://a:1;sentinel://b:2/0"),
        (
            "redis+cluster://:p@a:1;redis+cluster://b:2",
            None,
            "redis+cluster://:p@a:1;redis+cluster://b:2",
        ),
        (
            "rediss+cluster://a?ssl_cert_reqs=CERT_NONE",
            None,
            "rediss+cluster://a?ssl_cert_reqs=none",
        ),
        (["redis://a", "redis://b"], None, "redis://a"),
        ("redis://:a;b@first;redis://second", None, "redis://:a;b@first"),
        ("amqp://guest:guest@rabbit//", "redis://result/1", "redis://result/1"),
        (None, "redis://result/1", "redis://result/1"),
    ],
)
def test_the_applications_own_redis_is_used(
    broker: str | list[str] | None, result: str | None, chosen: str
) -> None:
    """S1-09."""
    settings = read({}, REDIS_URL="redis://somebodys-cache")

    assert settings.redis_url_for(broker, result) == chosen


@pytest.mark.parametrize(
    ("environ", "chosen"),
    [
        ({"REDIS_URL": "redis://url/1", "REDIS_HOST": "host"}, "redis://url/1"),
        ({"REDIS_HOST": "host"}, "redis://host:6379/0"),
        (
            {"REDIS_HOST": "host", "REDIS_PORT": "7", "REDIS_PASSWORD": "a/b", "REDIS_DB": "3"},
            "redis://:a%2Fb@host:7/3",
        ),
        ({"REDIS_HOST": "host", "REDIS_DATABASE": "0", "REDIS_DB": "3"}, "redis://host:6379/0"),
        ({"REDIS_HOST": "::1", "REDIS_PASSWORD": ""}, "redis://[::1]:6379/0"),
        ({"REDIS_HOST": "redis", "REDIS_PORT": "tcp://10.0.0.1:6380"}, "redis://redis:6380/0"),
    ],
)
def test_shared_variables_name_the_store_when_the_application_has_no_redis(
    environ: dict[str, str], chosen: str
) -> None:
    """S0-32, S1-09, S3-06."""
    settings = read({}, **environ)

    assert settings.redis_url_for("amqp://rabbit", "rpc://") == chosen


def test_a_shared_variable_that_cannot_be_read_hurts_only_who_needs_it() -> None:
    settings = read({}, REDIS_HOST="host", REDIS_PORT="high")

    assert settings.redis_url_for("redis://broker", None) == "redis://broker"
    with pytest.raises(ConfigurationError, match=r"^REDIS_PORT "):
        settings.redis_url_for(None, None)


def test_no_redis_at_all_is_an_error_that_says_what_to_set() -> None:
    """C18."""
    with pytest.raises(ConfigurationError, match="Set singleton_beat_redis_url") as refused:
        read().redis_url_for("amqp://me:hunter2@rabbit//", "db+postgresql://me:hunter3@pg/x")

    assert "amqp://***@rabbit//" in str(refused.value)
    assert "hunter" not in str(refused.value)


def test_the_memory_store_is_used_only_when_asked_for_by_name() -> None:
    """C18."""
    assert read({"redis_url": "memory://"}).redis_url_for(None, None) == "memory://"
    with pytest.raises(ConfigurationError, match="no Redis"):
        read().redis_url_for("memory://", None)


@pytest.mark.parametrize("url", ["localhost:6379", "http://x", "memory://shared", "amqp://a:pw@b"])
def test_a_url_of_no_store_is_refused_with_the_schemes_there_are(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"redis://, rediss://, unix://") as refused:
        read({"redis_url": url}).redis_url_for("redis://broker", None)

    assert "pw" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://:hunter2@host",
        "redis://me:hun@ter2;hunter2@host/1",
        "sentinel://:hunter2@a:1;sentinel://:hunter2@b:2",
        "unix:///run/redis.sock?password=hunter2&db=1",
    ],
)
def test_a_redacted_url_keeps_no_password(url: str) -> None:
    shown = redacted(url)

    assert "ter2" not in shown
    assert "***" in shown

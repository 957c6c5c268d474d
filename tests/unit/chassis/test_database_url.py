import ssl
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from auth.settings import Settings
from chassis.database.url import DatabaseUrl, InvalidDatabaseUrl

SPECIAL = "p@ss:w/o?r#d%41&="
SECRET_KEY = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "hosts", "user", "password", "database"),
    [
        ("postgres://u:p@db/x", (("db", 5432),), "u", "p", "x"),
        ("postgresql://u:p@db:6432/x", (("db", 6432),), "u", "p", "x"),
        ("postgresql+asyncpg://u:p@db/x", (("db", 5432),), "u", "p", "x"),
        ("postgresql://u@a:1,b:2,[::1]:3/x", (("a", 1), ("b", 2), ("::1", 3)), "u", None, "x"),
        ("postgresql://a,b/x?port=6432", (("a", 6432), ("b", 6432)), None, None, "x"),
        ("postgresql://u:p@/x?host=/run/postgresql", (("/run/postgresql", 5432),), "u", "p", "x"),
        ("postgresql://u%40v:p%2525@db/", (("db", 5432),), "u@v", "p%25", ""),
        ("postgresql://u:p@s/s?w@o=d@db", (("db", 5432),), "u", "p@s/s?w@o=d", ""),
        ("postgresql://u:p?w@db/x?sslmode=disable", (("db", 5432),), "u", "p?w", "x"),
    ],
)
def test_libpq_urls_are_read(
    text: str, hosts: tuple[tuple[str, int], ...], user: str | None, password: str | None, database: str
) -> None:
    url = DatabaseUrl.parse(text)
    assert (url.hosts, url.user, url.password, url.database) == (hosts, user, password, database)
    assert DatabaseUrl.parse(url.render()) == url


@pytest.mark.parametrize(
    ("query", "mode"),
    [
        ("", None),
        ("?sslmode=require", "require"),
        ("?ssl=require", "require"),
        ("?ssl=true", "require"),
        ("?sslmode=prefer&application_name=x&connect_timeout=3&channel_binding=prefer", "prefer"),
        ("?sslrootcert=/ca.pem", "verify-full"),
        ("?sslrootcert=system", "verify-full"),
        ("?sslmode=verify-ca&sslrootcert=/ca.pem", "verify-ca"),
    ],
)
def test_tls_parameters_are_read(query: str, mode: str | None) -> None:
    url = DatabaseUrl.parse(f"postgresql://u:p@db/x{query}")
    assert url.sslmode == mode
    assert DatabaseUrl.parse(url.render()) == url


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mysql://u:secret@db/x", "starts with postgresql://"),
        ("postgresql://u:secret@db/x?sslmode=always", "sslmode must be one of disable"),
        ("postgresql://u:secret@db/x?pgbouncer=true", "unsupported parameter pgbouncer"),
        ("postgresql://u:secret@db/x?channel_binding=require", "channel_binding=require is not supported"),
        ("postgresql://u:secret@db/x?sslmode=prefer&sslrootcert=/ca.pem", "does not verify the server"),
        ("postgresql://u:secret@db/x?sslcert=/c.pem", "sslcert needs sslmode=require"),
        ("postgresql://u:secret@db:port/x", "port in a database URL"),
        ("postgresql://u:secret@a,b,c/x?port=1,2", "one port for all hosts"),
        ("postgresql://u:secret@db/x?target_session_attrs=leader", "target_session_attrs is one of"),
    ],
)
def test_unusable_url_is_refused_without_its_password(text: str, message: str) -> None:
    with pytest.raises(InvalidDatabaseUrl, match=message) as raised:
        DatabaseUrl.parse(text)
    assert "secret" not in str(raised.value)


def test_connection_is_never_unencrypted_where_tls_is_required() -> None:
    def tls(query: str) -> object:
        return DatabaseUrl.parse(f"postgresql://u:p@db/x{query}").build_connect_arguments().get("ssl")

    assert tls("?sslmode=disable") is False
    assert tls("?sslmode=require") == "require"
    for query, checks_name in (("?sslmode=verify-full", True), ("?sslmode=verify-ca", False)):
        context = tls(query)
        assert isinstance(context, ssl.SSLContext)
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname is checks_name


def test_several_hosts_are_searched_for_the_primary() -> None:
    one, two = DatabaseUrl.parse("postgresql://a/x"), DatabaseUrl.parse("postgresql://a,b/x")
    assert one.build_connect_arguments()["target_session_attrs"] == "any"
    assert two.build_connect_arguments()["target_session_attrs"] == "read-write"


@pytest.mark.requirement("setting DATABASE_CA", "setting LISTEN_URL")
def test_unprefixed_url_without_a_database_uses_the_service_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ca = tmp_path / "ca.pem"
    ca.touch()
    monkeypatch.setenv("SECRET_KEY", SECRET_KEY)
    monkeypatch.setenv("DATABASE_CA", str(ca))
    monkeypatch.setenv("DATABASE_URL", "postgres://u:f3a9c1d7@pooler:6432")
    monkeypatch.setenv("LISTEN_URL", "postgres://u:f3a9c1d7@db")
    settings = Settings()
    assert settings.database.address == "pooler:6432/auth as u"
    assert settings.direct_database.address == "db:5432/auth as u"
    assert (settings.database.sslmode, settings.database.ca) == ("verify-full", str(ca))
    monkeypatch.setenv("LISTEN_URL", "postgres://u:f3a9hidden@db?sslmode=disable")
    with pytest.raises(ValidationError, match="does not verify the server") as raised:
        Settings()
    assert "hidden" not in str(raised.value)


def test_address_in_logs_has_no_password() -> None:
    assert DatabaseUrl.parse("postgresql://u:secret@a,b:1/x").address == "a:5432,b:1/x as u"


def test_special_characters_survive_the_settings() -> None:
    password = 2 * SPECIAL  # a secret has at least 8 characters
    settings = Settings(secret_key=SecretStr(SECRET_KEY), database_url=SecretStr(f"postgres://u:{password}@db/x"))
    assert settings.database.password == password.replace("%41", "A")

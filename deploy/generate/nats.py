"""deploy/nats/nats.conf: the NATS configuration of docker-compose, with passwords from its environment."""

from stack.nats_config import NatsConfig, list_logins, render_nats_config

NODES = ("node-1",)


def build_compose_config() -> str:
    """Return the file. Each login's password is ``$NATS_<LOGIN>_PASSWORD``."""
    names = [login for login, _, _ in list_logins(NODES)]
    return render_nats_config(
        NatsConfig(
            passwords={name: f"$NATS_{name.upper().replace('-', '_')}_PASSWORD" for name in (*names, "sys")},
            nodes=NODES,
            external_systems=(),
            listen="0.0.0.0:4222",
            monitor="0.0.0.0:8222",
            store="/data",
            max_file_store="$NATS_MAX_FILE_STORE",
        )
    )

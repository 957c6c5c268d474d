"""How every service is configured, connected, kept and watched. It knows no job, no tenant, no node."""

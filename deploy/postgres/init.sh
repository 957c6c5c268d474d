#!/bin/sh
# One role and one database for each service that keeps anything; none may look into another's.
set -eu
psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" <<'SQL'
REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC;
SQL
for service in auth gateway scheduler notifier; do
    password=$(printenv "$(echo "$service" | tr a-z A-Z)_DB_PASSWORD")
    psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --set service="$service" --set password="$password" <<'SQL'
CREATE ROLE :"service" LOGIN PASSWORD :'password';
CREATE DATABASE :"service" OWNER :"service";
REVOKE ALL ON DATABASE :"service" FROM PUBLIC;
SQL
done

#!/bin/sh
# Creates one role and one database for each service that stores data. A role may connect to its own database only.
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

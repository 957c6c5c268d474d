#!/usr/bin/env bash
# Saves and restores everything that comfyfleet stores: four PostgreSQL databases and the artifact folder.
#
#   deploy/backup.sh create FOLDER     services may run; FOLDER must not exist
#   deploy/backup.sh restore FOLDER    services must be stopped; replaces the contents of the databases
#
# Environment: {NOTIFIER,SCHEDULER,GATEWAY,AUTH}_DATABASE_URL or …_FILE, and GATEWAY_ARTIFACTS_URL. Needs pg_dump, pg_restore and
# psql of the server's version or newer. A bucket (s3://) is not copied: docs/operations/backup.md says what to do.
set -euo pipefail
umask 077

# A snapshot of each database is opened within a second, then all are dumped, however long that takes. The order makes the
# parts fit together without stopping anything:
# - The notifier's copy of events must not be newer than the scheduler's jobs: a job that runs again numbers its events
#   from where the scheduler's backup ends. Missing events are read from the scheduler.
# - The gateway's records must not be older than the scheduler's jobs: a job that has ended must have its outputs. What
#   the scheduler does not know, the gateway deletes.
# - Auth comes last: it must know every user that the others know. They delete what belongs to erased accounts.
# - Files come after the records: a file is complete before its record is written, and never changes. The marker of the
#   store comes before: it must not be newer than the record of it.
SERVICES="notifier scheduler gateway auth"
MARKER=.comfyfleet
declare -A SNAPSHOTS

fail() {
    echo "backup.sh: $*" >&2
    exit 1
}

decode() { # of a URL
    printf '%b' "${1//%/\\x}"
}

# Pass the database to PostgreSQL's programs by environment, because other users see the arguments of a process.
connect() {
    local name file url user_and_password servers server
    name="$(tr a-z A-Z <<<"$1")_DATABASE_URL"
    url="${!name:-}" file="${name}_FILE"
    [[ -z "${!file:-}" ]] || url="$(<"${!file}")"
    [[ "$url" =~ ^postgres(ql)?(\+[a-z0-9]+)?://([^/@]+)@([^/]+)/([^?]+) ]] || fail "$name is not set, or not postgresql://user:password@host:port/database"
    user_and_password="${BASH_REMATCH[3]}" servers="${BASH_REMATCH[4]}" PGDATABASE="$(decode "${BASH_REMATCH[5]}")"
    PGUSER="$(decode "${user_and_password%%:*}")" PGPASSWORD="$(decode "${user_and_password#*:}")" PGHOST="" PGPORT=""
    for server in ${servers//,/ }; do # several servers: the one that accepts writes
        [[ "$server" == *:* ]] || server="$server:5432"
        PGHOST="${PGHOST:+$PGHOST,}${server%:*}" PGPORT="${PGPORT:+$PGPORT,}${server##*:}"
    done
    unset PGSSLMODE
    export PGDATABASE PGUSER PGPASSWORD PGHOST PGPORT PGTARGETSESSIONATTRS=read-write
    [[ ! "$url" =~ [?\&]sslmode=([a-z-]+) ]] || export PGSSLMODE="${BASH_REMATCH[1]}"
}

artifact_folder() { # prints nothing where artifacts are in a bucket
    local url="${GATEWAY_ARTIFACTS_URL:-}"
    [[ -n "$url" ]] || fail "GATEWAY_ARTIFACTS_URL is not set"
    [[ "$url" != file://* ]] || decode "${url#file://}"
}

open_snapshot() { # of the connected database, held until the script ends
    local out="$2/.snapshot" tries=0 input
    : >"$out"
    exec {input}> >(exec psql --no-psqlrc --quiet --tuples-only --no-align --set=ON_ERROR_STOP=1 >"$out")
    echo "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; SELECT pg_export_snapshot();" >&"$input"
    until [[ -s "$out" ]]; do
        ((++tries < 300)) || fail "the database $1 does not answer"
        sleep 0.1
    done
    SNAPSHOTS[$1]="$(cat "$out")"
    rm "$out"
}

create() {
    local target="$1" partial="$1.partial" folder service
    [[ ! -e "$target" ]] || fail "$target exists already"
    folder="$(artifact_folder)"
    rm -rf "$partial"
    mkdir -p "$partial"
    date -u +%Y-%m-%dT%H:%M:%SZ >"$partial/started"
    if [[ -n "$folder" ]]; then
        mkdir "$partial/artifacts"
        [[ ! -d "$folder/$MARKER" ]] || cp -a "$folder/$MARKER" "$partial/artifacts/"
    fi
    for service in $SERVICES; do
        connect "$service"
        open_snapshot "$service" "$partial"
    done
    for service in $SERVICES; do
        connect "$service"
        pg_dump --format=custom --no-owner --no-privileges --snapshot="${SNAPSHOTS[$service]}" --file="$partial/$service.dump"
        echo "$service: $(wc -c <"$partial/$service.dump") bytes"
    done
    if [[ -n "$folder" ]]; then
        copy_files "$folder" "$partial/artifacts"
        echo "artifacts: $(find "$partial/artifacts" -type f | wc -l) files"
    else
        echo "artifacts: not copied, they are in a bucket"
    fi
    (cd "$partial" && sha256sum ./*.dump started >SHA256SUMS)
    sync --file-system "$partial"
    mv "$partial" "$target"
    echo "created $target"
}

restore() {
    local source="$1" folder service others
    [[ -f "$source/SHA256SUMS" ]] || fail "$source is not a complete backup"
    (cd "$source" && sha256sum --quiet --check SHA256SUMS) || fail "$source is damaged"
    folder="$(artifact_folder)"
    for service in $SERVICES; do # all before the first is changed
        connect "$service"
        others="$(psql --no-psqlrc --tuples-only --no-align --command="
            SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND usename IS NOT NULL")" # no autovacuum
        [[ "$others" == 0 ]] || fail "$others connections use the database $service: stop all services first"
    done
    if [[ -n "$folder" && -d "$source/artifacts" ]]; then
        mkdir -p "$folder"
        # Files that are there besides stay, and so does a marker: it tells the gateway that the store is newer.
        [[ -d "$folder/$MARKER" || ! -d "$source/artifacts/$MARKER" ]] || cp -a "$source/artifacts/$MARKER" "$folder/"
        copy_files "$source/artifacts" "$folder"
        sync --file-system "$folder"
        echo "artifacts: restored"
    fi
    for service in $SERVICES; do
        connect "$service"
        psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --command="SET client_min_messages = error; DROP OWNED BY CURRENT_USER CASCADE"
        pg_restore --no-owner --no-privileges --exit-on-error --single-transaction --dbname="$PGDATABASE" "$source/$service.dump"
        echo "$service: restored"
    done
    echo "restored the backup that was started at $(cat "$source/started"). Next: delete the JetStream store of NATS, migrate, start the services."
}

# Copy files that are complete. One that is deleted meanwhile belongs to a job that was deleted meanwhile.
copy_files() {
    local status=0
    tar --create --file=- --directory="$1" --exclude='*#*' --exclude="./$MARKER" --warning=no-file-removed --warning=no-file-changed . |
        tar --extract --file=- --directory="$2" || status=$?
    [[ "$status" -le 1 ]] || fail "files could not be copied from $1 to $2"
}

[[ $# -eq 2 && ("$1" == create || "$1" == restore) ]] || fail "usage: backup.sh create|restore FOLDER"
"$1" "${2%/}"

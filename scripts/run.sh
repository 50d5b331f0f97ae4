#!/usr/bin/env bash
# From nothing to rows: builds, starts a node, posts sample events, waits until every one of them
# is in a table or among the dead letters, shows rows and the reconciliation.
#
#   DATA    where the node keeps its journal and tables    ./data
#   ONCE    1: stop the node and end with the result       serve on
#   LISTEN  the collector's address, port 0: a free one    127.0.0.1:8080
#   ADMIN   the admin's address, port 0: a free one        127.0.0.1:9090
#   EVENTS  how many sample events are posted              20000
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/toolchain.sh
source scripts/toolchain.sh

data="${DATA:-./data}"
once="${ONCE:-}"
listen="${LISTEN:-127.0.0.1:8080}"
admin="${ADMIN:-127.0.0.1:9090}"
events="${EVENTS:-20000}"
binary="${CARGO_TARGET_DIR:-target}/debug/millstream"
node_log="$data/node.log"
node_pid=""

# The longest waits, in seconds. On a slow machine they are the limit, not the expectation.
readonly start_wait_max=60
readonly rows_wait_max=120

# Stops the node this script started, and only that one, however the script ends.
stop_node() {
  local status=$?
  trap - EXIT INT TERM
  if [[ -n "$node_pid" ]] && kill -0 "$node_pid" 2>/dev/null; then
    say "stopping the node"
    kill -TERM "$node_pid" 2>/dev/null || true
    wait "$node_pid" 2>/dev/null || true
  fi
  exit "$status"
}
trap stop_node EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Shows what the node last said, and ends with its kind of failure.
give_up() {
  say "$1; the last lines of $node_log:"
  tail -n 20 "$node_log" >&2 || true
  exit 70
}

# Prints one address of the running node, from the file it keeps while it runs.
node_address() {
  sed -n "s/.*\"$1\"[[:space:]]*:[[:space:]]*\"\([^\"]*\)\".*/\1/p" "$data/node.json" | head -n 1
}

# Waits until the node says that it takes events.
wait_until_ready() {
  local deadline=$((SECONDS + start_wait_max))
  until [[ -s "$data/node.json" ]] && is_ready "$(node_address admin)"; do
    kill -0 "$node_pid" 2>/dev/null || give_up "the node ended while it started"
    ((SECONDS < deadline)) || give_up "the node was not ready after $start_wait_max s"
    sleep 0.1
  done
}

# Asks /readyz without a tool that may be missing.
is_ready() {
  local host="${1%:*}" port="${1##*:}" status=""
  [[ -n "$port" ]] || return 1
  # A subshell, so that a refused connection is an answer and not the end of the script.
  status=$(
    exec 3<>"/dev/tcp/$host/$port" || exit 1
    printf 'GET /readyz HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "$1" >&3
    head -n 1 <&3
  ) 2>/dev/null || return 1
  [[ "$status" == *" 200 "* ]]
}

# Waits until nothing is on its way any more: every accepted event is stored or a dead letter.
wait_until_stored() {
  local deadline=$((SECONDS + rows_wait_max))
  until is_stored; do
    kill -0 "$node_pid" 2>/dev/null || give_up "the node ended while events were on their way"
    ((SECONDS < deadline)) || give_up "events were still on their way after $rows_wait_max s"
    sleep 0.2
  done
}

is_stored() {
  local report
  report="$("$binary" reconcile --data "$data" --format json 2>/dev/null)" || return 1
  grep -Eq '"in_flight"[[:space:]]*:[[:space:]]*[0-9]' <<<"$report" || return 1
  ! grep -Eq '"in_flight"[[:space:]]*:[[:space:]]*[1-9]' <<<"$report"
}

ensure_toolchain
begun=$SECONDS
# The whole workspace, as in the tests: cargo then chooses the same features, and builds each
# dependency once for both.
cargo build --workspace --bins --locked
say "built in $((SECONDS - begun)) s"

mkdir -p "$data"
"$binary" run --data "$data" --listen "$listen" --admin "$admin" >"$node_log" 2>&1 &
node_pid=$!
wait_until_ready
collector="$(node_address collector)"
say "node $node_pid takes events on http://$collector (log: $node_log)"

"$binary" demo --data "$data" --events "$events"
wait_until_stored
say "from the command to the rows: $((SECONDS - begun)) s"

say ""
"$binary" query --data "$data" \
  'SELECT event, channel, count(*) AS events, count(DISTINCT user_id) AS users
   FROM events GROUP BY event, channel ORDER BY events DESC, event LIMIT 10'
"$binary" query --data "$data" \
  'SELECT timestamp, event, user_id, channel, app_version FROM events ORDER BY timestamp DESC LIMIT 5'
"$binary" reconcile --data "$data"

if [[ -n "$once" ]]; then
  exit 0
fi

say ""
say "It serves on. Try it from another terminal, Ctrl-C here ends it:"
say ""
say "  curl -i http://$collector/track -H 'content-type: application/json' \\"
say "    -d '{\"message_id\":\"m-1\",\"user_id\":\"u-1\",\"event\":\"signup\",\"timestamp\":\"2026-11-22 10:11:12\"}'"
say "  $binary query --data $data \"SELECT * FROM events WHERE user_id = 'u-1'\""
say "  curl http://$(node_address admin)/metrics"
wait "$node_pid"

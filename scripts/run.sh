#!/usr/bin/env bash
# From nothing to rows: builds, starts a node, posts sample events, waits until every one of them
# is in a table or among the dead letters, shows rows and the reconciliation.
#
#   DATA    where the node keeps its journal and tables    ./data
#   ONCE    1: stop the node and end with the result       serve on
#   LISTEN  the collector's address, port 0: a free one    127.0.0.1:8080
#   ADMIN   the admin's address, port 0: a free one        127.0.0.1:9090
#   EVENTS  how many sample events are posted              10000
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/toolchain.sh
source scripts/toolchain.sh

data="${DATA:-./data}"
once="${ONCE:-}"
listen="${LISTEN:-127.0.0.1:8080}"
admin="${ADMIN:-127.0.0.1:9090}"
events="${EVENTS:-10000}"
binary="${CARGO_TARGET_DIR:-target}/debug/millstream"
node_log="$data/node.log"
node_pid=""

# The longest wait for the node to be ready, in seconds: the limit, not the expectation.
readonly start_wait_max=60

# Stops the node this script started, and only that one, however the script ends. A signal to the
# whole group reaches make too, which passes a second SIGTERM on: the node drains all the same. A
# second Ctrl-C goes to the node, which then ends at once.
stop_node() {
  local status=$?
  trap - EXIT
  trap '' TERM
  trap 'kill -INT "$node_pid" 2>/dev/null || true' INT
  if [[ -n "$node_pid" ]] && kill -0 "$node_pid" 2>/dev/null; then
    say "stopping the node"
    kill -TERM "$node_pid" 2>/dev/null || true
    # A signal ends `wait` early.
    while kill -0 "$node_pid" 2>/dev/null; do
      wait "$node_pid" 2>/dev/null || true
    done
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

# Prints one value from the file that a node keeps while it runs, without its quotes.
node_value() {
  sed -n "s/^ *\"$1\": *\"\{0,1\}\([^\",]*\).*/\1/p" "$data/node.json" 2>/dev/null
}

# Waits until the node of this script has written its file, which it does when it is ready. A file
# with another process in it is left over from a node that was killed.
wait_until_ready() {
  local deadline=$((SECONDS + start_wait_max))
  until [[ "$(node_value pid)" == "$node_pid" ]]; do
    kill -0 "$node_pid" 2>/dev/null || give_up "the node ended while it started"
    ((SECONDS < deadline)) || give_up "the node was not ready after $start_wait_max s"
    sleep 0.1
  done
}

ensure_toolchain
begun=$SECONDS
# The whole workspace, as in the tests: cargo then chooses the same features, and builds each
# dependency once for both.
cargo build --workspace --bins --locked
say "built in $((SECONDS - begun)) s"

mkdir -p "$data"
# In a process group of its own: Ctrl-C reaches this script alone, which then asks the node to drain.
# A second signal to the node would end it at once.
set -m
"$binary" run --data "$data" --listen "$listen" --admin "$admin" >"$node_log" 2>&1 &
node_pid=$!
set +m
wait_until_ready
collector="$(node_value collector)"
say "node $node_pid takes events on http://$collector (log: $node_log)"

# Posts with a progress bar, some events bad on purpose, and waits until each is in the table or
# among the dead letters.
"$binary" demo --data "$data" --events "$events" --wait
say "from the command to the rows: $((SECONDS - begun)) s"

say ""
"$binary" query --data "$data" \
  'SELECT event, channel, count(*) AS events, count(DISTINCT user_id) AS users
   FROM events GROUP BY event, channel ORDER BY events DESC, event LIMIT 10'
"$binary" query --data "$data" \
  'SELECT timestamp, event, user_id, channel, app_version FROM events ORDER BY timestamp DESC LIMIT 5'
say ""
"$binary" reconcile --data "$data"

if [[ -n "$once" ]]; then
  # An orderly end is part of the promise: a node that cannot drain fails this command.
  kill -TERM "$node_pid"
  wait "$node_pid" || give_up "the node did not end in order"
  node_pid=""
  exit 0
fi

say ""
say "It serves on. Try it from another terminal, Ctrl-C here ends it:"
say ""
say "  curl -i http://$collector/track -H 'content-type: application/json' \\"
say "    -d '{\"message_id\":\"m-1\",\"user_id\":\"u-1\",\"event\":\"signup\",\"timestamp\":\"2026-11-22 10:11:12\"}'"
say "  $binary query --data $data \"SELECT * FROM events WHERE user_id = 'u-1'\""
say "  curl http://$(node_value admin)/metrics"
wait "$node_pid"

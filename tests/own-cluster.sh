# shellcheck shell=bash
# A cluster for one run. Sourced, in the repository's root, by what needs one; does nothing by itself.

own_cluster_logs=''
attended=''

# own_cluster LOGS: makes a cluster and exports how to use it. It is taken away when the script ends, whichever way; if
# something failed, its logs are saved in the folder LOGS first. KEEP_CLUSTER=1 leaves it.
own_cluster() {
    own_cluster_logs=$1
    trap clear_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    tests/cluster/up
    set -a
    # shellcheck source=/dev/null
    . tests/cluster/.state/env
    set +a
}

# attend COMMAND…: runs it beside the shell, so that the shell hears a signal at once; what ends the script ends the command
# and all that it started: it has a process group of its own.
attend() {
    setsid "$@" &
    attended=$!
    wait "$attended" || {
        local code=$?
        attended=''
        return "$code"
    }
    attended=''
}

clear_up() {
    local code=$?
    # A second Ctrl-C must not leave half a cluster.
    trap '' INT TERM
    if [[ $attended ]]; then
        kill -- "-$attended" 2>/dev/null || true
        wait "$attended" 2>/dev/null || true
    fi
    if [[ ${KEEP_CLUSTER:-} ]]; then
        echo 'The cluster stays; tests/cluster/down takes it away.' >&2
    elif ((code == 0)); then
        tests/cluster/down
    else
        tests/cluster/down --logs "$own_cluster_logs"
        echo "The cluster's logs are in $own_cluster_logs." >&2
    fi
    exit "$code"
}

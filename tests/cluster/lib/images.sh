# shellcheck shell=bash disable=SC2034,SC2153,SC2154
# Images into the nodes.

import() { # ARCHIVE: into both nodes at once
  local n pids=() logs
  logs=$(mktemp -d)
  for n in "${NODES[@]}"; do
    ctr "$n" images import "$1" >"$logs/$n" 2>&1 &
    pids+=($!)
  done
  for n in "${pids[@]}"; do
    wait "$n" || {
      cat "$logs"/* >&2
      rm -r "$logs"
      die "the import failed"
    }
  done
  rm -r "$logs"
}

# The base layer goes to the nodes with an image of its own, so that it stays;
# what is built on it need not bring it again.
base_into_nodes() { # FOLDER
  [[ -e $RUN/base-imported ]] && return
  import "$1/image.tar"
  : >"$RUN/base-imported"
}

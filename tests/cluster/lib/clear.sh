# shellcheck shell=bash disable=SC2034,SC2153,SC2154
# Finds and removes whatever any earlier run left, by what it is and not by
# what that run managed to write down: the cgroups named after the rig and the
# processes in them, mounts and loops under its folders, its link, its folders.

left_processes() { # pids in any of the rig's cgroups
  local h
  while read -r h; do
    [[ ! -d $h/$CGROUP ]] || find "$h/$CGROUP" -name cgroup.procs -exec cat {} + 2>/dev/null || true
  done < <(cgroup_hierarchies) | sort -un | grep -vx "$$\|0" || true
}
left_mounts() { # innermost first
  awk -v run="$RUN/" -v data="$DATA/" \
    '{ gsub(/\\040/, " ", $5); if (index($5 "/", run) == 1 || index($5 "/", data) == 1) print $5 }' \
    /proc/self/mountinfo | tac
}
left_loops() {
  losetup -ln -O NAME,BACK-FILE 2>/dev/null |
    awk -v run="$RUN/" -v data="$DATA/" 'index($2, run) == 1 || index($2, data) == 1 { print $1 }'
}
left_links() { ip -o link show 2>/dev/null | grep -o ' prm-[a-z0-9-]*' | tr -d ' ' || true; }
left_cgroups() {
  local h
  while read -r h; do
    [[ ! -d $h/$CGROUP ]] || find "$h/$CGROUP" -depth -type d
  done < <(cgroup_hierarchies)
}
left_files() {
  local f
  for f in "$RUN" "$DATA" "${OUT_FILES[@]/#/$OUT/}"; do
    [[ ! -e $f && ! -L $f ]] || echo "$f"
  done
}

leftovers() { # a line for each thing that is there
  local x
  while read -r x; do
    echo "process $x: $(tr '\0' ' ' <"/proc/$x/cmdline" 2>/dev/null | cut -c1-100)"
  done < <(left_processes)
  left_mounts | sed 's/^/mount /'
  left_loops | sed 's/^/loop /'
  left_links | sed 's/^/link /'
  ip route show | grep -e "^$SERVICE_CIDR" -e '^10\.244\.' -e "^$NET\.0/24" | sed 's/^/route /' || true
  left_cgroups | sed 's/^/cgroup /'
  left_files | sed 's/^/file /'
}

# A machine has one cluster: one that lives and was started from another work
# tree is not ours to end, unless we are told so or in CI.
not_anothers() { # [--take]
  local from
  from=$(cat "$RUN/out-dir" 2>/dev/null || true)
  if [[ ${from:-$OUT} != "$OUT" && -e $from/env && ! ${CI:-} && ${1:-} != --take ]] && running etcd; then
    die "a cluster runs here for ${from%/.state}: end it from there, or say --take"
  fi
}

clear_all() {
  local h m try
  while read -r h; do
    kill_cgroup "$h/$CGROUP" || say "some processes in $h/$CGROUP would not die"
  done < <(cgroup_hierarchies)
  for try in 1 2 3; do # one mount may uncover another
    [[ $(left_mounts) ]] || break
    while read -r m; do
      umount "$m" 2>/dev/null || umount -l "$m" 2>/dev/null || true
    done < <(left_mounts)
    ((try == 1)) || sleep 0.2
  done
  while read -r m; do losetup -d "$m" || true; done < <(left_loops)
  while read -r m; do ip link del "$m" 2>/dev/null || true; done < <(left_links)
  for try in {1..40}; do # a cgroup is busy until its dead are buried
    while read -r m; do rmdir "$m" 2>/dev/null || true; done < <(left_cgroups)
    [[ $(left_cgroups) ]] || break
    sleep 0.05
  done
  [[ ! $(left_mounts) ]] || die "cannot unmount: $(left_mounts | tr '\n' ' ')"
  while read -r m; do rmdir "$m" 2>/dev/null || true; done < <(tac "$RUN/made" 2>/dev/null)
  # thousands of small files: two at a time, which helps where the disk waits
  find "$DATA" -mindepth 1 -maxdepth 1 -print0 2>/dev/null | xargs -0 -r -n 1 -P 4 rm -rf --one-file-system || true
  rm -rf --one-file-system "$DATA"
  # the links that the tests use: ours, and those of the work tree that
  # started what was cleared
  for m in "$OUT" "$(cat "$RUN/out-dir" 2>/dev/null)"; do
    [[ ! -d $m || ! $m ]] || (cd "$m" && rm -f "${OUT_FILES[@]}" && cd / && rmdir "$m" 2>/dev/null) || true
  done
  rm -rf --one-file-system "$RUN"
}

make_dir() { # a folder outside of our own: note it, if it is us who make it
  [[ -d $1 ]] && return
  mkdir -p "$1"
  echo "$1" >>"$RUN/made"
}

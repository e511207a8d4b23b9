# shellcheck shell=bash disable=SC2034,SC2153,SC2154
# What every command of the rig shares: settings, words for the terminal, the
# lock, and how processes are started and ended. Sourced, never run; does
# nothing by itself.

# what fails under `set -e` says where (not in subshells: some may fail)
set -E
trap '((BASH_SUBSHELL)) || printf "rig: failed (%d) at %s:%d: %s\n" "$?" "${BASH_SOURCE[0]}" "$LINENO" "$BASH_COMMAND" >&2' ERR

RIG_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
REPO=$(cd "$RIG_DIR/../.." && pwd)
export RIG_DIR REPO

# Small things that must be quick to find: pids, sockets, keys, configuration.
RUN=${PARAMEDIC_RIG_STATE:-/run/paramedic-rig}
# Bulky things, on a real disk: images, container roots, etcd, logs.
DATA=${PARAMEDIC_RIG_DATA:-/var/lib/paramedic-rig}
# What survives: everything built.
CACHE=${PARAMEDIC_RIG_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/paramedic-rig}
# What the tests read: kubeconfig, env, webhook-token. In the work tree, as
# links into the state folder, so that none outlives its cluster: a stale
# kubeconfig would talk to whoever else has that address.
OUT=$RIG_DIR/.state
OUT_FILES=(kubeconfig env webhook-token)
LOG=$DATA/log
BIN=$RUN/bin
PKI=$RUN/pki

# One bridge network in the control plane's namespace; see README, "Network".
NET=10.90.0
CP_IP=$NET.1
HOST_IP=$NET.2
SERVICE_CIDR=10.96.0.0/16
POD_CIDR=10.244.0.0/16
DNS_IP=10.96.0.10
KSM_IP=10.96.0.81
PARAMEDIC_IP=10.96.0.80
NODES=(1 2)
HOST_LINK=prm-host
node_ip() { echo "$NET.1$1"; }
node_pods() { echo "10.244.$1"; }

# The name of the rig's cgroup in every hierarchy, and the one hierarchy in
# which its own processes are kept, so that they are known as its own.
CGROUP=paramedic-rig
if [[ $(stat -fc %T /sys/fs/cgroup) == cgroup2fs ]]; then
  CGROUP_V2=yes TRACK=/sys/fs/cgroup/$CGROUP
else
  CGROUP_V2='' TRACK=/sys/fs/cgroup/pids/$CGROUP
fi
cgroup_hierarchies() {
  if [[ $CGROUP_V2 ]]; then echo /sys/fs/cgroup; else
    local d
    for d in /sys/fs/cgroup/*/; do
      # cpu and cpu,cpuacct are links to each other on some machines
      if [[ ! -L ${d%/} && -e ${d}cgroup.procs ]]; then echo "${d%/}"; fi
    done
  fi
}

STARTED=${EPOCHREALTIME/[.,]/}
elapsed() { # since the command began, in seconds with one decimal
  local us=$((${EPOCHREALTIME/[.,]/} - STARTED))
  printf '%d.%d' $((us / 1000000)) $((us % 1000000 / 100000))
}
say() { printf '%6ss  %s\n' "$(elapsed)" "$*"; }
die() {
  printf 'rig: %s\n' "$*" >&2
  exit 1
}
need_root() { [[ $(id -u) == 0 ]] || die "must be root: it makes namespaces, mounts and cgroups"; }

# wait_for SECONDS WHAT COMMAND...: until the command succeeds.
wait_for() {
  local limit=$(($1 * 1000000 + ${EPOCHREALTIME/[.,]/})) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    if ((${EPOCHREALTIME/[.,]/} > limit)); then
      die "waited too long for $what; logs are in $LOG"
    fi
    sleep 0.1
  done
}

# --- one at a time ---------------------------------------------------------
# The lock is a flock on /run/lock itself, so that no file of ours stays. Its
# holder writes its pid and start time; what a killed holder leaves running
# (an import, a kubectl) holds the lock on, is known by the cgroup `starter`,
# and is ended by the next one.
start_time() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }
lock() {
  local pid since said=''
  [[ -d /run/lock ]] || mkdir -p /run/lock
  exec 9</run/lock
  until flock -w 1 9; do
    read -r pid since 2>/dev/null <"$RUN/holder" || pid=''
    if [[ $pid && $(start_time "$pid") == "$since" ]]; then
      [[ $said ]] || say "another up or down is at work (pid $pid): waiting for it"
      said=yes
    else
      kill_cgroup "$TRACK/starter"
    fi
  done
}
hold() { # after the clearing: be the holder, and be known by the cgroup
  mkdir -p "$RUN" "$TRACK/starter"
  echo "$$ $(start_time $$)" >"$RUN/holder"
  echo $$ >"$TRACK/starter/cgroup.procs"
}

# --- processes -------------------------------------------------------------
# Ends every process in a cgroup and below it, in whatever state it is.
kill_cgroup() {
  local dir=$1 f pid left tries=0
  [[ -d $dir ]] || return 0
  while ((tries++ < 100)); do
    left=''
    # a container that is frozen (paused) dies only when thawed
    while read -r f; do echo THAWED >"$f" 2>/dev/null || true; done \
      < <(find "$dir" -name freezer.state 2>/dev/null)
    while read -r f; do echo 0 >"$f" 2>/dev/null || true; done \
      < <(find "$dir" -name cgroup.freeze 2>/dev/null)
    while read -r f; do
      while read -r pid; do
        [[ $pid != "$$" && $pid != 0 ]] || continue
        left=yes
        kill -9 "$pid" 2>/dev/null || true
      done < <(cat "$f" 2>/dev/null)
    done < <(find "$dir" -name cgroup.procs 2>/dev/null)
    [[ $left ]] || return 0
    sleep 0.05
  done
  return 1
}

# spawn NAME PLACE COMMAND...: a daemon in the namespaces and the cgroup of a
# place (cp, node-1, node-2); pid and start in $RUN/pid/NAME, output in $LOG/NAME.log.
spawn() {
  local name=$1 place=$2 holder
  shift 2
  local enter=(nsenter "--net=$RUN/netns/$place")
  if [[ $place == node-* && -e $RUN/pid/$place-holder && $name != *-holder ]]; then
    holder=$(pid_of "$place-holder")
    enter+=("--mount=/proc/$holder/ns/mnt")
  fi
  mkdir -p "$TRACK/$place/sys" "$RUN/pid"
  # shellcheck disable=SC2016 # the inner shell's variables
  setsid sh -c 'echo $$ >"$1" && shift && exec "$@"' sh \
    "$TRACK/$place/sys/cgroup.procs" "${enter[@]}" "$@" \
    </dev/null >>"$LOG/$name.log" 2>&1 9>&- &
  echo "$! $(start_time $!)" >"$RUN/pid/$name"
  disown
}

# pid_of NAME: prints the pid if that process still lives. Pids are reused, so
# it must have begun when ours did; a zombie has no command line.
pid_of() {
  local pid since
  read -r pid since 2>/dev/null <"$RUN/pid/$1" || return 1
  [[ $pid && $since && $(start_time "$pid") == "$since" ]] || return 1
  [[ $(tr -d '\0' 2>/dev/null <"/proc/$pid/cmdline") ]] || return 1
  echo "$pid"
}
running() { pid_of "$1" >/dev/null; }

# stop NAME [SECONDS]: SIGTERM, wait, and SIGKILL after that time.
stop() {
  local pid i
  pid=$(pid_of "$1") || return 0
  kill -CONT "$pid" 2>/dev/null || true
  kill -TERM "$pid" 2>/dev/null || true
  for ((i = 0; i < ${2:-30} * 20; i++)); do
    running "$1" || break
    sleep 0.05
  done
  if running "$1"; then kill -9 "$pid" 2>/dev/null || true; fi
  while running "$1"; do sleep 0.02; done
  rm -f "$RUN/pid/$1"
}

in_place() { # PLACE COMMAND...: run a command in a place's network
  local place=$1
  shift
  nsenter "--net=$RUN/netns/$place" "$@"
}
need_up() {
  [[ -e $OUT/env && -e $RUN/pid/etcd ]] && running etcd && return
  die "the rig is not up: run tests/cluster/up"
}
kubectl() { command "$BIN/kubectl" --kubeconfig "$OUT/kubeconfig" "$@"; }
ctr() { # NODE ARGUMENTS...
  local node=$1
  shift
  command "$BIN/ctr" --address "$RUN/node-$node/containerd.sock" --namespace k8s.io "$@"
}

# shellcheck shell=bash disable=SC2034,SC2153,SC2154
# Makes what `up` needs, once, in $CACHE: the Go programs, Debian's binaries,
# the root that images are built on, and the images of the cluster itself.
# Each has a folder named after a hash of what it is made from; a folder is
# there only when it is whole. Installs tools from Debian (none of them a
# service) where they are missing.

# command that must be there -> package that brings it
TOOLS=(
  ip:iproute2 iptables:iptables conntrack:conntrack openssl:openssl curl:curl
  nsenter:util-linux losetup:mount flock:util-linux setsid:util-linux
  sysctl:procps debootstrap:debootstrap
)
# Debian's daemons are unpacked, not installed: installing them starts and
# enables services on the machine, and these need nothing but their files.
DEBS=(containerd runc containernetworking-plugins prometheus prometheus-alertmanager busybox-static)
# What every image of ours stands on.
BASE_INCLUDE=ca-certificates,curl
K8S_VERSION=v1.34.4
ALERTMANAGER_VERSION=0.31.1 # as go/alertmanager/go.mod
declare -A MADE

apt_updated=''
apt_update() {
  [[ $apt_updated ]] || apt-get update -qq
  apt_updated=yes
}

build_tools() {
  local t missing=()
  for t in "${TOOLS[@]}"; do
    PATH=/usr/sbin:/sbin:$PATH command -v "${t%%:*}" >/dev/null || missing+=("${t#*:}")
  done
  /usr/bin/python3 -c 'import yaml' 2>/dev/null || missing+=(python3 python3-yaml)
  [[ -e /etc/ssl/certs/ca-certificates.crt ]] || missing+=(ca-certificates)
  ((${#missing[@]})) || return 0
  say "installing ${missing[*]}"
  apt_update
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >"$CACHE/apt.log" 2>&1 ||
    die "apt-get install failed, see $CACHE/apt.log"
}

key() { sha256sum | cut -c1-12; }
codename() { (. /etc/os-release && echo "$VERSION_CODENAME"); }

# made NAME KEY: the folder of that thing; true when it is there already.
# The newest three of a kind stay, the rest go.
made() {
  FOLDER=$CACHE/$1-$2
  if [[ -d $FOLDER ]]; then
    touch "$FOLDER"
    return 0
  fi
  find "$CACHE" -maxdepth 1 -name "$1-????????????" -printf '%T@ %p\n' | sort -rn | tail -n +3 |
    cut -d' ' -f2- | xargs -r rm -rf
  rm -rf "$FOLDER.part"
  mkdir -p "$FOLDER.part"
  return 1
}
whole() { mv "$FOLDER.part" "$FOLDER"; }

build_go() { # NAME [PACKAGE [LDFLAGS]]
  local name=$1 package=${2:-.} ldflags="-s -w ${3:-}" dir=$RIG_DIR/go/$1 k
  k=$({ go version && echo "$package $ldflags" && find "$dir" -type f | sort | xargs cat; } | key)
  if ! made "$name" "$k"; then
    say "building $name"
    (cd "$dir" && CGO_ENABLED=0 GOFLAGS='' GOWORK=off \
      go build -mod=readonly -trimpath -buildvcs=false -ldflags "$ldflags" -o "$FOLDER.part/$name" "$package")
    whole
    say "built $name ($(stat -c %s "$FOLDER/$name" | numfmt --to=iec))"
  fi
  MADE[$name]=$FOLDER/$name
}

build_debs() {
  made debs "$(echo "$(codename) ${DEBS[*]}" | key)" && { MADE[debs]=$FOLDER && return; }
  say "fetching ${DEBS[*]}"
  apt_update
  (cd "$FOLDER.part" && apt-get -q -o APT::Sandbox::User=root download "${DEBS[@]}" >/dev/null)
  local deb
  for deb in "$FOLDER.part"/*.deb; do
    dpkg-deb -f "$deb" Package Version | paste -sd' ' >>"$FOLDER.part/versions"
    dpkg-deb -x "$deb" "$FOLDER.part/root"
    rm "$deb"
  done
  whole
  MADE[debs]=$FOLDER
}

# The root of our images: what debootstrap calls minbase, less what a program
# does not need to run (few files also make `down` quick on a busy disk). Its own mount namespace, so that nothing stays mounted.
build_base() {
  local recipe mirror suite root
  suite=$(codename)
  recipe=$(declare -f build_base)
  made base "$(echo "$suite $BASE_INCLUDE $recipe" | key)" && { MADE[base]=$FOLDER && return; }
  # from where this machine has its own packages
  # shellcheck disable=SC2016 # apt's variables
  mirror=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(ORIGIN)' 'Created-By: Packages' |
    awk -v suite="$suite" '$2 == suite && $3 == "Debian" { print $1; exit }')
  say "debootstrap of $suite"
  root=$FOLDER.part/root
  unshare --mount --propagation private /usr/sbin/debootstrap --variant=minbase \
    --include="$BASE_INCLUDE" "$suite" "$root" "${mirror:-http://deb.debian.org/debian}" >"$CACHE/debootstrap.log" 2>&1 ||
    die "debootstrap failed, see $CACHE/debootstrap.log"
  (
    cd "$root" || exit
    echo 'nonroot:x:65532:65532:nonroot:/home/nonroot:/usr/sbin/nologin' >>etc/passwd
    echo 'nonroot:x:65532:' >>etc/group
    mkdir -p home/nonroot
    chown 65532:65532 home/nonroot
    rm -rf var/cache/* var/lib/apt var/log/* usr/share/{doc,man,locale,info,lintian,bash-completion,i18n,bug} \
      usr/lib/x86_64-linux-gnu/gconv usr/lib/apt usr/lib/locale dev/* tmp/* run/* debootstrap \
      etc/resolv.conf etc/hostname etc/hosts etc/apt usr/bin/apt* var/lib/dpkg usr/sbin/e2* usr/sbin/*fs* \
      usr/lib/x86_64-linux-gnu/libapt-* usr/share/keyrings etc/machine-id \
      usr/bin/perl* usr/share/perl* usr/lib/x86_64-linux-gnu/perl* usr/share/zoneinfo/{posix,right} usr/share/ca-certificates \
      usr/lib/systemd var/lib/systemd usr/share/{pam,common-licenses,debconf,perl5}
    # certificates as one file, not as 285
    find etc/ssl/certs ! -type d ! -name ca-certificates.crt -delete
    ln -sf /etc/ssl/certs/ca-certificates.crt usr/lib/ssl/cert.pem
  )
  # the order and the times fixed, so that the same root is the same layer
  tar --sort=name --numeric-owner --mtime=@0 --format=posix --pax-option=delete=atime,delete=ctime \
    -C "$root" -cf "$FOLDER.part/layer.tar" .
  rm -rf "$root"
  /usr/bin/python3 "$RIG_DIR/lib/oci.py" "$FOLDER.part/image.tar" --image rig-base:1 \
    --layer "$FOLDER.part/layer.tar" --user 65532:65532
  whole
  MADE[base]=$FOLDER
}

# The images without which no pod starts, and those of the cluster's own pods.
build_images() {
  local list=() applet busybox=${MADE[debs]}/root/bin/busybox
  made images "$({ cat "$RIG_DIR/lib/oci.py" && declare -f build_images && echo "${MADE[pause]} ${MADE[coredns]} ${MADE[kube-state-metrics]} ${MADE[debs]}"; } | key)" &&
    { MADE[images]=$FOLDER && return; }
  while read -r applet; do
    [[ $applet == bin/busybox ]] || list+=(--link "$applet:/bin/busybox")
  done < <("$busybox" --list-full)
  /usr/bin/python3 "$RIG_DIR/lib/oci.py" "$FOLDER.part/system.tar" \
    --image pause:rig --file "${MADE[pause]}:/pause" --entrypoint /pause --user 65535:65535 \
    --image coredns:rig --file "${MADE[coredns]}:/coredns" --entrypoint /coredns \
    --image kube-state-metrics:rig --file "${MADE[kube-state-metrics]}:/kube-state-metrics" \
    --entrypoint /kube-state-metrics --user 65532:65532 \
    --image busybox:e2e --file "$busybox:/bin/busybox" "${list[@]}" --dir /tmp:1777 --dir /root:700 \
    --text '/etc/passwd=root:x:0:0:root:/root:/bin/sh
nonroot:x:65532:65532:nonroot:/tmp:/bin/sh
' --text '/etc/group=root:x:0:
nonroot:x:65532:
' --cmd sh
  whole
  MADE[images]=$FOLDER
}

# build_all: afterwards MADE tells where things are: kubernetes, etcd, coredns,
# kube-state-metrics, alertmanager, pause (programs), debs, base, images (folders).
build_all() {
  mkdir -p "$CACHE"
  # One build at a time. A build that lost its parent goes on holding the
  # lock, and is waited for: half an apt-get is worse than a wait.
  exec 8>"$CACHE/lock"
  flock -n 8 || { say "another build is at work: waiting for it" && flock 8; }
  build_tools
  command -v go >/dev/null || die "needs Go 1.24 or newer (Debian 12's own is too old)"
  build_debs
  build_base
  build_go pause
  build_go etcd
  build_go coredns
  build_go kube-state-metrics k8s.io/kube-state-metrics/v2
  # what it says of its version is read: only from 0.28 on is it polled
  build_go alertmanager github.com/prometheus/alertmanager/cmd/alertmanager \
    "-X github.com/prometheus/common/version.Version=$ALERTMANAGER_VERSION"
  build_go kubernetes . "-X k8s.io/component-base/version.gitVersion=$K8S_VERSION \
-X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=34"
  build_images
  exec 8>&-
}

# shellcheck shell=bash disable=SC2034,SC2153,SC2154
# A node: containerd, kubelet and kube-proxy in a network namespace and a
# mount namespace of their own, with their own cgroup root.

node_cgroups() { # NODE: the cgroup root of the kubelet, in every hierarchy
  local h dir
  while read -r h; do
    for dir in "$h/$CGROUP" "$h/$CGROUP/node-$1"; do
      mkdir -p "$dir"
      if [[ -e $dir/cpuset.cpus && ! $CGROUP_V2 ]]; then
        cat "$dir/../cpuset.cpus" >"$dir/cpuset.cpus"
        cat "$dir/../cpuset.mems" >"$dir/cpuset.mems"
      fi
    done
  done < <(cgroup_hierarchies)
}

node_files() { # NODE
  local n=$1
  local run=$RUN/node-$1 data=$DATA/node-$1
  mkdir -p "$run/cni" "$data"
  cat >"$run/containerd.toml" <<EOF
version = 2
root = "$data/containerd"
state = "$run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]
[grpc]
  address = "$run/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "$data/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/library/pause:rig"
  stream_server_address = "127.0.0.1"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        BinaryName = "$BIN/runc"
        Root = "$run/runc"
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$BIN/cni"
    conf_dir = "$run/cni"
EOF
  cat >"$run/cni/10-rig.conflist" <<EOF
{"cniVersion": "0.4.0", "name": "rig", "plugins": [
  {"type": "ptp", "mtu": 1500, "ipMasq": false,
   "ipam": {"type": "host-local", "dataDir": "$run/ipam",
            "ranges": [[{"subnet": "$(node_pods "$n").0/24"}]],
            "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}
]}
EOF
  echo "nameserver $DNS_IP" >"$run/resolv.conf"
  cat >"$run/kubelet.yaml" <<EOF
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $(node_ip "$n")
port: 10250
healthzBindAddress: 127.0.0.1
tlsCertFile: $PKI/node-$n.crt
tlsPrivateKeyFile: $PKI/node-$n.key
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true, cacheTTL: 1h}
  x509: {clientCAFile: $PKI/ca.crt}
# remembered for long, so that Prometheus can go on when the API server is out
authorization: {mode: Webhook, webhook: {cacheAuthorizedTTL: 1h, cacheUnauthorizedTTL: 1s}}
containerRuntimeEndpoint: unix://$run/containerd.sock
clusterDNS: [$DNS_IP]
clusterDomain: cluster.local
resolvConf: $run/resolv.conf
cgroupDriver: cgroupfs
cgroupRoot: /$CGROUP/node-$n
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
podLogsDir: $data/pods
nodeStatusUpdateFrequency: 2s
nodeStatusReportFrequency: 10s
nodeLeaseDurationSeconds: 8
syncFrequency: 5s
# the machine's disk is not this cluster's business
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard: {memory.available: 100Mi, nodefs.available: 0%, nodefs.inodesFree: 0%, imagefs.available: 0%}
shutdownGracePeriod: 0s
maxPods: 110
serializeImagePulls: false
volumePluginDir: $data/flexvolume
enableDebuggingHandlers: true
EOF
}

start_runtime() { # NODE: namespaces and containerd
  local n=$1
  local run=$RUN/node-$n data=$DATA/node-$n
  rm -f "$run/namespace-ready"
  spawn "node-$n-holder" "node-$n" unshare --mount --propagation private \
    "$RIG_DIR/lib/node-namespace" "$run" "$data"
  wait_for 10 "the mount namespace of node-$n" test -e "$run/namespace-ready"
  # containerd finds its shim and runc by PATH
  spawn "containerd-$n" "node-$n" env PATH="$BIN:/usr/sbin:/usr/bin:/sbin:/bin" \
    "$BIN/containerd" --config "$run/containerd.toml" --log-level warn
}
runtime_ready() { ctr "$1" version; }

start_kubelet() { # NODE
  local n=$1
  local run=$RUN/node-$n data=$DATA/node-$n
  spawn "kubelet-$n" "node-$n" "$BIN/kubelet" --config "$run/kubelet.yaml" \
    --kubeconfig "$PKI/node-$n.kubeconfig" --hostname-override "node-$n" \
    --node-ip "$(node_ip "$n")" --root-dir "$data/kubelet" --cert-dir "$data/kubelet/pki" \
    --housekeeping-interval=1s --containerd="$run/containerd.sock"
}

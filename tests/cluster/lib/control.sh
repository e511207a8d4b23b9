# shellcheck shell=bash disable=SC2034,SC2153,SC2154
# The control plane: etcd, kube-apiserver, kube-controller-manager and
# kube-scheduler, all in the namespace cp, and a kube-proxy there too, so that
# the machine and the API server reach services even when a node is dead.

AUDIT_LOG=$LOG/audit.log

start_etcd() {
  # in its own namespace's loopback: nobody else can reach it; no fsync: what
  # it holds is thrown away anyway
  spawn etcd cp "$BIN/etcd" --name rig --data-dir "$DATA/etcd" --unsafe-no-fsync \
    --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380 --log-level warn
}

write_audit_policy() {
  # Who changed what, and how it was answered; not the reads, nor the noise
  # that the components make.
  cat >"$RUN/audit-policy.yaml" <<'EOF'
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  verbs: [get, list, watch]
- level: None
  resources:
  - {group: coordination.k8s.io, resources: [leases]}
  - {group: "", resources: [events]}
  - {group: events.k8s.io, resources: [events]}
  - {group: authentication.k8s.io}
  - {group: authorization.k8s.io}
- level: None
  userGroups: ["system:nodes"]
  resources:
  - {group: "", resources: [nodes/status]}
- level: Metadata
EOF
}

start_apiserver() {
  # without a grace period for watches their handlers are not told of a
  # SIGTERM, and the server waits a minute for them
  spawn kube-apiserver cp "$BIN/kube-apiserver" \
    --etcd-servers=http://127.0.0.1:2379 \
    --bind-address=0.0.0.0 --advertise-address="$CP_IP" --secure-port=6443 \
    --tls-cert-file="$PKI/apiserver.crt" --tls-private-key-file="$PKI/apiserver.key" \
    --client-ca-file="$PKI/ca.crt" \
    --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \
    --service-cluster-ip-range="$SERVICE_CIDR" \
    --service-account-issuer=https://kubernetes.default.svc.cluster.local \
    --service-account-key-file="$PKI/service-account.key" \
    --service-account-signing-key-file="$PKI/service-account.key" \
    --kubelet-certificate-authority="$PKI/ca.crt" \
    --kubelet-client-certificate="$PKI/apiserver-kubelet.crt" \
    --kubelet-client-key="$PKI/apiserver-kubelet.key" \
    --kubelet-preferred-address-types=InternalIP \
    --requestheader-client-ca-file="$PKI/front-proxy-ca.crt" \
    --requestheader-allowed-names=front-proxy-client \
    --requestheader-extra-headers-prefix=X-Remote-Extra- \
    --requestheader-group-headers=X-Remote-Group \
    --requestheader-username-headers=X-Remote-User \
    --proxy-client-cert-file="$PKI/front-proxy.crt" --proxy-client-key-file="$PKI/front-proxy.key" \
    --enable-aggregator-routing=true \
    --default-not-ready-toleration-seconds=5 --default-unreachable-toleration-seconds=5 \
    --audit-policy-file="$RUN/audit-policy.yaml" --audit-log-path="$AUDIT_LOG" \
    --audit-log-maxsize=2000 \
    --shutdown-watch-termination-grace-period=2s \
    --allow-privileged=true --profiling=false
}
apiserver_ready() {
  curl -fsS -m 2 --cacert "$PKI/ca.crt" --cert "$PKI/admin.crt" --key "$PKI/admin.key" \
    "https://$CP_IP:6443/readyz"
}

start_controllers() {
  # not Ready is noticed after 8 s, not 40; at the usual 20 requests a second
  # the controllers alone need 6 s to begin
  spawn kube-controller-manager cp "$BIN/kube-controller-manager" \
    --kubeconfig="$PKI/controller-manager.kubeconfig" --leader-elect=false \
    --kube-api-qps=500 --kube-api-burst=1000 \
    --bind-address=127.0.0.1 --cluster-cidr="$POD_CIDR" --allocate-node-cidrs=false \
    --service-account-private-key-file="$PKI/service-account.key" --root-ca-file="$PKI/ca.crt" \
    --cluster-signing-cert-file="$PKI/ca.crt" --cluster-signing-key-file="$PKI/ca.key" \
    --use-service-account-credentials=true --flex-volume-plugin-dir="$DATA/flexvolume" \
    --node-monitor-period=1s --node-monitor-grace-period=8s \
    --terminated-pod-gc-threshold=50 --profiling=false
  spawn kube-scheduler cp "$BIN/kube-scheduler" \
    --kubeconfig="$PKI/scheduler.kubeconfig" --leader-elect=false \
    --kube-api-qps=500 --kube-api-burst=1000 \
    --bind-address=127.0.0.1 --profiling=false
}

start_proxy() { # PLACE NODE-NAME
  spawn "kube-proxy-$1" "$1" "$BIN/kube-proxy" \
    --kubeconfig="$PKI/proxy.kubeconfig" --hostname-override="$2" \
    --proxy-mode=iptables --cluster-cidr="$POD_CIDR" \
    --iptables-min-sync-period=0s --iptables-sync-period=1h \
    --oom-score-adj=0 --conntrack-max-per-core=0 --conntrack-tcp-timeout-established=0s \
    --conntrack-tcp-timeout-close-wait=0s \
    --metrics-bind-address=127.0.0.1:10249 --healthz-bind-address=127.0.0.1:10256 \
    --profiling=false
}

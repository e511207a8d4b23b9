# shellcheck shell=bash disable=SC2034,SC2153,SC2154
# Prometheus and Alertmanager (Debian's, unpacked), in the control plane's namespace. With `pair start` there are two of
# each: two Prometheus that scrape and evaluate the same and tell both Alertmanagers, which are peers of one cluster.

PROMETHEUS_URL=http://$CP_IP:9090
ALERTMANAGER_URL=http://$CP_IP:9093
# of the pair's second ones
PROMETHEUS_2_URL=http://$CP_IP:9190
ALERTMANAGER_2_URL=http://$CP_IP:9193

# write_prometheus ALERTMANAGER…: it tells these, by URL
write_prometheus() {
  local n dir=$RUN/prometheus keep alertmanagers
  alertmanagers=$(printf ', "%s"' "${@#http://}")
  mkdir -p "$dir/rules" "$dir/targets"
  # what rules about pods ask for, of the hundreds of series there are
  keep='container_(memory_(working_set_bytes|rss|usage_bytes|cache|swap|failcnt)|oom_events_total|spec_memory_limit_bytes|spec_cpu_(quota|period)|cpu_usage_seconds_total|cpu_cfs_(throttled_)?periods_total|fs_(usage|limit)_bytes|last_seen|start_time_seconds|network_(receive|transmit)_bytes_total)'
  {
    cat <<EOF
global:
  scrape_interval: 1s
  scrape_timeout: 1s
  evaluation_interval: 1s
rule_files: [$dir/rules/*.yaml]
alerting:
  alertmanagers:
  - static_configs: [{targets: [${alertmanagers#, }]}]
scrape_configs:
- job_name: cadvisor
  scheme: https
  metrics_path: /metrics/cadvisor
  # a dead container's series must end when the kubelet stops to show it
  honor_timestamps: false
  tls_config: &tls {ca_file: $PKI/ca.crt, cert_file: $PKI/prometheus.crt, key_file: $PKI/prometheus.key}
  static_configs: &kubelets
EOF
    for n in "${NODES[@]}"; do
      echo "  - {targets: [\"$(node_ip "$n"):10250\"], labels: {node: node-$n}}"
    done
    cat <<EOF
  # the labels that kube-prometheus gives, so that its rules find them
  relabel_configs: &job
  - {target_label: job, replacement: kubelet}
  - {source_labels: [__metrics_path__], target_label: metrics_path}
  metric_relabel_configs:
  - {source_labels: [__name__], action: keep, regex: '$keep'}
  - {source_labels: [pod], action: keep, regex: .+}
  - {action: labeldrop, regex: id|name}
- job_name: kubelet
  scheme: https
  scrape_interval: 5s
  scrape_timeout: 4s
  honor_timestamps: false
  tls_config: *tls
  static_configs: *kubelets
  relabel_configs: *job
  metric_relabel_configs:
  - {source_labels: [__name__], action: keep, regex: kubelet_volume_stats_.*}
- job_name: kube-state-metrics
  honor_labels: true
  honor_timestamps: false
  static_configs: [{targets: ["$KSM_IP:8080"]}]
- job_name: alertmanager
  scrape_interval: 5s
  scrape_timeout: 4s
  static_configs: [{targets: ["$CP_IP:9093"]}]
  metric_relabel_configs:
  - {source_labels: [__name__], action: keep, regex: alertmanager_.*}
# whatever else a test wants scraped: files of targets, picked up at once
- job_name: tests
  honor_labels: true
  file_sd_configs: [{files: [$dir/targets/*.json, $dir/targets/*.yaml], refresh_interval: 5s}]
EOF
  } >"$dir/prometheus.yml"
}

# write_rules FOLDER: the groups of its PrometheusRule resources (or plain rule
# files) as Prometheus's own rule files; the old ones stay when one is wrong.
write_rules() {
  local new=$RUN/prometheus/rules.new
  rm -rf "$new"
  mkdir -p "$new"
  if [[ -d $1 ]]; then /usr/bin/python3 "$RIG_DIR/lib/rules.py" "$1" "$new"; fi
  if [[ $(find "$new" -name '*.yaml') ]]; then
    "$BIN/promtool" check rules "$new"/*.yaml >"$new.log" 2>&1 || {
      cat "$new.log" >&2
      return 1
    }
  fi
  rm -f "$RUN"/prometheus/rules/*
  find "$new" -name '*.yaml' -exec mv {} "$RUN/prometheus/rules/" \;
  rm -rf "$new" "$new.log"
}

# Debian's builds look for their templates and pages in /usr/share, where an
# unpacked package has not put them: each sees them there, and only it.
# shellcheck disable=SC2016 # the inner shell's variables
with_share() {
  local share
  share=$(realpath "$BIN/promtool")
  spawn "$1" cp unshare --mount --propagation private sh -c \
    'mount -t overlay rig -o "lowerdir=$1:/usr/share" /usr/share && shift && exec "$@"' sh \
    "${share%/bin/promtool}/share" "${@:2}"
}

# start_prometheus NAME URL
start_prometheus() {
  local name=$1 url=$2
  with_share "$name" "$BIN/prometheus" --config.file="$RUN/prometheus/prometheus.yml" \
    --web.listen-address="${url#http://}" --web.external-url="$url" --web.enable-lifecycle \
    --storage.tsdb.path="$DATA/$name" --storage.tsdb.retention.time=6h \
    --rules.alert.resend-delay=5s --log.level=warn
}
prometheus_ready() { curl -fsS -m 2 "${1:-$PROMETHEUS_URL}/-/ready"; }
# after a start or a reload it takes up to 5 s until Prometheus knows its
# Alertmanager (again); what fires before is sent later
prometheus_knows_alertmanager() { # [URL [HOW MANY]]
  local known
  known=$(curl -fsS -m 2 "${1:-$PROMETHEUS_URL}/api/v1/alertmanagers" | sed 's/"droppedAlertmanagers".*//' | grep -o '"url"' | wc -l)
  ((known == ${2:-1}))
}

write_alertmanager() {
  mkdir -p "$RUN/alertmanager"
  cat >"$RUN/alertmanager/default.yml" <<EOF
route:
  receiver: paramedic
  group_by: [namespace, alertname]
  group_wait: 1s
  group_interval: 5s
  repeat_interval: 1m
receivers:
- name: paramedic
  webhook_configs:
  - url: http://$PARAMEDIC_IP:8080/webhook
    send_resolved: true
    http_config:
      authorization: {type: Bearer, credentials_file: $RUN/out/webhook-token}
EOF
  cp "$RUN/alertmanager/default.yml" "$RUN/alertmanager/alertmanager.yml"
}
# start_alertmanager NAME URL [GOSSIP PEER]: a lone one, or one that gossips at an address with a peer
start_alertmanager() {
  local name=$1 url=$2
  # no cluster: a lone one that gossips waits for peers and remembers too much
  local cluster=(--cluster.listen-address=)
  [[ ! ${3:-} ]] || cluster=("--cluster.listen-address=$3" "--cluster.peer=$4" --cluster.settle-timeout=2s
    --cluster.peer-timeout=3s --cluster.gossip-interval=100ms --cluster.pushpull-interval=5s)
  with_share "$name" "$BIN/alertmanager" --config.file="$RUN/alertmanager/alertmanager.yml" \
    --web.listen-address="${url#http://}" --web.external-url="$url" \
    --storage.path="$DATA/$name" "${cluster[@]}" --log.level=warn
}
alertmanager_ready() { curl -fsS -m 2 "${1:-$ALERTMANAGER_URL}/-/ready"; }

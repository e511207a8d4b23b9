# shellcheck shell=bash disable=SC2034,SC2153,SC2154
# The network: a namespace for the control plane with a bridge, one a node,
# and a link to the machine. Leaves: the namespaces (pinned as files under
# $RUN/netns), and on the machine the link prm-host with two routes; the
# clearing removes them all. Nothing here leads outside: neither the machine
# nor the control plane forwards to any other network.

net_check() { # nobody else may use our ranges
  local range
  for range in $NET.0/24 $SERVICE_CIDR $POD_CIDR; do
    if [[ $(ip route show root "$range") ]] || ip route show match "$range" | grep -qv '^default'; then
      die "this machine has a route into $range, which the rig needs for itself"
    fi
  done
}

net_pin() { # PLACE
  : >"$RUN/netns/$1"
  unshare "--net=$RUN/netns/$1" ip link set lo up
}

net_up() {
  local n
  mkdir -p "$RUN/netns"
  net_pin cp
  for n in "${NODES[@]}"; do net_pin "node-$n"; done

  in_place cp sh -e -c "
    sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.default.send_redirects=0
    # frames between the nodes are not this namespace's business
    [ ! -e /proc/sys/net/bridge/bridge-nf-call-iptables ] || sysctl -qw net.bridge.bridge-nf-call-iptables=0
    ip link add br0 type bridge forward_delay 0
    ip addr add $CP_IP/24 dev br0
    ip link set br0 up
    # looked up before kube-proxy's rules rewrite the address, so it must exist
    ip route add $SERVICE_CIDR dev br0
    ip link add machine type veth peer name $HOST_LINK
    ip link set machine master br0 up
    ip link set $HOST_LINK netns $$
  "
  ip addr add "$HOST_IP/24" dev "$HOST_LINK"
  ip link set "$HOST_LINK" up
  ip route add "$SERVICE_CIDR" via "$CP_IP"

  for n in "${NODES[@]}"; do
    in_place cp sh -e -c "
      ip link add node-$n type veth peer name eth0 netns $RUN/netns/node-$n
      ip link set node-$n master br0 up
      ip route add $(node_pods "$n").0/24 via $(node_ip "$n")
    "
    in_place "node-$n" sh -e -c "
      sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.default.send_redirects=0
      ip addr add $(node_ip "$n")/24 dev eth0
      ip link set eth0 up
      ip route add default via $CP_IP
      $(for m in "${NODES[@]}"; do
        [[ $m == "$n" ]] || echo "ip route add $(node_pods "$m").0/24 via $(node_ip "$m")"
      done)
    "
    ip route add "$(node_pods "$n").0/24" via "$(node_ip "$n")"
  done
}

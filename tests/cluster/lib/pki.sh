# shellcheck shell=bash disable=SC2034,SC2153,SC2154
# Keys, certificates and kubeconfigs, new at every `up`, under $PKI (and the
# administrator's kubeconfig in $RUN/out).

pki_ca() { # NAME
  openssl req -config "$PKI/openssl.cnf" -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
    -days 30 -subj "/CN=paramedic-rig-$1" -extensions ca \
    -keyout "$PKI/$1.key" -out "$PKI/$1.crt" 2>/dev/null
}
pki_cert() { # NAME SUBJECT [SUBJECT-ALTERNATIVE-NAMES [CA]]
  local name=$1 subject=$2 san=${3:-} ca=${4:-ca}
  openssl req -config "$PKI/openssl.cnf" -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
    -days 30 -subj "$subject" -extensions leaf ${san:+-addext "subjectAltName=$san"} \
    -CA "$PKI/$ca.crt" -CAkey "$PKI/$ca.key" \
    -keyout "$PKI/$name.key" -out "$PKI/$name.crt" 2>/dev/null
}
kubeconfig() { # CERTIFICATE FILE: a kubeconfig with everything inside
  cat >"$2" <<EOF
apiVersion: v1
kind: Config
current-context: rig
clusters:
- name: rig
  cluster:
    server: https://$CP_IP:6443
    certificate-authority-data: $(base64 -w0 "$PKI/ca.crt")
contexts:
- name: rig
  context: {cluster: rig, user: $1}
users:
- name: $1
  user:
    client-certificate-data: $(base64 -w0 "$PKI/$1.crt")
    client-key-data: $(base64 -w0 "$PKI/$1.key")
EOF
  chmod 600 "$2"
}

pki_up() {
  local n
  mkdir -p "$PKI"
  chmod 700 "$PKI"
  cat >"$PKI/openssl.cnf" <<'EOF'
[req]
distinguished_name = dn
[dn]
[ca]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[leaf]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth,clientAuth
EOF
  pki_ca ca
  pki_ca front-proxy-ca
  pki_cert apiserver /CN=kube-apiserver \
    "IP:$CP_IP,IP:10.96.0.1,IP:127.0.0.1,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local"
  pki_cert apiserver-kubelet /O=system:masters/CN=kube-apiserver-kubelet-client
  pki_cert front-proxy /CN=front-proxy-client "" front-proxy-ca
  pki_cert admin /O=system:masters/CN=rig-admin
  pki_cert controller-manager /CN=system:kube-controller-manager
  pki_cert scheduler /CN=system:kube-scheduler
  pki_cert proxy /CN=system:kube-proxy
  pki_cert prometheus /CN=prometheus
  for n in "${NODES[@]}"; do
    pki_cert "node-$n" "/O=system:nodes/CN=system:node:node-$n" "IP:$(node_ip "$n"),DNS:node-$n"
    kubeconfig "node-$n" "$PKI/node-$n.kubeconfig"
  done
  openssl genrsa -out "$PKI/service-account.key" 2048 2>/dev/null
  for n in controller-manager scheduler proxy; do kubeconfig "$n" "$PKI/$n.kubeconfig"; done
  kubeconfig admin "$RUN/out/kubeconfig"
}
